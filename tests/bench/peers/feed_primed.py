"""The feed primed by hand: one `multi_get` a level for all key types, a statement for each key type that misses.

Rules: first all data, level by level; then the page, from dicts, with no await in it. `Primed` stands on the drivers
alone. `PrimedOnCache` is the same handler on batchio's cache: what a page costs where only its tasks are gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from examples.qa import people, templates
from examples.qa.html import Html
from examples.qa.primed import VIEWERS_OWN
from tests.bench.peers.feed import KINDS, TTL, Stores, name

Wanted = Mapping[str, Sequence[int]]


class Primed:
    """The values of one page."""

    def __init__(self, stores: Stores, me: int) -> None:
        self.me = me
        self._stores = stores
        self.values: dict[str, dict[int, Any]] = {kind: {} for kind in KINDS}

    @property
    def shape(self) -> dict[str, int]:
        """How many keys the page has, and how many of them are its viewer's own."""
        return {
            "keys": sum(map(len, self.values.values())),
            "own": sum(len(self.values[kind]) for kind in VIEWERS_OWN),
        }

    async def prime(self, **wanted: Sequence[int]) -> None:
        """Fetch one level."""
        missing = await self._look_up({kind: self._new(kind, keys) for kind, keys in wanted.items()})
        if missing:
            fetched = await asyncio.gather(*[self._stores.fetch(kind, keys, self.me) for kind, keys in missing.items()])
            for kind, values in zip(missing, fetched, strict=True):
                self.values[kind] |= values
            await self._store(dict(zip(missing, fetched, strict=True)))

    def _new(self, kind: str, keys: Sequence[int]) -> list[int]:
        known = self.values[kind]
        return [key for key in dict.fromkeys(keys) if key not in known]

    async def _look_up(self, wanted: Wanted) -> dict[str, list[int]]:
        """Take what memcached has; gives what it has not."""
        asked = [(kind, key) for kind, keys in wanted.items() for key in keys]
        if not asked:
            return {}
        names = [name(kind, key, self.me, self._stores.prefix) for kind, key in asked]
        missing: dict[str, list[int]] = {}
        for (kind, key), data in zip(asked, await self._stores.memcached.multi_get(*names), strict=True):
            if data is None:
                missing.setdefault(kind, []).append(key)
            else:
                self.values[kind][key] = KINDS[kind].decode(data)
        return missing

    async def _store(self, fetched: Mapping[str, Mapping[int, Any]]) -> None:
        await self._stores.store(
            (name(kind, key, self.me, self._stores.prefix), KINDS[kind].encode(value))
            for kind, values in fetched.items()
            for key, value in values.items()
        )


class PrimedOnCache(Primed):
    """The same, on what `MemcachedCache.bind` gave for each key type."""

    def __init__(self, stores: Stores, me: int, bound: Mapping[str, Any]) -> None:
        super().__init__(stores, me)
        self._bound = bound
        self._leases: dict[str, Any] = {}

    async def _look_up(self, wanted: Wanted) -> dict[str, list[int]]:
        asked = {kind: self._keys(kind, keys) for kind, keys in wanted.items() if keys}
        lookups = await asyncio.gather(*[self._bound[kind].get_many(list(keys)) for kind, keys in asked.items()])
        missing: dict[str, list[int]] = {}
        for (kind, keys), found in zip(asked.items(), lookups, strict=True):
            self.values[kind] |= {keys[key]: value for key, value in found.hits.items()}
            if len(found.hits) < len(keys):
                self._leases[kind] = found.leases
                missing[kind] = [plain for key, plain in keys.items() if key not in found.hits]
        return missing

    def _keys(self, kind: str, keys: Sequence[int]) -> dict[Any, int]:
        return {(self.me, key): key for key in keys} if kind in VIEWERS_OWN else {key: key for key in keys}

    async def _store(self, fetched: Mapping[str, Mapping[int, Any]]) -> None:
        fills = []
        for kind, values in fetched.items():
            own = {key: values[plain] for key, plain in self._keys(kind, list(values)).items()}
            fills.append(self._bound[kind].fill_many(own, self._leases.pop(kind), TTL))
        await asyncio.gather(*fills)


async def feed(page: Primed, questions: Sequence[int]) -> Html:
    """The page."""
    await prime(page, questions)
    return templates.feed([question(page, q) for q in questions])


# First all the data -------------------------------------------------------------------------------------------------


async def prime(page: Primed, qs: Sequence[int]) -> None:
    """The four levels."""
    values = page.values
    await page.prime(
        post=qs, tags=qs, votes=qs, comments_of=qs, answers_of=qs, links=qs, follow=qs, my_vote=qs
    )  # fmt: skip
    answers = [a for q in qs for a in values["answers_of"][q]]
    remarks = [c for q in qs for c in values["comments_of"][q]]
    askers = [values["post"][q].owner_id for q in qs]
    await page.prime(
        user=askers, badges=askers, follow_user=askers, avatar=askers, comment=remarks,
        post=answers, votes=answers, comments_of=answers, my_vote=answers,
    )  # fmt: skip
    replies = [c for a in answers for c in values["comments_of"][a]]
    writers = [values["post"][a].owner_id for a in answers]
    remarkers = [values["comment"][c].user_id for c in remarks]
    await page.prime(user=[*remarkers, *writers], badges=writers, follow_user=writers, avatar=writers, comment=replies)
    await page.prime(user=[values["comment"][c].user_id for c in replies])


# Then the page ------------------------------------------------------------------------------------------------------


def question(page: Primed, q: int) -> Html:
    values = page.values
    post = values["post"][q]
    return templates.question(
        page.me,
        post,
        values["tags"][q],
        values["votes"][q],
        values["my_vote"][q],
        values["follow"][q],
        values["links"][q],
        author(page, post),
        comments(page, q),
        [answer(page, a, accepted=a == post.accepted_id) for a in values["answers_of"][q]],
    )


def answer(page: Primed, a: int, *, accepted: bool) -> Html:
    values = page.values
    post, mine = values["post"][a], values["my_vote"][a]
    by, remarks = author(page, post), comments(page, a)
    return templates.answer(page.me, post, values["votes"][a], mine, by, remarks, accepted=accepted)


def author(page: Primed, post: Any) -> Html:
    values, uid = page.values, post.owner_id
    badges, followed = values["badges"][uid], values["follow_user"][uid]
    return people.author(page.me, values["user"][uid], badges, followed, values["avatar"][uid], post.owner_name)


def comments(page: Primed, post: int) -> Html:
    return templates.comments(page.me, post, [comment(page, c) for c in page.values["comments_of"][post]])


def comment(page: Primed, c: int) -> Html:
    said = page.values["comment"][c]
    return templates.comment(said, page.values["user"][said.user_id])
