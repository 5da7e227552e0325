import asynq
from asynq import asynq as task
from asynq import mock


@task()
def f():
    return 1


@mock.patch("m.f")
def test_it(mock_f):
    mock_f.return_value = 2
    with asynq.mock.patch("m.f") as other, asynq.mock.patch.dict({}, {}):
        assert f() == 2
        assert other.call_count == 1
