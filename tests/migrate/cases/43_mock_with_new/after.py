import batchio.compat.asynq
import batchio.tools
import unittest.mock


async def f():
    return 1


class A:
    async def m(self):
        return 1

    def plain(self):
        return 1


def test_it():
    with unittest.mock.patch.object(A, "m", batchio.compat.asynq.as_async(lambda self: 42)), unittest.mock.patch.object(A, "plain", lambda self: 42):
        assert batchio.tools.run_sync(A().m()) == 42
    with unittest.mock.patch("before.f", new=batchio.compat.asynq.as_async(lambda: 42)):
        assert batchio.tools.run_sync(f()) == 42
