import batchio


@batchio.loader
async def name(keys):
    return {key: f"name {key}" for key in keys}


@batchio.loader
async def bio(keys):
    return {key: f"bio {key}" for key in keys}


from somewhere import client


async def logged(uid):
    print(uid)
    return await name(uid)


async def only_loads(uid):
    if uid is None:
        raise ValueError(f"no user: {uid}")
    both = await batchio.gather(name(uid), bio(uid))
    return ", ".join(both) + str(len(both))


async def only_calls_such(uid):
    found = await only_loads(uid)
    return [await bio(uid), found]


async def changes_its_argument(out, uid):
    out["name"] = await name(uid)


async def page(uid, out):
    a = await logged(uid)
    b = await name(uid)
    c = await client.get(uid)
    d = await only_calls_such(uid)
    e = await only_loads(uid)
    f = await changes_its_argument(out, uid)
    g = await bio(uid)
    return a, b, c, d, e, f, g


async def separated(uid):
    a = await name(uid)
    print(a)
    b = await bio(uid)
    return a, b
