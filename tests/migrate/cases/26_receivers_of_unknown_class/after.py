from __future__ import annotations

import os
from typing import Optional

from elsewhere import load
import batchio.compat.asynq
import batchio.tools


class Page:
    async def may_be_seen_by(self, who):
        return who == "owner"

    async def get(self, key):
        return key


class Other:
    def may_be_seen_by(self, who):
        return True


class Shelf:
    def __init__(self, page: Page):
        self.page = page
        self.names = {}

    @property
    def first(self) -> Page:
        return self.page

    def known(self):
        return batchio.tools.run_sync(self.page.may_be_seen_by(1)), batchio.tools.run_sync(self.first.may_be_seen_by(2)), self.names.get(3)


def unknown(kind, who, pages):
    # batchio: may_be_seen_by may be async here, and gives a coroutine then: await it, or batchio.tools.run_sync
    if load(kind).may_be_seen_by(who):
        # batchio: may_be_seen_by may be async here, and gives a coroutine then: await it, or batchio.tools.run_sync
        return [page.may_be_seen_by(who) for page in pages]
    # batchio: get may be async here, and gives a coroutine then: await it, or batchio.tools.run_sync
    return load(kind).get(who)


def by_annotation(page: Page, maybe: Optional[Page], other: "Other", names: dict[str, str]):
    return batchio.tools.run_sync(page.may_be_seen_by(1)), batchio.tools.run_sync(maybe.may_be_seen_by(1)), other.may_be_seen_by(1), names.get("a")


def of_others(**names):
    return os.environ.get("a"), {}.get("b"), names.get("c"), load("d").get("e", "f")


async def waited(kind):
    return await batchio.compat.asynq.unwrap(load(kind).may_be_seen_by(1))
