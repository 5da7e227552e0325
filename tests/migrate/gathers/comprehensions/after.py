import batchio


@batchio.loader
async def name(keys):
    return {key: f"name {key}" for key in keys}


@batchio.loader
async def bio(keys):
    return {key: f"bio {key}" for key in keys}


async def pure(uid):
    return await name(uid)


async def listed(uids, d):
    a = await batchio.gather([name(uid) for uid in uids if uid is not None and uid > 0])
    b = await batchio.gather([pure(uid) for uid in sorted(uids)])
    c = await batchio.gather({uid: name(uid) for uid in range(3)})
    d = (await batchio.gather([name(k) for k, v in d.items()]))[0]
    return a, b, c, d


async def for_people(uids, ready, make):
    a = {uid: await pure(uid) for uid in uids}
    b = {await name(uid) for uid in uids}
    c = [await name(uid) for uid in uids if ready(uid)]
    d = [await name(uid) for uid in make()]
    e = [await name(uid) for row in uids for uid in row]
    f = [await name(uid) async for uid in make()]
    return a, b, c, d, e, f
