from __future__ import annotations

import os
from typing import Optional

from asynq import asynq
from elsewhere import load


class Page:
    @asynq()
    def may_be_seen_by(self, who):
        return who == "owner"

    @asynq()
    def get(self, key):
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
        return self.page.may_be_seen_by(1), self.first.may_be_seen_by(2), self.names.get(3)


def unknown(kind, who, pages):
    if load(kind).may_be_seen_by(who):
        return [page.may_be_seen_by(who) for page in pages]
    return load(kind).get(who)


def by_annotation(page: Page, maybe: Optional[Page], other: "Other", names: dict[str, str]):
    return page.may_be_seen_by(1), maybe.may_be_seen_by(1), other.may_be_seen_by(1), names.get("a")


def of_others(**names):
    return os.environ.get("a"), {}.get("b"), names.get("c"), load("d").get("e", "f")


@asynq()
def waited(kind):
    return (yield load(kind).may_be_seen_by(1))
