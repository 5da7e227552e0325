async def name(uid):
    # who it is
    user = await fetch(uid)  # one load
    return user.name


async def fetch(uid):
    return uid
