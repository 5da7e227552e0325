import unittest

from asynq import asynq
from store import f


class TestOfAsynq(unittest.TestCase):
    @asynq()
    def test_it(self):
        assert (yield f.asynq(1)) == 1

    @asynq()
    def helper(self):
        return 1

    def test_from_plain_code(self):
        assert self.helper() == 1
