"""The feed with aiodataloader: a set of loaders for each request, memcached in front of MySQL in each batch function."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiodataloader import DataLoader

from examples.qa import people, templates
from examples.qa.html import Html
from tests.bench.peers.feed import KINDS, Stores, name


class Cached(DataLoader[int, Any]):
    """One key type of one request."""

    def __init__(self, stores: Stores, kind: str, me: int) -> None:
        super().__init__()
        self._stores, self._kind, self._me = stores, kind, me

    async def batch_load_fn(self, keys: list[int]) -> list[Any]:
        stores, kind, me = self._stores, self._kind, self._me
        names = [name(kind, key, me, stores.prefix) for key in keys]
        data = await stores.memcached.multi_get(*names)
        decode = KINDS[kind].decode
        found = {key: decode(one) for key, one in zip(keys, data, strict=True) if one is not None}
        if len(found) < len(keys):
            fetched = await stores.fetch(kind, [key for key in keys if key not in found], me)
            encode = KINDS[kind].encode
            await stores.store((name(kind, key, me, stores.prefix), encode(value)) for key, value in fetched.items())
            found |= fetched
        return [found[key] for key in keys]


class Loaders:
    """The loaders of one request."""

    def __init__(self, stores: Stores, me: int) -> None:
        self.post = Cached(stores, "post", me)
        self.tags = Cached(stores, "tags", me)
        self.votes = Cached(stores, "votes", me)
        self.comments_of = Cached(stores, "comments_of", me)
        self.answers_of = Cached(stores, "answers_of", me)
        self.links = Cached(stores, "links", me)
        self.follow = Cached(stores, "follow", me)
        self.my_vote = Cached(stores, "my_vote", me)
        self.user = Cached(stores, "user", me)
        self.badges = Cached(stores, "badges", me)
        self.follow_user = Cached(stores, "follow_user", me)
        self.avatar = Cached(stores, "avatar", me)
        self.comment = Cached(stores, "comment", me)


async def feed(stores: Stores, me: int, ids: Sequence[int]) -> Html:
    """The page."""
    ld = Loaders(stores, me)
    return templates.feed(await asyncio.gather(*[question(ld, me, q) for q in ids]))


async def question(ld: Loaders, me: int, q: int) -> Html:
    post, tags, votes, comment_ids, answer_ids, links, followed, mine = await asyncio.gather(
        ld.post.load(q),
        ld.tags.load(q),
        ld.votes.load(q),
        ld.comments_of.load(q),
        ld.answers_of.load(q),
        ld.links.load(q),
        ld.follow.load(q),
        ld.my_vote.load(q),
    )
    asker, remarks, replies = await asyncio.gather(
        author(ld, me, post.owner_id, post.owner_name),
        comments(ld, me, q, comment_ids),
        answers(ld, me, answer_ids, post.accepted_id),
    )
    return templates.question(me, post, tags, votes, mine, followed, links, asker, remarks, replies)


async def answers(ld: Loaders, me: int, ids: Sequence[int], accepted: int) -> list[Html]:
    return await asyncio.gather(*[answer(ld, me, a, accepted=a == accepted) for a in ids])


async def answer(ld: Loaders, me: int, a: int, *, accepted: bool) -> Html:
    post, votes, comment_ids, mine = await asyncio.gather(
        ld.post.load(a), ld.votes.load(a), ld.comments_of.load(a), ld.my_vote.load(a)
    )
    by, remarks = await asyncio.gather(author(ld, me, post.owner_id, post.owner_name), comments(ld, me, a, comment_ids))
    return templates.answer(me, post, votes, mine, by, remarks, accepted=accepted)


async def author(ld: Loaders, me: int, uid: int, called: str) -> Html:
    user, badges, followed, avatar = await asyncio.gather(
        ld.user.load(uid), ld.badges.load(uid), ld.follow_user.load(uid), ld.avatar.load(uid)
    )
    return people.author(me, user, badges, followed, avatar, called)


async def comments(ld: Loaders, me: int, post: int, ids: Sequence[int]) -> Html:
    return templates.comments(me, post, await asyncio.gather(*[comment(ld, c) for c in ids]))


async def comment(ld: Loaders, c: int) -> Html:
    said = await ld.comment.load(c)
    return templates.comment(said, await ld.user.load(said.user_id))
