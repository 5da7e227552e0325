"""The site behind a real server: pages, signing in, writes that the next read sees, and what goes wrong."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import ClientResponse

import batchio
from examples.qa import app, session

from .qa_browser import SECRET, Browser, serving

ONE_LOOP = pytest.mark.flavours("asyncio")  # what a handler refuses does not hang on the loop


@pytest.fixture
async def browser(tiny_site: Path) -> AsyncIterator[Browser]:
    """Nobody, at the tiny site, behind a cache that must be told of every write."""
    async with serving(tiny_site, cache=batchio.MemoryCache()) as browser:
        yield browser


def score(page: str, post: int) -> int:
    """The score that a page shows for a post."""
    found = re.search(rf'id="p{post}">.*?<b title="[^"]*">(-?\d+)</b>', page, re.DOTALL)
    assert found
    return int(found[1])


# Pages -----------------------------------------------------------------------------------------------------------


async def test_the_feed_shows_whole_questions(browser: Browser) -> None:
    """The feed has the most viewed question first, with answers, comments and names."""
    page = await browser.text("/")
    assert page.index("Why does it stop?") < page.index("How does it loop?")
    for shown in ("Slowly.", "In turns.", "Which one?", "Ada Lovelace", "user22", "295 views", "2 answers", "loops"):
        assert shown in page


async def test_the_feed_has_pages(generated_site: Path) -> None:
    """The feed goes on, ten at a time, to its last page."""
    async with serving(generated_site) as browser:
        first, second, last = [await browser.text(f"/?page={page}") for page in (1, 2, 20)]
    assert [len(re.findall('class="post question"', page)) for page in (first, second, last)] == [10, 10, 10]
    assert set(re.findall(r'question" id="p(\d+)"', first)).isdisjoint(re.findall(r'question" id="p(\d+)"', second))
    assert ['rel="next"' in page for page in (first, second, last)] == [True, True, False]
    assert ['rel="prev"' in page for page in (first, second, last)] == [False, True, True]


async def test_the_accepted_answer_comes_first(browser: Browser) -> None:
    """A question's page has the accepted answer first, though another has more votes."""
    page = await browser.text("/q/1")
    assert score(page, 10) > score(page, 11)
    assert page.index('id="p11"') < page.index('id="p10"')
    assert "Accepted by the asker" in page


async def test_an_answers_number_leads_to_its_question(browser: Browser) -> None:
    """An answer has no page of its own."""
    response = await browser.get("/q/10")
    assert (response.status, response.headers["Location"]) == (303, "/q/1#p10")


async def test_the_profile_card(browser: Browser) -> None:
    """A user's page has name, photo, bio, followers and a follow button; and badges and questions."""
    page = await browser.text("/u/2")
    for shown in (
        "Ada Lovelace",
        "<svg",
        "<p>I write notes.</p>",
        "follower",
        "Follow</a>",
        "Teacher",
        "How does it loop?",
    ):
        assert shown in page


async def test_nothing_is_loaded_from_elsewhere(browser: Browser) -> None:
    """Every answer forbids scripts and strangers' files, errors and style sheets too."""
    for path in ("/", "/q/nonsense", "/static/style.css"):
        response = await browser.get(path)
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self';")
        assert response.headers["X-Content-Type-Options"] == "nosniff"


# Signing in ------------------------------------------------------------------------------------------------------


async def test_anyone_may_be_anyone(browser: Browser) -> None:
    """The form signs in as any user, in a cookie that scripts and other sites cannot use, and out again."""
    assert "Ada Lovelace" in await browser.text("/login")
    response = await browser.send("/login", user=3)
    assert (response.status, response.headers["Location"]) == (303, "/")
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert '<a class="me" href="/u/3">Grete</a>' in await browser.text("/")
    assert (await browser.send("/logout")).status == 303
    assert "Sign in" in await browser.text("/")


@ONE_LOOP
@pytest.mark.parametrize(
    "cookie",
    [
        session.sign(SECRET, 2).replace("2", "3", 1),
        session.sign(b"guessed", 3),
        session.sign(SECRET, 404),  # signed here, but its user is gone
        session.sign(SECRET, 0),
        "3",
    ],
)
async def test_a_cookie_that_is_not_ours_is_nobody(browser: Browser, cookie: str) -> None:
    """A tampered cookie, or one of a user that is gone, reads as nobody and may write nothing."""
    browser.client.session.cookie_jar.update_cookies({session.COOKIE: cookie})
    page = await browser.text("/")
    assert 'href="/login">Sign in</a>' in page
    assert "<form" not in page
    assert (await browser.send("/vote", post=1, value=1)).status == 403


# Writes ----------------------------------------------------------------------------------------------------------


async def test_a_vote_is_seen_by_the_next_read(browser: Browser) -> None:
    """A vote changes the score, another replaces it, and it can be taken back."""
    await browser.sign_in(2)
    await browser.send("/vote", post=1, value=0)
    start = score(await browser.text("/"), 1)
    seen = []
    for value in (1, 1, -1, 0):
        assert (await browser.send("/vote", post=1, value=value)).status == 303
        seen.append(score(await browser.text("/"), 1) - start)
    assert seen == [1, 1, -1, 0]


