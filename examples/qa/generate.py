"""A seeded site of the shape of a real one, for the repository ships no dump.

Rules of this room: the same seed gives the same bytes; every choice comes from one `random.Random`, drawn in one
order, and no clock is read. The shape is that of a meta site's public dump: 1.8 answers to a question, 1.7 comments to
a post, 15 badges and 14 votes to a question, six accounts for each question of which few ever write; and a few
questions that draw most of the views, the answers and the remarks.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from . import invented
from .dump import ANSWER, QUESTION, add_follows
from .records import NOBODY
from .store import add

START = datetime(2019, 3, 4, 8, 0, tzinfo=UTC)

FIRST = ("Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Grete", "Hana", "Ines", "Jonas", "Kamala", "Lucie",
         "Mateo", "Noor", "Olga", "Pedro", "Quentin", "Rosa")  # fmt: skip
LAST = ("Abel", "Brandt", "Costa", "Duval", "Egger", "Fontaine", "Garcia", "Haddad", "Ito", "Jansen", "Keller",
        "Lindqvist", "Moreau", "Novak", "Okafor", "Petit")  # fmt: skip
PLACES = ("", "", "Lyon", "Turin", "Ghent", "Porto", "Oslo", "Graz", "a houseboat", "between two trains", "Montréal")
TAGS = ("sourdough", "rye", "ovens", "flour", "hydration", "starters", "crust", "timing", "storage", "shaping", "steam",
        "tools", "pizza", "rolls", "enriched-dough", "whole-grain", "history", "beginners", "altitude", "salt")  # fmt: skip
BADGES = (("Student", 3), ("Teacher", 3), ("Editor", 3), ("Supporter", 3), ("Scholar", 3), ("Commentator", 3),
          ("Nice Answer", 3), ("Yearling", 2), ("Good Question", 2), ("Notable Question", 2), ("Great Answer", 1))  # fmt: skip
THINGS = ("my rye loaf", "a stiff starter", "the crust", "a cold oven", "wholemeal flour", "the second rise",
          "a baking stone", "the crumb", "a wet dough", "the banneton", "yesterday's levain", "the score")  # fmt: skip
DOINGS = ("spread instead of rising", "turn out gummy", "smell of vinegar", "crack along the side", "stay pale",
          "stick to everything", "collapse in the oven", "taste of nothing", "dry out overnight")  # fmt: skip
ADVICE = ("Give it more time and less yeast", "Weigh the water, do not pour it", "Let the loaf cool before you cut it",
          "Use a lower shelf and more steam", "Feed it twice a day for a week", "Fold it gently, four times is enough",
          "Keep the dough at 24 degrees", "Buy a thermometer, it ends most arguments")  # fmt: skip
REASONS = ("gluten needs rest as much as work", "the enzymes go on while you sleep", "most ovens lie about their heat",
           "flour is never twice the same", "acid slows the yeast down", "steam keeps the skin soft at first")  # fmt: skip
REMARKS = ("Did you weigh the salt?", "This worked for me, thank you.", "Which flour was it?", "At what temperature?",
           "I would not go above 70 % water here.", "Same thing in my oven.", "A photo would help.",
           "The second half deserves an answer of its own.", "& how long did it rest before that?")  # fmt: skip

Row = tuple[object, ...]


class Plan(NamedTuple):
    """What is written about one question: how much, and when."""

    id: int
    answers: int
    fame: float  # 1 is ordinary


def fill(connection: sqlite3.Connection, questions: int, seed: int) -> None:
    """Fill the tables of a new site."""
    chance = random.Random(seed)
    users = list(range(1, 6 * questions + 2))
    _people(connection, users, chance)
    writers = users[: max(5, len(users) // 8)]
    plans = list(_plans(questions, chance))
    _writings(connection, plans, writers, chance)
    posts = connection.execute("SELECT id, views FROM posts ORDER BY id").fetchall()
    _votes(connection, posts, users, chance, seed)
    _links(connection, [plan.id for plan in plans], chance)
    add_follows(connection, users, [plan.id for plan in plans], seed)


def _people(connection: sqlite3.Connection, users: list[int], chance: random.Random) -> None:
    """Accounts, their avatars and their badges; and nobody's account."""
    rows: list[Row] = [_user(user, chance) for user in users]
    rows.append((NOBODY, "someone", 0, "", "", "", ""))
    add(connection, "users", rows)
    add(connection, "avatars", (invented.avatar(int(str(row[0])), str(row[1])) for row in rows))
    badges = ((user, *chance.choice(BADGES)) for user in users for _ in range(_about(chance, 40 / (5 + user % 40))))
    add(connection, "badges", ((number, *badge) for number, badge in enumerate(badges, 1)))


