import batchio


@batchio.loader
async def name(keys):
    return {key: f"name {key}" for key in keys}


@batchio.loader
async def bio(keys):
    return {key: f"bio {key}" for key in keys}


async def chain(uid):
    a = await name(uid)
    b = await bio(a)
    c = await name(b)
    return a, b, c


async def chain_and_row(uid):
    a = await name(uid)
    b, c, d = await batchio.gather(bio(a), name(1), bio(2))
    return a, b, c, d


async def nested(uid):
    return await bio(await name(uid))


async def between(uid):
    a = await name(uid)
    n = a
    b = await bio(n)
    return a, b
