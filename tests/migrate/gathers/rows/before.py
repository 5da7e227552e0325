import batchio


@batchio.loader
async def name(keys):
    return {key: f"name {key}" for key in keys}


@batchio.loader
async def bio(keys):
    return {key: f"bio {key}" for key in keys}


async def page(uid, user):
    a = await name(uid)
    b = await bio(user.bio)
    return a, b


async def warm(uid):
    await name(uid)
    await bio.load(uid)


async def three(uid):
    a = await name(uid)
    n = 1
    b = await bio(n)
    c = await name.load_many([uid, n])
    return a, b, c


async def with_comments(uid):
    # the first
    a = await name(uid)  # its name

    # the second
    b = await bio(
        uid  # its key
    )
    return a, b


async def with_annotations(uid):
    a: str = await name(uid)
    b: str = await bio(uid)
    return a, b


async def in_one_line(uid):
    a = await name(uid); b = await bio(uid)
    return a, b
