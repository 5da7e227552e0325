import batchio


@batchio.loader
async def name(keys):
    return {key: f"name {key}" for key in keys}


@batchio.loader
async def bio(keys):
    return {key: f"bio {key}" for key in keys}


async def caught(uid):
    a = None
    try:
        a = await name(uid)
        b = await bio(uid)
    except KeyError:
        b = None
    return a, b


async def at_the_end(uid, log):
    try:
        a = await name(uid)
        b = await bio(uid)
    finally:
        log(uid)
    return a, b


async def swallowed(uid, swallow):
    a = None
    with swallow:
        a = await name(uid)
        b = await bio(uid)
    return a


async def in_one_expression(uid):
    try:
        return await batchio.gather(name(uid), bio(uid))
    except KeyError:
        return None
