from store import g

seen = []


# batchio: what this does ran when it was called, and now runs when it is awaited: see that this is the same
async def noted(x):
    seen.append(x)
    return await g(x)


# batchio: what this does ran when it was called, and now runs when it is awaited: see that this is the same
async def checked(x):
    if x < 0:
        raise ValueError(x)
    return await g(x)


# batchio: what this does ran when it was called, and now runs when it is awaited: see that this is the same
async def tried(x):
    try:
        return await g(x)
    except ValueError:
        return await g(0)


async def chosen(x):
    """One or the other."""
    key = str(x)
    if isinstance(x, str) and key in seen:
        return await g(key.upper())
    return await g(key)
