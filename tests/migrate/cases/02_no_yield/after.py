async def constant():
    """Nothing to wait for."""
    return 42
