import batchio


@batchio.loader
async def name(keys):
    return {key: f"name {key}" for key in keys}


@batchio.loader
async def bio(keys):
    return {key: f"bio {key}" for key in keys}


async def shown(uid):
    a, b = await batchio.gather(name(uid), bio(uid))
    both = await batchio.gather([name(uid), bio(uid)])
    by = await batchio.gather({"name": name(uid), "bio": bio(uid)})
    first = (await batchio.gather(name(uid), bio(uid)))[0]
    return await name(a), await bio(b), both, by, first


async def other_code_between(uid, show):
    show(await name(uid), await bio(uid))
    return await name(uid) + await bio(uid)


async def only_one_of_them(uid, short):
    a = await name(uid) if short else await bio(uid)
    b = short and await name(uid)
    return a, b


async def named_inside(uid):
    return [(a := await name(uid)), await bio(uid), a]


async def with_comments(uid):
    return await batchio.gather([
        name(uid),  # the first

        # the second
        bio(uid),
    ]), await batchio.gather(
        name(1),  # the third
        # the fourth
        bio(2),
    )
