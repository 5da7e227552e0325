import batchio


@batchio.loader
async def name(keys):
    return {key: f"name {key}" for key in keys}


@batchio.loader
async def bio(keys):
    return {key: f"bio {key}" for key in keys}


async def shadowed(name, uid):
    a = await name(uid)
    b = await name(1)
    return a, b


async def rebound(uid):
    bio = print
    a = await bio(uid)
    b = await bio(1)
    return a, b


class Pages:
    def __init__(self, loader):
        self.loader = loader

    @property
    def uid(self):
        print("read")
        return 1

    async def page(self, other):
        a = await self.loader.load(1)
        b = await self.loader.load(2)
        c = await name(other.uid)
        d = await bio(other.bio)
        return a, b, c, d


async def several(uids):
    def seen():
        return a

    a = await name(1)
    b = await bio(2)
    return a, b, seen


async def everybodys(uid):
    global last
    last = await name(uid)
    b = await bio(uid)
    return b


count = 1


async def counted(uid):
    global count
    count = await name(uid)
    return count


async def others_change_it(uid):
    a = await name(count)
    b = await bio(count)
    return a, b, [await name(count) for _ in range(2)], (await name(count), await bio(uid))


class Users(batchio.Loader):
    async def load_batch(self, keys):
        return {key: f"user {key}" for key in keys}


class Audited(Users):
    def load(self, key):
        print("load", key)
        return super().load(key)


users, audited = Users(), Audited()
people = Users()
watched = Audited()


async def of_classes(uid):
    a, b = await batchio.gather(people(uid), people.load(uid))
    c = await watched.load(uid)
    d = await watched.load(uid)
    return a, b, c, d
