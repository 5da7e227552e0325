from asynq import asynq


class Parent:
    @asynq()
    def m(self):
        return 1


class Child(Parent):
    @asynq()
    def m(self):
        a = yield super(Child, self).m.asynq()
        b = yield super().m.asynq()
        c = super().m()
        return a + b + c + (yield Parent.m.asynq(self))
