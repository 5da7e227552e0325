"""What keeps the site's HTML safe, and the frame around every page.

Rules of this room:

- Text becomes HTML in `markup` alone, which escapes every value that is not `Html` already. A template that forgets
  nothing is easier to trust than an author who remembers everything.
- HTML that users wrote becomes `Html` in `clean` alone, through nh3; this is the only file that imports it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import nh3

SITE = "Commonplace"

# A page of ours fetches nothing from strangers' servers: their images become links, and image maps go.
ALLOWED_TAGS = nh3.ALLOWED_TAGS - {"img", "map", "area"}
SCHEMES = {"http", "https", "mailto"}


class Html(str):
    """Text that is safe to stand in a page."""

    __slots__ = ()


NOTHING = Html("")


class Viewer(NamedTuple):
    """Who looks at a page; id 0 for somebody who is not signed in."""

    id: int
    name: str


def markup(template: str, /, **values: object) -> Html:
    """Fill in a template; what is not Html is escaped, and an iterable of Html is joined.

    >>> markup("<b>{name}</b>", name="<Ada>")
    '<b>&lt;Ada&gt;</b>'
    """
    return Html(template.format_map({name: _safe(value) for name, value in values.items()}))


def join(pieces: Iterable[Html]) -> Html:
    """Pieces of HTML, one after another."""
    return Html("".join(map(_safe, pieces)))


def _safe(value: object) -> str:
    if isinstance(value, Html):
        return value
    return str(value) if isinstance(value, int) else html.escape(str(value))


@lru_cache(maxsize=4096)
def clean(body: str) -> Html:
    """HTML that a user wrote, without what could act or load something.

    >>> clean("<p onclick=x()>Hello<script>x()</script></p>")
    '<p>Hello</p>'
    """
    return Html(nh3.clean(_IMAGE.sub(_image_link, body), tags=ALLOWED_TAGS, url_schemes=SCHEMES))


_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""\b(src|alt)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+))""", re.IGNORECASE)


def _image_link(image: re.Match[str]) -> str:
    """A link to an image. It is made before cleaning, so nothing that stands in it needs to be trusted."""
    found = {name.lower(): "".join(value) for name, *value in _ATTRIBUTE.findall(image[0])}
    return f'<a href="{found.get("src", "")}">[image: {found.get("alt") or "no description"}]</a>'


@lru_cache(maxsize=4096)
def remark(text: str) -> Html:
    """A comment: plain text, of whose Markdown only links and code are shown as such.

    It is escaped first, so that what is put around its parts is all the HTML there is.

    >>> remark("see [this](https://a.example/?q=1) & `x < y`")
    'see <a href="https://a.example/?q=1" rel="nofollow noopener">this</a> &amp; <code>x &lt; y</code>'
    """
    linked = _LINK.sub(r'<a href="\2" rel="nofollow noopener">\1</a>', html.escape(text))
    return Html(_CODE.sub(r"<code>\1</code>", linked))


_LINK = re.compile(r"\[([^\[\]]+)\]\((https?://[^\s()`]+)\)")
_CODE = re.compile(r"`([^`<>]+)`")  # never across a tag that was made before


def web_address(text: str) -> str:
    """A link target from a field that holds an address; '' when it could be anything but a web page.

    >>> web_address("javascript:alert(1)")
    ''
    """
    return text if re.match(r"https?://", text, re.IGNORECASE) else ""


def count(number: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "view"), count(1_200, "view")
    ('1 view', '1,200 views')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def date(moment: str) -> Html:
    """The day of an ISO 8601 moment."""
    return markup('<time datetime="{moment}">{day}</time>', moment=moment, day=moment[:10]) if moment else NOTHING


def layout(title: str, body: Html, viewer: Viewer | None = None) -> Html:
    """A whole page."""
    return markup(_LAYOUT, title=title, site=SITE, body=body, who=_who(viewer))


def _who(viewer: Viewer | None) -> Html:
    if viewer is None or not viewer.id:
        return Html('<a class="button" href="/login">Sign in</a>')
    return markup(_SIGNED_IN, id=viewer.id, name=viewer.name)


_SIGNED_IN = """<a class="me" href="/u/{id}">{name}</a>
<form method="post" action="/logout"><button class="quiet">Sign out</button></form>"""

_LAYOUT = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · {site}</title>
<link rel="stylesheet" href="/static/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<header class="top"><div class="wide"><a class="brand" href="/">{site}</a><nav>{who}</nav></div></header>
<main class="wide">
{body}
</main>
<footer class="wide">Posts by their authors, as in the dump that this site was made from.</footer>
</body>
</html>
"""
