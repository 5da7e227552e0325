from batchio.compat.asynq import BatchBase, BatchItemBase
import batchio


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


async def get(key):
    return await Item(key)


async def both(key):
    return await batchio.gather(Item(key), get(key))
