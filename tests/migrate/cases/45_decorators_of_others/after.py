import functools

from web import app, login_required


def logged(function):
    @functools.wraps(function)
    def wrapper(*args):
        print(function.__name__)
        return function(*args)

    return wrapper


# batchio: @route decorates an async function now: see that it does not call it as a plain one
# batchio: @login_required decorates an async function now: see that it does not call it as a plain one
@app.route("/")
@login_required
async def page(x):
    return x


# batchio: @logged decorates an async function now: see that it does not call it as a plain one
@logged
async def told(x):
    return x
