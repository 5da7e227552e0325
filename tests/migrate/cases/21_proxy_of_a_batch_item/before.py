from asynq import asynq, async_proxy, BatchBase, BatchItemBase


class Batch(BatchBase):
    current = None

    def _try_switch_active_batch(self):
        if Batch.current is self:
            Batch.current = Batch(1)

    def __init__(self, size):
        super().__init__()
        self.size = size

    def _flush(self):
        for item in self.items:
            item.set_value(item.key)


class Item(BatchItemBase):
    def __init__(self, key):
        super().__init__(Batch.current)
        self.key = key


@async_proxy()
def get(key):
    return Item(key)


@asynq()
def both(key):
    return (yield Item(key), get.asynq(key))
