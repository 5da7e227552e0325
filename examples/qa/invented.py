"""What a dump does not tell, made up from a seed: who voted, who follows whom, and what everybody looks like.

Rules of this room: pure, and the same for the same seed on every run and machine.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

SEED = 2  # of the people that an import makes up; `generate` takes its own

Pair = tuple[int, int]


def avatar(user_id: int, name: str) -> tuple[int, str, int]:
    """A row of avatars: at most two initials, and a hue that neighbours do not share.

    >>> avatar(7, "Ada Lovelace")
    (7, 'AL', 239)
    """
    words = re.findall(r"\w+", name) or ["?"]
    initials = "".join(word[0] for word in (words[0], *words[1:][-1:])).upper()[:2]
    return user_id, initials, user_id * 137 % 360  # 137 degrees, the golden angle: the next hue is far from the last


def voters(votes: Iterable[Pair], users: Sequence[int], seed: int) -> Iterator[tuple[int | None, int, int]]:
    """Give each anonymous vote (post, value) a user, no user twice on one post.

    The users are shuffled once and each post takes a run of them from a place of its own: no set of the pairs given
    so far is needed, which for a large dump would not fit in memory. A post with more votes than there are users
    keeps the rest anonymous.
    """
    order = list(users)
    random.Random(seed).shuffle(order)
    taken: Counter[int] = Counter()
    for post, value in votes:
        place = taken[post]
        taken[post] += 1
        user = order[(post * 7919 + place) % len(order)] if place < len(order) else None
        yield user, post, value


def follows(sources: Sequence[int], targets: Iterable[int], seed: int, mean: float) -> Iterator[Pair]:
    """Pairs (follower, target): each target gets about ``mean`` followers, a few get many; nobody follows himself."""
    chance = random.Random(seed)
    for target in targets:
        wanted = min(int(chance.expovariate(1 / mean)), len(sources))
        for source in sorted(chance.sample(sources, wanted)):
            if source != target:
                yield source, target
