from asynq import asynq


@asynq()
def visit(n):
    if n == 0:
        return 0
    return 1 + (yield children.asynq(n))


@asynq()
def children(n):
    one, *rest = yield [visit.asynq(n - 1), visit.asynq(0)]
    return one + visit(0)
