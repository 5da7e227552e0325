from asynq import asynq


@asynq()
def g(x):
    return x


@asynq()
def f(x):
    values = [g(i) for i in range(x)]
    late = lambda: g(x)
    return g(x) + g(x).bit_length() + late() + sum(g(i) for i in values)
