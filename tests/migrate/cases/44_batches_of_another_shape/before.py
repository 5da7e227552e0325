from asynq import asynq, BatchBase, BatchItemBase


class Batch(BatchBase):
    def __init__(self, cache, index):
        super().__init__()
        self.cache, self.index = cache, index

    def _try_switch_active_batch(self):
        if self.cache.batch is self:
            self.cache.batch = Batch(self.cache, self.index + 1)

    def _flush(self):
        self.cache.flush(self)


class Item(BatchItemBase):
    def __init__(self, cache, key):
        super().__init__(cache.batch)
        self.key = key


@asynq()
def get(cache, key):
    return (yield Item(cache, key))
