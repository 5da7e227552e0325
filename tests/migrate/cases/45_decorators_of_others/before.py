import functools

from asynq import asynq
from web import app, login_required


def logged(function):
    @functools.wraps(function)
    def wrapper(*args):
        print(function.__name__)
        return function(*args)

    return wrapper


@app.route("/")
@login_required
@asynq()
def page(x):
    return x


@logged
@asynq()
def told(x):
    return x
