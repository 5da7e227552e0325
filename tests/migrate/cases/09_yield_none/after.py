async def nothing(x):
    # a comment that stays
    pass
    y = None
    if x:
        pass  # this too
    return y
