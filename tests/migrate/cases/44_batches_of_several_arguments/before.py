import threading

from asynq import asynq, BatchBase, BatchItemBase
from store import client


class _Batch(BatchBase):
    def __init__(self):
        super(_Batch, self).__init__()

    def _try_switch_active_batch(self):
        if _local.batch is self:
            _local.batch = _Batch()

    def _flush(self):
        """One call for each kind."""
        for kind in {item.kind for item in self.items}:
            found = client.get(kind, [item.key for item in self.items if item.kind == kind])
            for item in self.items:
                if item.is_computed() or item.kind != kind:
                    continue
                try:
                    item.set_value(found[item.key])
                except KeyError as error:
                    item.set_error(error)


_local = threading.local()
_local.batch = _Batch()


# what callers make
class Lookup(BatchItemBase):
    def __init__(self, kind, key=None):
        super(Lookup, self).__init__(_local.batch)
        self.kind = kind
        self.key = key


@asynq()
def both(key):
    return (yield Lookup("user", key), Lookup("photo", key=key))