def _user(user: int, chance: random.Random) -> Row:
    name = f"{chance.choice(FIRST)} {chance.choice(LAST)}"
    bio = f"<p>I bake on Sundays. <em>{chance.choice(ADVICE)}</em>: {chance.choice(REASONS)}.</p>"
    site = f"https://bakers.example/{user}" if chance.random() < 0.3 else ""
    created = _time(chance.randrange(2_000))
    return user, name, 1 + int(chance.paretovariate(0.6)) % 20_000, created, chance.choice(PLACES), site, bio


def _plans(questions: int, chance: random.Random) -> Iterator[Plan]:
    """Numbers of the posts, as they would come on a real site: a question, its answers, the next question."""
    number = 1
    for _ in range(questions):
        fame = min(chance.paretovariate(1.5), 40.0)
        answers = min(_about(chance, 1.2 + 0.2 * fame), 15)
        yield Plan(number, answers, fame)
        number += 1 + answers


def _writings(connection: sqlite3.Connection, plans: list[Plan], writers: list[int], chance: random.Random) -> None:
    """Posts, their tags and their comments, question by question."""
    numbers = iter(range(1, 1 << 62))
    uses = dict.fromkeys(TAGS, 0)
    for plan in plans:
        posts = [_question(plan, writers, chance), *_answers(plan, writers, chance)]
        add(connection, "posts", posts)
        names = chance.sample(TAGS, 1 + _about(chance, 1.2) % 4)
        add(connection, "post_tags", ((plan.id, place, name) for place, name in enumerate(names)))
        uses.update({name: uses[name] + 1 for name in names})
        add(connection, "comments", _comments(plan, numbers, writers, chance))
    add(connection, "tags", uses.items())


def _question(plan: Plan, writers: list[int], chance: random.Random) -> Row:
    thing, doing = chance.choice(THINGS), chance.choice(DOINGS)
    title = f"Why does {thing} {doing}, and is {chance.choice(THINGS)} to blame? ({plan.id})"
    body = f"<p>For three weeks now {thing} has begun to {doing}. I know that {chance.choice(REASONS)}.</p>"
    body += f"<ul><li>{chance.choice(ADVICE)}: tried.</li><li>{chance.choice(ADVICE)}: not yet.</li></ul>"
    accepted = plan.id + 1 if plan.answers and chance.random() < 0.4 else 0
    views = int(40 * plan.fame + chance.randrange(40))
    owner, name = _author(writers, chance)
    return plan.id, QUESTION, 0, title, body, _time(plan.id), views, owner, name, accepted


def _answers(plan: Plan, writers: list[int], chance: random.Random) -> Iterator[Row]:
    for number in range(plan.id + 1, plan.id + 1 + plan.answers):
        body = "".join(
            f"<p>{chance.choice(ADVICE)}. It helps because {chance.choice(REASONS)}.</p>"
            for _ in range(1 + _about(chance, 1.5))
        )
        owner, name = _author(writers, chance)
        yield number, ANSWER, plan.id, "", body, _time(number), 0, owner, name, 0


def _comments(plan: Plan, numbers: Iterator[int], writers: list[int], chance: random.Random) -> Iterator[Row]:
    for post in range(plan.id, plan.id + 1 + plan.answers):
        for _ in range(min(_about(chance, 1.3 + 0.15 * plan.fame), 15)):
            score = _about(chance, 0.5)
            yield next(numbers), post, chance.choice(REMARKS), score, _time(post), *_author(writers, chance)


def _votes(
    connection: sqlite3.Connection, posts: list[tuple[int, int]], users: list[int], chance: random.Random, seed: int
) -> None:
    """About five votes to a post, more to what many have seen; one in ten is against."""
    cast = (
        (post, -1 if chance.random() < 0.1 else 1)
        for post, views in posts
        for _ in range(_about(chance, 3 + views / 40))
    )
    add(connection, "votes", invented.voters(cast, users, seed))


def _links(connection: sqlite3.Connection, questions: list[int], chance: random.Random) -> None:
    """Every second question points to one that was asked earlier."""
    pairs = [
        (later, chance.choice(questions[:place]), 3 if chance.random() < 0.07 else 1)
        for place, later in enumerate(questions)
        if place and chance.random() < 0.5
    ]
    add(connection, "links", ((number, *pair) for number, pair in enumerate(pairs, 1)))


def _author(writers: list[int], chance: random.Random) -> tuple[int, str]:
    """A few write most; one in thirty has left, and only the name remains."""
    if chance.random() < 1 / 30:
        return NOBODY, f"user{chance.randrange(100, 1000)}"
    return writers[int(len(writers) * chance.random() ** 2)], ""


def _about(chance: random.Random, mean: float) -> int:
    """A whole number around a mean, skewed as such counts are: many small ones, a few large."""
    return int(chance.expovariate(1 / mean) + 0.5)


def _time(step: int) -> str:
    return (START + timedelta(hours=7 * step)).isoformat()
