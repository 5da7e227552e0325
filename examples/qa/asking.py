"""What the site's handlers share: how a request is read, who makes it, and where to go next.

Rules of this room: whatever came from outside is checked here, and what makes no sense is an HTTP error at once.
"""

from __future__ import annotations

import asyncio
import re
from typing import TypeVar

from aiohttp import web

from batchio import KeyNotFound, Loader

from . import session
from .database import Database
from .html import Viewer
from .loaders import Loaders
from .records import NOBODY, Post

DB = web.AppKey[Database]("DB")
LOADERS = web.AppKey("LOADERS", Loaders)
SECRET = web.AppKey("SECRET", bytes)
WRITING = web.AppKey[set[asyncio.Task[None]]]("WRITING")  # writes under way, which outlive their requests

V = TypeVar("V")


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
