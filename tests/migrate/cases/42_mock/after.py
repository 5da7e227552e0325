import batchio.tools
import unittest.mock


async def f():
    return 1


@unittest.mock.patch("m.f")
def test_it(mock_f):
    mock_f.return_value = 2
    with unittest.mock.patch("m.f") as other, unittest.mock.patch.dict({}, {}):
        assert batchio.tools.run_sync(f()) == 2
        assert other.call_count == 1
