"""What changes something: signing in and out, votes, follows and comments.

Rules of this room:

- A write is checked for its origin, its sender and its sense, goes to the database, and then invalidates the keys that
  it changed: the next read sees it, in this process and, where the cache is shared, in every other.
- A write that is stored although nobody could tell the cache is no failure: the writer is told just that.
- Each statement is one text for both databases. `REPLACE INTO` is what both have for a row that may be there already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

import batchio
from batchio import Loader

from . import problems, session
from .asking import DB, LOADERS, SECRET, WRITING, back, known, member, number, page_of, sent
from .database import Database, marked
from .html import Viewer
from .records import NOBODY

LONGEST_COMMENT = 600  # characters

Changed = tuple[Loader[Any, Any], Any]  # a loader, and the key of it that a write changed


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
    changed: list[Changed] = [(ld.votes, post.id), (ld.my_vote, (me.id, post.id))]
    if post.parent_id:
        changed.append((ld.answers_of, post.parent_id))  # the best answers come first
    await write(request, _VOTE, (me.id, post.id, value), *changed)
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
    await write(request, _FOLLOW_QUESTION[on], (me.id, q), (ld.follow, (me.id, q)))
    return back(page_of(request, post))


async def follow_user(request: web.Request, me: Viewer, uid: int, on: int) -> web.Response:
    """Follow or unfollow a user."""
    ld = request.app[LOADERS]
    await known(ld.user, uid)
    if uid in (me.id, NOBODY):
        raise web.HTTPBadRequest
    await write(request, _FOLLOW_USER[on], (me.id, uid), (ld.follow_user, (me.id, uid)), (ld.followers, uid))
    return back(session.page_before(request.headers) or f"/u/{uid}")


async def say(request: web.Request) -> web.Response:
    """Comment on a post."""
    form, me, ld = await sent(request), await member(request), request.app[LOADERS]
    text = form.get("text", "").strip()
    if not 0 < len(text) <= LONGEST_COMMENT:
        raise web.HTTPBadRequest
    post = await known(ld.post, number(form.get("post", "")))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    await write(request, _COMMENT, (post.id, text, now, me.id), (ld.comments_of, post.id))
    return back(page_of(request, post))


async def write(request: web.Request, sql: str, values: tuple[object, ...], *changed: Changed) -> None:
    """Write, and invalidate the keys that it changed.

    In a task of its own: where the client goes away in the middle, the statement is finished all the same, and the old
    values must not stay.
    """
    writing = asyncio.create_task(_write(request.app[DB], sql, values, changed))
    request.app[WRITING].add(writing)
    writing.add_done_callback(request.app[WRITING].discard)
    await asyncio.shield(writing)


async def _write(db: Database, sql: str, values: tuple[object, ...], changed: Sequence[Changed]) -> None:
    """Invalidate also when the write failed: where only its answer was lost, the change is stored all the same."""
    try:
        await db.execute(marked(db, sql), values)
    finally:
        told = await batchio.gather(*(loader.invalidate(key) for loader, key in changed), return_exceptions=True)
    for error in told:
        if isinstance(error, Exception):
            raise problems.SavedOnly from error


_VOTE = "REPLACE INTO votes (user_id, post_id, value) VALUES (?, ?, ?)"

# At [0] the statement that unfollows, at [1] the one that follows.
_FOLLOW_QUESTION = (
    "DELETE FROM follows WHERE user_id = ? AND post_id = ?",
    "REPLACE INTO follows (user_id, post_id) VALUES (?, ?)",
)
_FOLLOW_USER = (
    "DELETE FROM user_follows WHERE user_id = ? AND followed_id = ?",
    "REPLACE INTO user_follows (user_id, followed_id) VALUES (?, ?)",
)

_COMMENT = "INSERT INTO comments (post_id, text, score, created, user_id, user_name) VALUES (?, ?, 0, ?, ?, '')"


ROUTES = [
    web.post("/login", sign_in),
    web.post("/logout", sign_out),
    web.post("/vote", cast_vote),
    web.post("/follow", follow),
    web.post("/comment", say),
]
