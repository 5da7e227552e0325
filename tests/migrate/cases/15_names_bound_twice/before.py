import cache
from asynq import asynq


@asynq()
def user(x):
    return x


@asynq()
def page(x):
    return x


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
    return get(x), user(x), page(x)


@asynq()
def first(x):
    return x


@asynq()
def second(x):
    return x


def either(one, x):
    if one:
        get = first
    else:
        get = second
    return get(x)
