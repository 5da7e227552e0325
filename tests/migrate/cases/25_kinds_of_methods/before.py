from asynq import asynq
from store import counted


class A:
    @asynq()
    @classmethod
    def above_class(cls, x):
        return x

    @classmethod
    @asynq()
    def below_class(cls, x):
        return x

    @asynq()
    @staticmethod
    def above_static(x):
        return x

    @counted
    @asynq()
    @classmethod
    def decorated(cls, x):
        return x

    @asynq()
    def all_of_them(self):
        a, b = yield self.above_class.asynq(1), A.below_class.asynq(2)
        return a, b, self.above_static(3), type(self).decorated(4)
