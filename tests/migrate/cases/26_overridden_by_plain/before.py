from asynq import asynq


class Base:
    def get(self):
        raise NotImplementedError

    @asynq()
    def twice(self):
        return (yield self.get.asynq()) * 2


class Child(Base):
    @asynq()
    def get(self):
        return 1


class Grandchild(Child):
    def get(self):
        return 2
