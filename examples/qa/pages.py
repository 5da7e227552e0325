"""The pages, written one item at a time.

Rules of this room: a render function asks for what its own item shows, and for nothing else. Nothing here knows that
loads leave in batches; that a feed of ten questions is a few dozen statements and not eight hundred is not decided
here. Things that do not wait for each other are asked for in one `gather`; that is all the care that it takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import batchio

from . import people, templates
from .html import NOTHING, Html
from .loaders import Loaders


async def feed(ld: Loaders, me: int, ids: Sequence[int], pager: Html = NOTHING) -> Html:
    """Whole questions, one below the other."""
    return templates.feed(await batchio.gather([question(ld, me, q) for q in ids]), pager)


async def question(ld: Loaders, me: int, q: int, *, unfolded: bool = False) -> Html:
    """A question with its asker, its comments and its answers."""
    post, tags, votes, comment_ids, answer_ids, links, followed, mine = await batchio.gather(
        ld.post(q),
        ld.tags(q),
        ld.votes(q),
        ld.comments_of(q),
        ld.answers_of(q),
        ld.links(q),
        ld.follow((me, q)),
        ld.my_vote((me, q)),
    )
    asker, remarks, replies = await batchio.gather(
        author(ld, me, post.owner_id, post.owner_name),
        comments(ld, me, q, comment_ids),
        answers(ld, me, answer_ids, post.accepted_id),
    )
    return templates.question(
        me, post, tags, votes, mine, followed, links, asker, remarks, replies, unfolded=unfolded
    )  # fmt: skip


async def answers(ld: Loaders, me: int, ids: Sequence[int], accepted: int) -> list[Html]:
    """The answers of a question."""
    return await batchio.gather([answer(ld, me, a, accepted=a == accepted) for a in ids])


async def answer(ld: Loaders, me: int, a: int, *, accepted: bool) -> Html:
    """An answer with its author and its comments."""
    post, votes, comment_ids, mine = await batchio.gather(
        ld.post(a), ld.votes(a), ld.comments_of(a), ld.my_vote((me, a))
    )
    by, remarks = await batchio.gather(author(ld, me, post.owner_id, post.owner_name), comments(ld, me, a, comment_ids))
    return templates.answer(me, post, votes, mine, by, remarks, accepted=accepted)


async def author(ld: Loaders, me: int, uid: int, name: str) -> Html:
    """Who wrote a post."""
    user, badges, followed, avatar = await batchio.gather(
        ld.user(uid), ld.badges(uid), ld.follow_user((me, uid)), ld.avatar(uid)
    )
    return people.author(me, user, badges, followed, avatar, name)


async def comments(ld: Loaders, me: int, post: int, ids: Sequence[int]) -> Html:
    """The comments under a post."""
    return templates.comments(me, post, await batchio.gather([comment(ld, c) for c in ids]))


async def comment(ld: Loaders, c: int) -> Html:
    """One comment and its author's name."""
    said = await ld.comment(c)
    return templates.comment(said, await ld.user(said.user_id))


async def profile(ld: Loaders, me: int, uid: int) -> Html:
    """The page of a user."""
    user, avatar, followers, followed, badges, questions = await batchio.gather(
        ld.user(uid),
        ld.avatar(uid),
        ld.followers(uid),
        ld.follow_user((me, uid)),
        ld.badge_list(uid),
        ld.written((uid, 1)),
    )
    return people.profile(me, user, avatar, followers, followed, badges, questions)


async def login(ld: Loaders, ids: Sequence[int]) -> Html:
    """The form to sign in, with some people to sign in as."""
    return people.login(await batchio.gather([person(ld, uid) for uid in ids]))


async def person(ld: Loaders, uid: int) -> Html:
    """Somebody to sign in as."""
    user, avatar = await batchio.gather(ld.user(uid), ld.avatar(uid))
    return people.person(user, avatar)
