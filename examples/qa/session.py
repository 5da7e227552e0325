"""Who is asking, and from where: the signed cookie, and the check that a form came from a page of ours.

Rules of this room: pure; nothing here knows aiohttp. A cookie that does not verify is nobody's, never an error.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from .records import NOBODY

COOKIE = "viewer"
DAYS_30 = 30 * 24 * 3600  # seconds


def secret_from_environment() -> bytes:
    """QA_SECRET, or a secret of this process: then everybody is signed out when it ends."""
    return os.environ.get("QA_SECRET", "").encode() or secrets.token_bytes(32)


def sign(secret: bytes, user: int) -> str:
    """The cookie of a user.

    >>> read(b"s", sign(b"s", 7)), read(b"other", sign(b"s", 7))
    (7, 0)
    """
    return f"{user}.{_signature(secret, user)}"


def read(secret: bytes, cookie: str) -> int:
    """The user that a cookie was signed for; 0 when it was not signed here."""
    user, _, signature = cookie.partition(".")
    if not re.fullmatch(r"-?[0-9]{1,18}", user) or not signature.isascii():
        return NOBODY
    return int(user) if hmac.compare_digest(signature, _signature(secret, int(user))) else NOBODY


def _signature(secret: bytes, user: int) -> str:
    return hmac.new(secret, f"viewer:{user}".encode(), "sha256").hexdigest()


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that a form came from a page of this host. One that says nothing is not believed."""
    source = headers.get("Origin") or headers.get("Referer") or ""
    return _host(source) != "" and _host(source) == headers.get("Host", "").lower()


def page_before(headers: Mapping[str, str]) -> str:
    """The path of the page that a form stood on, to go back to; '' when it is not known.

    >>> page_before({"Host": "a", "Referer": "http://a/?page=2"}), page_before({"Host": "a", "Referer": "http://b/"})
    ('/?page=2', '')
    """
    source = headers.get("Referer", "")
    if not same_origin({"Referer": source, "Host": headers.get("Host", "")}):
        return ""
    parts = urlsplit(source)
    path = "/" + parts.path.lstrip("/\\")  # `//host` would lead to another site
    return f"{path}?{parts.query}" if parts.query else path


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
