"""The site, served by aiohttp: the application, and the pages that are read.

Rules of this room: a handler reads the request, awaits a page, and answers. What changes something is in `forms.py`;
what both kinds share, in `asking.py`; what goes wrong, in `problems.py`.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from aiohttp import web

import batchio
import batchio.aiohttp
from batchio import Cache, Limits

from . import forms, pages, places, problems, session, templates
from .asking import DB, LOADERS, SECRET, WRITING, known, number, viewer
from .database import Database, failures
from .html import Html, Viewer, layout
from .loaders import make_loaders
from .records import NOBODY

PER_PAGE = 10
LAST_PAGE = 10**9
LARGEST_FORM = 16 * 1024  # bytes

# Between two levels a page runs 10 to 20 ms of Python, in which it asks for hundreds of keys. With batchio's own 5 ms
# the first of them would leave before the last is asked for, and a level would now and then be two. Nobody waits longer
# for it: on a loop that has nothing else to do keys leave at once.
LIMITS = Limits(max_delay=0.05)

SAFETY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # our own pages are told, so that a form can lead back to its page
}


def make_app(
    db: Database, *, secret: bytes | None = None, cache: Cache | None = None, limits: Limits = LIMITS
) -> web.Application:
    """The application on a database, which it closes at its end, and the cache with it."""
    app = web.Application(middlewares=[problems.as_pages], client_max_size=LARGEST_FORM)
    app[DB] = db
    app[LOADERS] = make_loaders(db, cache=cache, limits=limits)
    app[SECRET] = secret or session.secret_from_environment()
    app[WRITING] = set()
    app[problems.FAILURES] = failures(db)
    app.add_routes(ROUTES)
    app.on_response_prepare.append(_add_safety)
    closable: list[Any] = [store for store in (db, cache) if hasattr(store, "close")]  # a cache in memory is not
    batchio.aiohttp.setup(app, resources=closable)
    return app


def serve(place: places.Place, cache: str, host: str, port: int) -> None:
    """Serve until interrupted; the address is printed.

    The site's stamp is read here: after a new import start this again, or old things are shown from the cache for as
    long as their ttl.
    """
    app = make_app(place.database(), cache=places.cache(cache, place.stamp()))
    web.run_app(app, host=host, port=port, print=functools.partial(print, flush=True))


async def _add_safety(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SAFETY)


# Pages -----------------------------------------------------------------------------------------------------------


async def show_feed(request: web.Request) -> web.Response:
    """The most viewed questions, ten at a time."""
    page = number(request.query.get("page", "1"), least=1, most=LAST_PAGE)
    ids, me = await batchio.gather(request.app[LOADERS].top(((page - 1) * PER_PAGE, PER_PAGE + 1)), viewer(request))
    if not ids and page > 1:
        raise web.HTTPNotFound
    pager = templates.pager(page, more=len(ids) > PER_PAGE)
    return answer("Questions", await pages.feed(request.app[LOADERS], me.id, ids[:PER_PAGE], pager), me)


async def show_question(request: web.Request) -> web.Response:
    """A question; an answer's number leads to its question."""
    ld = request.app[LOADERS]
    post = await known(ld.post, number(request.match_info["id"]))
    if post.parent_id:
        raise web.HTTPSeeOther(f"/q/{post.parent_id}#p{post.id}")
    me = await viewer(request)
    return answer(post.title, await pages.question(ld, me.id, post.id, unfolded=True), me)


async def show_user(request: web.Request) -> web.Response:
    """A user's page."""
    ld = request.app[LOADERS]
    user = await known(ld.user, number(request.match_info["id"]))
    if user.id == NOBODY:
        raise web.HTTPNotFound
    me = await viewer(request)
    return answer(user.name, await pages.profile(ld, me.id, user.id), me)


async def show_login(request: web.Request) -> web.Response:
    """The form to sign in."""
    rows = await request.app[DB].fetch("SELECT id FROM users WHERE id > 0 ORDER BY reputation DESC, id LIMIT 12", ())
    return answer("Sign in", await pages.login(request.app[LOADERS], [row[0] for row in rows]), await viewer(request))


async def show_style(_request: web.Request) -> web.FileResponse:
    """The style sheet. A route of its own and not `web.static`, whose 404 would be no page of the site."""
    return web.FileResponse(Path(__file__).parent / "static" / "style.css")


def answer(title: str, body: Html, me: Viewer) -> web.Response:
    """A page as a response."""
    return web.Response(text=layout(title, body, me), content_type="text/html")


ROUTES = [
    web.get("/", show_feed),
    web.get("/q/{id}", show_question),
    web.get("/u/{id}", show_user),
    web.get("/login", show_login),
    web.get("/static/style.css", show_style),
    *forms.ROUTES,
]
