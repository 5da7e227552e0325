from asynq import asynq


@asynq()
def constant():
    """Nothing to wait for."""
    return 42
