import batchio


@batchio.loader
async def name(keys):
    return {key: f"name {key}" for key in keys}


@batchio.loader
async def bio(keys):
    return {key: f"bio {key}" for key in keys}


async def listed(uids):
    # one for each
    # the name
    names = await batchio.gather([name(uid) for uid in uids])
    return names


async def by_key(users):
    names = await batchio.gather({user.uid: name(user.uid) for user in users.values()})
    return names


async def warmed(uids):
    await batchio.gather([name(uid) for uid in enumerate(uids)])


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
    names = await batchio.gather([name(uid) for uid in uids])
    bios = await batchio.gather([bio(uid) for uid in uids])
    return names, bios


async def the_first_ones_name_goes_on(uids, uid):
    for uid in uids:
        await name(uid)
    for uid in [uid]:
        await bio(uid)
