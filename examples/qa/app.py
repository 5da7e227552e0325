"""The site, served by aiohttp.

Rules of this room: a handler reads the request, awaits a page or a write, and answers. A write is checked for its
origin, its sender and its sense, goes to the database, and then invalidates the keys that it changed: the next read
sees it.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from aiohttp import web

import batchio
import batchio.aiohttp
from batchio import Cache, KeyNotFound, Limits, Loader
from batchio.sqlite import Database

from . import pages, problems, session, templates
from .html import Html, Viewer, layout
from .loaders import Loaders, feed, make_loaders
from .records import NOBODY, Post

PER_PAGE = 10
LONGEST_COMMENT = 600  # characters
LARGEST_FORM = 16 * 1024  # bytes

DB = web.AppKey("DB", Database)
LOADERS = web.AppKey("LOADERS", Loaders)
SECRET = web.AppKey("SECRET", bytes)

V = TypeVar("V")

SAFETY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # our own pages are told, so that a form can lead back to its page
}


def make_app(
    db: Database, *, secret: bytes | None = None, cache: Cache | None = None, limits: Limits | None = None
) -> web.Application:
    """The application on a database, which it closes at its end."""
    app = web.Application(middlewares=[problems.as_pages], client_max_size=LARGEST_FORM)
    app[DB] = db
    app[LOADERS] = make_loaders(db, cache=cache, limits=limits)
    app[SECRET] = secret or session.secret_from_environment()
    app.add_routes(ROUTES)
    app.on_response_prepare.append(_add_safety)
    batchio.aiohttp.setup(app, resources=[db])
    return app


def serve(path: Path, host: str, port: int) -> None:
    """Serve until interrupted; the address is printed."""
    app = make_app(Database(path), cache=batchio.MemoryCache(max_items=100_000))
    web.run_app(app, host=host, port=port, print=functools.partial(print, flush=True))


async def _add_safety(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SAFETY)


# Pages -----------------------------------------------------------------------------------------------------------


async def show_feed(request: web.Request) -> web.Response:
    """The most viewed questions, ten at a time."""
    page = number(request.query.get("page", "1"), least=1)
    ids = await feed(request.app[DB], PER_PAGE + 1, (page - 1) * PER_PAGE)
    if not ids and page > 1:
        raise web.HTTPNotFound
    me = await viewer(request)
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


# Writes ----------------------------------------------------------------------------------------------------------


async def sign_in(request: web.Request) -> web.Response:
    """Be another user."""
    form = await sent(request)
    user = await known(request.app[LOADERS].user, number(form.get("user", "")))
    if user.id == NOBODY:
        raise web.HTTPNotFound
    response = back("/")
    cookie = session.sign(request.app[SECRET], user.id)
    response.set_cookie(
        session.COOKIE, cookie, max_age=session.DAYS_30, httponly=True, samesite="Lax", secure=request.secure
    )
    return response


async def sign_out(request: web.Request) -> web.Response:
    """Be nobody."""
    await sent(request)
    response = back("/")
    response.del_cookie(session.COOKIE)
    return response


async def cast_vote(request: web.Request) -> web.Response:
    """Vote for (1) or against (-1) a post, or take the vote back (0)."""
    form, me, ld = await sent(request), await member(request), request.app[LOADERS]
    value = number(form.get("value", ""), least=-1, most=1)
    post = await known(ld.post, number(form.get("post", "")))
    await request.app[DB].execute(_VOTE, (me.id, post.id, value))
    await batchio.gather(
        ld.votes.invalidate(post.id),
        ld.my_vote.invalidate((me.id, post.id)),
        ld.answers_of.invalidate(post.parent_id),  # the best answers come first
    )
    return back(page_of(request, post))


async def follow(request: web.Request) -> web.Response:
    """Follow (1) or unfollow (0) a question or a user."""
    form, me = await sent(request), await member(request)
    on = number(form.get("on", ""), least=0, most=1)
    if "question" in form:
        return await follow_question(request, me, number(form["question"]), on)
    return await follow_user(request, me, number(form.get("user", "")), on)


async def follow_question(request: web.Request, me: Viewer, q: int, on: int) -> web.Response:
    """Follow or unfollow a question."""
    ld = request.app[LOADERS]
    post = await known(ld.post, q)
    if post.parent_id:
        raise web.HTTPBadRequest
    await request.app[DB].execute(_FOLLOW_QUESTION[on], (me.id, q))
    await ld.follow.invalidate((me.id, q))
    return back(page_of(request, post))


async def follow_user(request: web.Request, me: Viewer, uid: int, on: int) -> web.Response:
    """Follow or unfollow a user."""
    ld = request.app[LOADERS]
    await known(ld.user, uid)
    if uid in (me.id, NOBODY):
        raise web.HTTPBadRequest
    await request.app[DB].execute(_FOLLOW_USER[on], (me.id, uid))
    await batchio.gather(ld.follow_user.invalidate((me.id, uid)), ld.followers.invalidate(uid))
    return back(session.page_before(request.headers) or f"/u/{uid}")


async def say(request: web.Request) -> web.Response:
    """Comment on a post."""
    form, me, ld = await sent(request), await member(request), request.app[LOADERS]
    text = form.get("text", "").strip()
    if not 0 < len(text) <= LONGEST_COMMENT:
        raise web.HTTPBadRequest
    post = await known(ld.post, number(form.get("post", "")))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    await request.app[DB].execute(_COMMENT, (post.id, text, now, me.id))
    await ld.comments_of.invalidate(post.id)
    return back(page_of(request, post))


_VOTE = """INSERT INTO votes (user_id, post_id, value) VALUES (?, ?, ?)
    ON CONFLICT (user_id, post_id) DO UPDATE SET value = excluded.value"""

# At [0] the statement that unfollows, at [1] the one that follows.
_FOLLOW_QUESTION = (
    "DELETE FROM follows WHERE user_id = ? AND post_id = ?",
    "INSERT OR IGNORE INTO follows (user_id, post_id) VALUES (?, ?)",
)
_FOLLOW_USER = (
    "DELETE FROM user_follows WHERE user_id = ? AND followed_id = ?",
    "INSERT OR IGNORE INTO user_follows (user_id, followed_id) VALUES (?, ?)",
)

_COMMENT = "INSERT INTO comments (post_id, text, score, created, user_id, user_name) VALUES (?, ?, 0, ?, ?, '')"


# What handlers share ---------------------------------------------------------------------------------------------


def number(text: str, *, least: int = -(10**18), most: int = 10**18) -> int:
    """A number that came from outside; 400 when it is none, or out of range."""
    if not re.fullmatch(r"-?[0-9]{1,18}", text) or not least <= int(text) <= most:
        raise web.HTTPBadRequest
    return int(text)


async def known(loader: Loader[int, V], key: int) -> V:
    """What was asked for by number; 404 when there is none."""
    try:
        return await loader(key)
    except KeyNotFound as error:
        raise web.HTTPNotFound from error


async def viewer(request: web.Request) -> Viewer:
    """Who looks. A cookie may be older than the database: whom it does not know is nobody."""
    uid = session.read(request.app[SECRET], request.cookies.get(session.COOKIE, ""))
    if uid != NOBODY:
        try:
            return Viewer(uid, (await request.app[LOADERS].user(uid)).name)
        except KeyNotFound:
            pass
    return Viewer(NOBODY, "")


async def member(request: web.Request) -> Viewer:
    """Who writes; 403 for nobody."""
    me = await viewer(request)
    if me.id == NOBODY:
        raise web.HTTPForbidden
    return me


async def sent(request: web.Request) -> dict[str, str]:
    """The fields of a form of ours: 403 when it came from elsewhere, 400 when it cannot be read."""
    if not session.same_origin(request.headers):
        raise web.HTTPForbidden
    try:
        fields = await request.post()
    except (ValueError, LookupError) as error:  # a charset or a multipart body that is none
        raise web.HTTPBadRequest from error
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def back(to: str) -> web.Response:
    """See the result there; a plain GET, so that reloading it sends nothing again."""
    return web.Response(status=303, headers={"Location": to})


def page_of(request: web.Request, post: Post) -> str:
    """The page that a form stood on, at the post that it was about."""
    before = session.page_before(request.headers)
    return f"{before or f'/q/{post.parent_id or post.id}'}#p{post.id}"


ROUTES = [
    web.get("/", show_feed),
    web.get("/q/{id}", show_question),
    web.get("/u/{id}", show_user),
    web.get("/login", show_login),
    web.post("/login", sign_in),
    web.post("/logout", sign_out),
    web.post("/vote", cast_vote),
    web.post("/follow", follow),
    web.post("/comment", say),
    web.get("/static/style.css", show_style),
]
