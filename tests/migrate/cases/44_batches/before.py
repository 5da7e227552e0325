from asynq import asynq, BatchBase, BatchItemBase
from store import client


class UserBatch(BatchBase):
    """Reads users."""

    def _try_switch_active_batch(self):
        global _batch
        if _batch is self:
            _batch = UserBatch()

    def _flush(self):
        # one round trip
        ids = [item.user_id for item in self.items]
        users = client.get_users(ids)
        for item in self.items:
            item.set_value(users[item.user_id])

    def _cancel(self):
        pass


_batch = UserBatch()


class UserItem(BatchItemBase):
    def __init__(self, user_id):
        super(UserItem, self).__init__(_batch)
        self.user_id = user_id


@asynq()
def name(user_id):
    user = yield UserItem(user_id)
    return user.name