async def test_a_vote_is_the_voters_own(browser: Browser) -> None:
    """The voter sees his vote lit; nobody else does."""
    await browser.sign_in(2)
    await browser.send("/vote", post=11, value=1)
    lit = r'id="p11">\s*<form class="votes".*?value="0" aria-pressed="true" aria-label="Vote for"'
    assert re.search(lit, await browser.text("/q/1"), re.DOTALL)
    await browser.sign_in(3)
    assert not re.search(lit, await browser.text("/q/1"), re.DOTALL)


async def test_votes_order_the_answers(tiny_site: Path) -> None:
    """Where none is accepted the best answer comes first, as soon as the vote is cast."""
    with closing(sqlite3.connect(tiny_site)) as connection, connection:
        connection.execute("UPDATE posts SET accepted_id = 0")
        connection.execute("DELETE FROM votes")
    async with serving(tiny_site, cache=batchio.MemoryCache()) as browser:
        before = await browser.text("/q/1")
        await browser.sign_in(2)
        await browser.send("/vote", post=11, value=1)
        after = await browser.text("/q/1")
    assert before.index('id="p10"') < before.index('id="p11"')
    assert after.index('id="p11"') < after.index('id="p10"')


async def test_following_a_question_is_seen_by_the_next_read(browser: Browser) -> None:
    """A question is followed and unfollowed, twice the same being no error."""
    await browser.sign_in(3)
    seen = []
    for on in (0, 1, 1, 0):
        assert (await browser.send("/follow", question=4, on=on)).status == 303
        seen.append("Following" in await browser.text("/q/4"))
    assert seen == [False, True, True, False]


async def test_following_a_user_is_seen_by_the_next_read(browser: Browser) -> None:
    """A follower counts on the user's page at once."""
    await browser.sign_in(3)
    seen = []
    for on in (0, 1, 1, 0):
        assert (await browser.send("/follow", page="/u/2", user=2, on=on)).headers["Location"] == "/u/2"
        page = await browser.text("/u/2")
        seen.append((int(re.findall(r"(\d+) follower", page)[0]), "Following" in page))
    fewest = seen[0][0]
    assert seen == [(fewest, False), (fewest + 1, True), (fewest + 1, True), (fewest, False)]


async def test_a_comment_is_seen_by_the_next_read(browser: Browser) -> None:
    """A comment stands under its post, with its author's name, and leads back to where it was written."""
    await browser.text("/")  # which fills the cache
    await browser.sign_in(3)
    response = await browser.send("/comment", page="/?page=1", post=10, text="  By steam & patience.  ")
    assert (response.status, response.headers["Location"]) == (303, "/?page=1#p10")
    page = await browser.text("/")
    assert re.search(r">By steam &amp; patience\. <span class=\"by\"><a class=\"name\" href=\"/u/3\">Grete</a>", page)


FORMS = {"/vote": {"post": 1, "value": 1}, "/follow": {"user": 2, "on": 1}, "/comment": {"post": 1, "text": "x"}}


def everything(path: Path) -> list[object]:
    """What the writes could change."""
    tables = ("votes", "follows", "user_follows", "comments")
    with closing(sqlite3.connect(path)) as connection:
        return [connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables]


@ONE_LOOP
@pytest.mark.parametrize("path", [*FORMS, "/login", "/logout"])
async def test_a_form_from_elsewhere_is_refused(browser: Browser, tiny_site: Path, path: str) -> None:
    """A form that came from another site, or does not say from where, changes nothing."""
    await browser.sign_in(3)
    before = everything(tiny_site)
    form = FORMS.get(path, {"user": 2})
    for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Referer": "http://evil.example/"}):
        assert (await browser.send(path, headers=headers, **form)).status == 403
    assert everything(tiny_site) == before
    assert "Grete" in await browser.text("/login")


@ONE_LOOP
@pytest.mark.parametrize("path", FORMS)
async def test_nobody_may_not_write(browser: Browser, tiny_site: Path, path: str) -> None:
    """Who is not signed in changes nothing, and is told so."""
    before = everything(tiny_site)
    response = await browser.send(path, **FORMS[path])
    assert response.status == 403
    assert "Sign in first" in await response.text()
    assert everything(tiny_site) == before


