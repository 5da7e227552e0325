import unittest

from store import f
import batchio.tools


class TestOfAsynq(unittest.TestCase):
    # batchio: a test runner calls this, and must know async tests: unittest.IsolatedAsyncioTestCase, pytest-asyncio
    async def test_it(self):
        assert await f(1) == 1

    async def helper(self):
        return 1

    def test_from_plain_code(self):
        assert batchio.tools.run_sync(self.helper()) == 1
