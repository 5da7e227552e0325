from store import f, log


async def guarded(x):
    try:
        return await f(x)
    except (KeyError, ValueError) as error:
        log(error)
        raise
    else:
        pass
    finally:
        await f(0)
