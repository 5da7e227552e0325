from asynq import asynq, BatchBase, BatchItemBase


class Batch(BatchBase):
    def _try_switch_active_batch(self):
        global _batch
        if _batch is self:
            _batch = Batch()

    def _flush(self):
        for item in self.items:
            item.set_value(item.key)


_batch = Batch()


class Item(BatchItemBase):
    def __init__(self, key):
        super().__init__(_batch)
        self.key = key


@asynq(sync_fn=int)
def stays(key):
    return (yield Item(key))


@asynq()
def goes(keys):
    return (yield Item(1)), (yield [Item(key) for key in keys])
