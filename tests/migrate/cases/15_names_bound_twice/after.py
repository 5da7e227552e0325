import cache
import batchio.tools


async def user(x):
    return x


async def page(x):
    return x


# batchio: async functions are given away as values here: see that whoever calls them awaits them
page = cache.kept(page)


def replace():
    global user
    user = print


def view(by_user, x):
    get = None
    if by_user:
        get = user
    else:
        get = page
    # batchio: get may be async here, and gives a coroutine then: await it, or batchio.tools.run_sync
    # batchio: user may be async here, and gives a coroutine then: await it, or batchio.tools.run_sync
    # batchio: page may be async here, and gives a coroutine then: await it, or batchio.tools.run_sync
    return get(x), user(x), page(x)


async def first(x):
    return x


async def second(x):
    return x


def either(one, x):
    if one:
        get = first
    else:
        get = second
    return batchio.tools.run_sync(get(x))
