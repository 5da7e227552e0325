import batchio


@batchio.loader
async def name(keys):
    return {key: f"name {key}" for key in keys}


@batchio.loader
async def bio(keys):
    return {key: f"bio {key}" for key in keys}


async def twice(uid):
    a = await name(uid)
    a = await bio(uid)
    return a


async def read_and_bound(uid, a):
    b, a = await batchio.gather(name(a), bio(uid))
    return a, b


async def bound_between(uid):
    n = 1
    a = await name(n)
    n = 2
    b = await bio(n)
    return a, b
