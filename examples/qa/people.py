"""How people look: beside what they wrote, on their own page, and in the form to sign in. And what an error says.

Rules of this room: those of `templates.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .html import NOTHING, Html, clean, count, date, join, markup, web_address
from .records import NOBODY, Avatar, Badge, Badges, Heading, User


def follow_button(me: int, kind: str, target: int, followed: int) -> Html:
    """Follow or unfollow a question or a user; nothing where it would make no sense."""
    if kind == "user" and target in (me, NOBODY):
        return NOTHING
    if me == NOBODY:
        return Html('<a class="button follow" href="/login">Follow</a>')
    values = {"kind": kind, "id": target, "on": 0 if followed else 1}
    return markup(_FOLLOW, **values, state="following" if followed else "", word="Following" if followed else "Follow")


def author(me: int, user: User, badges: Badges, followed: int, avatar: Avatar, name: str) -> Html:
    """Who wrote a post. `name` is what a dump still says of somebody whose account is gone."""
    facts = markup(_FACTS, reputation=f"{user.reputation:,}", medals=_medals(badges))
    return markup(
        _AUTHOR,
        photo=photo(avatar, 36),
        name=user_link(user, name),
        facts=NOTHING if user.id == NOBODY else facts,
        follow=follow_button(me, "user", user.id, followed),
    )


def user_link(user: User, name: str = "") -> Html:
    """A user's name; nobody's has no page to lead to."""
    if user.id == NOBODY:
        return markup('<span class="gone">{name}</span>', name=name or user.name)
    return markup('<a class="name" href="/u/{id}">{name}</a>', id=user.id, name=user.name)


def photo(avatar: Avatar, size: int) -> Html:
    """An avatar, `size` pixels wide."""
    return markup(_PHOTO, size=size, hue=avatar.hue, initials=avatar.initials)


def _medals(badges: Badges) -> Html:
    ranks = zip(badges._fields, badges, strict=True)
    shown = [(rank, count) for rank, count in ranks if count]
    return join(
        markup('<span class="medal {rank}" title="{count} {rank}">{count}</span>', rank=rank, count=count)
        for rank, count in shown
    )


def profile(
    me: int,
    user: User,
    avatar: Avatar,
    followers: int,
    followed: int,
    badges: Sequence[Badge],
    questions: Sequence[Heading],
) -> Html:
    """A user's card, badges and best known questions."""
    return markup(
        _PROFILE,
        photo=photo(avatar, 112),
        name=user.name,
        followers=count(followers, "follower"),
        reputation=f"{user.reputation:,}",
        since=date(user.created),
        place=markup('<p class="facts">{place}</p>\n', place=user.location) if user.location else NOTHING,
        site=_site(user.website),
        follow=follow_button(me, "user", user.id, followed),
        bio=clean(user.bio) or Html('<p class="quiet">Has not said anything about themselves.</p>'),
        badges=_section("Badges", "medals", [_badge(badge) for badge in badges]),
        questions=_section("Questions", "titles", [_heading(one) for one in questions]),
    )


def _site(address: str) -> Html:
    safe = web_address(address)
    return markup(_SITE, safe=safe) if safe else NOTHING


def _section(title: str, kind: str, items: Sequence[Html]) -> Html:
    if not items:
        return NOTHING
    return markup(_SECTION, title=title, kind=kind, items=join(items))


def _badge(badge: Badge) -> Html:
    metal = {1: "gold", 2: "silver"}.get(badge.metal, "bronze")
    times = f" x {badge.times}" if badge.times > 1 else ""
    return markup('<li class="medal {metal}">{name}{times}</li>\n', metal=metal, name=badge.name, times=times)


def _heading(one: Heading) -> Html:
    return markup(
        '<li><a href="/q/{id}">{title}</a> <span class="quiet">{views}</span></li>\n',
        id=one.id, title=one.title, views=count(one.views, "view"),
    )  # fmt: skip


def login(people: Sequence[Html]) -> Html:
    """The form to sign in as anybody."""
    return markup(_LOGIN, people=join(people))


def person(user: User, avatar: Avatar) -> Html:
    """Somebody to sign in as."""
    return markup(_PERSON, id=user.id, name=user.name, photo=photo(avatar, 36), reputation=f"{user.reputation:,}")


def problem(status: int, title: str, text: str) -> Html:
    """What an error says to a reader."""
    return markup(_PROBLEM, status=status, title=title, text=text)


_FOLLOW = """<form class="inline" method="post" action="/follow"><input type="hidden" name="{kind}" value="{id}">\
<button class="follow {state}" name="on" value="{on}">{word}</button></form>"""

_AUTHOR = """<div class="author">{photo}<div>{name}{facts}</div>{follow}</div>"""

_FACTS = """ <span class="reputation" title="reputation">{reputation}</span>{medals}"""

_PHOTO = """<svg class="photo" width="{size}" height="{size}" viewBox="0 0 40 40" aria-hidden="true">\
<rect width="40" height="40" rx="20" fill="hsl({hue} 45% 42%)"/>\
<text x="20" y="26" text-anchor="middle" font-size="16" fill="#fff">{initials}</text></svg>"""

_PROFILE = """<section class="profile">
<div class="card">{photo}
<div><h1>{name}</h1>
<p class="facts">{followers} · {reputation} reputation · here since {since}</p>
{place}{site}{follow}</div>
</div>
<div class="body bio">{bio}</div>
{questions}{badges}
</section>
"""

_SITE = """<p class="facts"><a href="{safe}" rel="nofollow noopener">{safe}</a></p>
"""

_SECTION = """<h2>{title}</h2>
<ul class="{kind}">
{items}</ul>
"""

_LOGIN = """<section class="login">
<h1>Sign in</h1>
<p>This is a demonstration: be whoever you like. No password is asked.</p>
<form method="post" action="/login" class="byid"><label>User number <input name="user" inputmode="numeric" required \
pattern="-?[0-9]+"></label><button>Sign in</button></form>
<h2>Or as one of these</h2>
<div class="people">
{people}</div>
</section>
"""

_PERSON = """<form method="post" action="/login"><button name="user" value="{id}" class="person">{photo}\
<span>{name}<small>{reputation} reputation</small></span></button></form>
"""

_PROBLEM = """<section class="problem">
<p class="status">{status}</p>
<h1>{title}</h1>
<p>{text}</p>
<p><a class="button" href="/">To the questions</a></p>
</section>
"""
