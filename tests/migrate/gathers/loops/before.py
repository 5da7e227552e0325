import batchio


@batchio.loader
async def name(keys):
    return {key: f"name {key}" for key in keys}


@batchio.loader
async def bio(keys):
    return {key: f"bio {key}" for key in keys}


async def listed(uids):
    names = []
    # one for each
    for uid in uids:
        names.append(await name(uid))  # the name
    return names


async def by_key(users):
    names = {}
    for user in users.values():
        names[user.uid] = await name(user.uid)
    return names


async def warmed(uids):
    for uid in enumerate(uids):
        await name(uid)


async def does_more(uids, show):
    for uid in uids:
        show(await name(uid))
    while uids:
        show(await bio(uids.pop()))


async def left_early(uids):
    for uid in uids:
        if await name(uid):
            return uid
    return None


async def used_after(uids):
    names = []
    for uid in uids:
        names.append(await name(uid))
    return names, uid


async def of_a_generator(make):
    for uid in make():
        await name(uid)


async def in_a_try(uids):
    names = []
    try:
        for uid in uids:
            names.append(await name(uid))
    except KeyError:
        pass
    return names


async def two_loops(uids):
    names = []
    for uid in uids:
        names.append(await name(uid))
    bios = []
    for uid in uids:
        bios.append(await bio(uid))
    return names, bios


async def the_first_ones_name_goes_on(uids, uid):
    for uid in uids:
        await name(uid)
    for uid in [uid]:
        await bio(uid)
