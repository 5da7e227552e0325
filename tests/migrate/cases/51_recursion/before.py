from asynq import asynq


@asynq()
def total(n):
    if n == 0:
        return 0
    return n + (yield total.asynq(n - 1))


@asynq()
def leaves(tree):
    return sum((yield [leaves.asynq(branch) for branch in tree]))
