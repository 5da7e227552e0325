import asynq


@asynq.asynq()
def f():
    return 1


class A:
    @asynq.asynq()
    def m(self):
        return 1

    def plain(self):
        return 1


def test_it():
    with asynq.mock.patch.object(A, "m", lambda self: 42), asynq.mock.patch.object(A, "plain", lambda self: 42):
        assert A().m() == 42
    with asynq.mock.patch("before.f", new=lambda: 42):
        assert f() == 42