@ONE_LOOP
@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/vote", {}, 400),
        ("/vote", {"post": 1}, 400),
        ("/vote", {"post": 1, "value": 2}, 400),
        ("/vote", {"post": 1, "value": "1.0"}, 400),
        ("/vote", {"post": "1; DROP TABLE votes", "value": 1}, 400),
        ("/vote", {"post": 999, "value": 1}, 404),
        ("/follow", {"on": 1}, 400),
        ("/follow", {"question": 1}, 400),
        ("/follow", {"question": 10, "on": 1}, 400),  # an answer
        ("/follow", {"question": 999, "on": 1}, 404),
        ("/follow", {"user": 3, "on": 1}, 400),  # oneself
        ("/follow", {"user": 0, "on": 1}, 400),  # nobody
        ("/follow", {"user": 999, "on": 1}, 404),
        ("/comment", {"post": 1}, 400),
        ("/comment", {"post": 1, "text": " \n "}, 400),
        ("/comment", {"post": 1, "text": "x" * 601}, 400),
        ("/comment", {"post": 1, "text": "x" * 20_000}, 413),
        ("/comment", {"post": 999, "text": "x"}, 404),
        ("/login", {"user": "Ada"}, 400),
        ("/login", {"user": 999}, 404),
        ("/login", {"user": 0}, 404),
    ],
)
async def test_a_form_that_makes_no_sense_changes_nothing(
    browser: Browser, tiny_site: Path, path: str, form: dict[str, object], status: int
) -> None:
    """A malformed form is 400, an unknown post or user 404, and neither reaches the database."""
    await browser.sign_in(3)
    before = everything(tiny_site)
    response = await browser.send(path, **form)
    await is_a_page(response, status)
    assert everything(tiny_site) == before


async def test_a_form_that_cannot_be_read_is_refused(browser: Browser) -> None:
    """A body in a charset that does not exist is the sender's mistake."""
    await browser.sign_in(3)
    headers = {"Origin": browser.home, "Content-Type": "application/x-www-form-urlencoded; charset=klingon"}
    await is_a_page(await browser.client.post("/vote", data=b"post=1&value=1", headers=headers), 400)


# What goes wrong -------------------------------------------------------------------------------------------------


async def is_a_page(response: ClientResponse, status: int) -> str:
    """An error is a page of the site, and says nothing of its inside."""
    text = await response.text()
    assert response.status == status, text
    assert response.content_type == "text/html"
    assert '<a class="brand" href="/">' in text
    assert "Traceback" not in text
    return text


@ONE_LOOP
@pytest.mark.parametrize("path", ["/q/999", "/u/999", "/u/0", "/?page=2", "/nowhere", "/static/app.py"])
async def test_what_is_not_there_is_404(browser: Browser, path: str) -> None:
    """An unknown question, user, page or address is 404."""
    await is_a_page(await browser.get(path), 404)


@ONE_LOOP
@pytest.mark.parametrize(
    "path",
    ["/q/abc", "/q/1.5", "/q/1e3", "/u/%D9%A1", f"/u/{10**30}", "/?page=0", f"/?page={10**17}", "/?page=x", "/?page="],
)
async def test_what_makes_no_sense_is_400(browser: Browser, path: str) -> None:
    """An address that could never be one is 400."""
    await is_a_page(await browser.get(path), 400)


async def test_a_wrong_verb_is_405(browser: Browser) -> None:
    """An address that only reads says so."""
    response = await browser.send("/")
    await is_a_page(response, 405)
    assert "GET" in response.headers["Allow"]


def vanish(path: Path) -> None:
    """The file is gone."""
    path.unlink()


def spoil(path: Path) -> None:
    """The file is something else."""
    path.write_bytes(b"no database at all " * 500)


@pytest.mark.parametrize("break_it", [vanish, spoil])
async def test_a_database_that_is_gone_is_503(tiny_site: Path, break_it: Callable[[Path], None]) -> None:
    """While the database cannot answer, every page says to try again, and nothing is said of the inside."""
    break_it(tiny_site)
    async with serving(tiny_site) as browser:
        for path in ("/", "/q/1", "/u/2", "/login"):
            response = await browser.get(path)
            text = await is_a_page(response, 503)
            assert response.headers["Retry-After"] == "1"
            assert "sqlite" not in text.lower()


def drop_votes(path: Path) -> None:
    """A table is gone."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE votes")


@pytest.mark.parametrize("break_it", [drop_votes, vanish])
async def test_a_write_without_a_database_is_503(
    browser: Browser, tiny_site: Path, break_it: Callable[[Path], None]
) -> None:
    """When the table or the whole file goes while the site is served, a write fails and the writer is told."""
    await browser.sign_in(3)
    break_it(tiny_site)
    await is_a_page(await browser.send("/vote", post=1, value=1), 503)


async def test_a_full_queue_is_503(tiny_site: Path) -> None:
    """More loads than may wait are refused with the time to try again."""
    async with serving(tiny_site, limits=batchio.Limits(max_queued=1)) as browser:
        response = await browser.get("/")
        await is_a_page(response, 503)
        assert int(response.headers["Retry-After"]) >= 1


async def test_a_bug_is_500_and_keeps_its_secrets(browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    """What nobody foresaw is 500 for the reader, and a traceback in the log."""

    async def buggy(keys: list[int]) -> dict[int, object]:
        raise ZeroDivisionError("a secret")

    application = browser.client.app
    assert application
    with application[app.LOADERS].user.override(buggy):
        text = await is_a_page(await browser.get("/u/2"), 500)
    assert "a secret" not in text
    assert "a secret" in caplog.text
