"""What goes wrong, as a page of the site.

Rules of this room: a reader is told what to do, never what broke inside. What the database or the queue cannot answer
now is 503, for a later try may succeed; so is a change that is saved and that some pages may not show yet, but of that
nobody is asked to try again. Anything unforeseen is 500 and goes to the log with its traceback.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from batchio import QueueFull

from . import people
from .html import layout

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)

RETRY = {"Retry-After": "1"}  # seconds

KEPT = ("Allow", "Retry-After")  # what an error's own headers say to programs

TEXTS = {
    400: "That address or form does not make sense here.",
    403: "Sign in first; and send forms from this site's own pages.",
    404: "There is no such page, question or user.",
    405: "This address does not take that kind of request.",
    413: "That is more text than fits.",
    503: "The site cannot answer just now. Try again in a moment.",
}

SAVED = "Your change is saved. Some pages may show it later."

FAILURES = web.AppKey("FAILURES", tuple[type[Exception], ...])  # what the application's database raises


class SavedOnly(Exception):
    """A write was stored, and the cache could not be told: it may give the old value for as long as its ttl."""


@web.middleware
async def as_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a page."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return problem(error.status, {name: error.headers[name] for name in KEPT if name in error.headers})
    except QueueFull:
        return problem(503, RETRY)
    except SavedOnly as error:
        log.warning("%s %s: saved, but not invalidated: %r", request.method, request.path, error.__cause__)
        return problem(503, {}, SAVED)
    except request.app[FAILURES] as error:
        log.warning("%s %s: %s: %s", request.method, request.path, type(error).__name__, error)
        return problem(503, RETRY)
    except Exception:
        log.exception("%s %s", request.method, request.path)
        return problem(500, {})


def problem(status: int, headers: dict[str, str], text: str = "") -> web.Response:
    """The page of an error, with a text of its own or the status's."""
    title = HTTPStatus(status).phrase
    text = text or TEXTS.get(status, "Something went wrong on our side.")
    page = layout(title, people.problem(status, title, text))
    return web.Response(status=status, text=page, content_type="text/html", headers=headers)
