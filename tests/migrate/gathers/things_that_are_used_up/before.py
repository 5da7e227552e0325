import batchio


@batchio.loader
async def name(keys):
    return {key: f"name {key}" for key in keys}


async def total(them):
    count = 0
    for it in them:
        count = count + len(await name(it))
    return count


async def handed_on(them):
    return await total(them)


async def listed(them: list[int]):
    count = 0
    for it in them:
        count = count + len(await name(it))
    return count


async def looked_at(one):
    if one is None:
        return ""
    if one in (1, 2):
        return await name(one)
    return f"{one.first} {await name(one)} {str(one)}"


async def shared(them, rows):
    a = await total(them)
    b = await total(them)
    print(a, b)
    c = await handed_on(them)
    d = await total(them)
    print(c, d)
    e = [await total(them) for row in rows]
    f = (await total(them), await handed_on(them))
    for row in rows:
        await total(them)
    return e, f


async def not_shared(them, others, rows):
    a = await total(them)
    b = await total(others)
    print(a, b)
    c = await listed(them)
    d = await total(them)
    print(c, d)
    e = await looked_at(them)
    f = await looked_at(them)
    print(e, f)
    g = await total(them)
    h = await name(them)
    return [await total(row) for row in rows], g, h
