from asynq import asynq


@asynq()
def name(uid):
    # who it is
    user = yield fetch.asynq(uid)  # one load
    return user.name


@asynq()
def fetch(uid):
    return uid
