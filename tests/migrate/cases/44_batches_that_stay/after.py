from asynq import asynq, BatchBase, BatchItemBase
import batchio


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


# batchio: stays stays asynq: sync_fn makes two functions of one: keep both, and choose at each call
@asynq(sync_fn=int)
def stays(key):
    return (yield Item(key))


async def goes(keys):
    # batchio: what is called here stays asynq: it runs alone, and blocks the event loop
    return Item(1).value(), await batchio.gather([Item(key).value() for key in keys])
