"""The signed cookie and the origin check, without a server."""

from __future__ import annotations

import pytest

from examples.qa import session


def test_a_cookie_names_its_user_and_nobody_elses() -> None:
    """A signed cookie gives its user back, below zero too."""
    assert [session.read(b"secret", session.sign(b"secret", user)) for user in (7, -1)] == [7, -1]


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "7",
        "7.",
        session.sign(b"secret", 7).replace("7", "8", 1),
        session.sign(b"another", 7),
        session.sign(b"secret", 7) + "0",
        session.sign(b"secret", 7).upper(),
        "7.é",
        "\u0667."  # seven, in Arabic digits
        + session.sign(b"secret", 7).partition(".")[2],
        "9" * 5000 + ".0",
    ],
)
def test_any_other_cookie_is_nobodys(cookie: str) -> None:
    """A cookie that was changed, cut, or signed elsewhere is nobody's, and no error."""
    assert session.read(b"secret", cookie) == 0


def test_the_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """QA_SECRET is the secret; without it each process has its own."""
    monkeypatch.setenv("QA_SECRET", "of the house")
    assert session.secret_from_environment() == b"of the house"
    monkeypatch.delenv("QA_SECRET")
    assert session.secret_from_environment() != session.secret_from_environment()


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"Origin": "http://qa.example:8080"}, True),
        ({"Origin": "http://QA.example:8080"}, True),
        ({"Referer": "http://qa.example:8080/q/1"}, True),
        ({"Origin": "http://evil.example", "Referer": "http://qa.example:8080/"}, False),
        ({"Origin": "http://qa.example"}, False),
        ({"Origin": "http://qa.example:8080.evil.example"}, False),
        ({"Origin": "http://qa.example:8080@evil.example"}, False),
        ({"Referer": "http://evil.example/?http://qa.example:8080/"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://[qa.example:8080"}, False),
        ({}, False),
    ],
)
def test_a_form_is_ours_when_the_browser_says_so(headers: dict[str, str], ours: bool) -> None:
    """Origin decides, Referer where there is no Origin, and silence is no."""
    assert session.same_origin({"Host": "qa.example:8080", **headers}) is ours
    assert not session.same_origin(headers)  # nor does a request without a host match one without an origin


@pytest.mark.parametrize(
    ("referer", "path"),
    [
        ("http://qa.example/?page=2", "/?page=2"),
        ("http://qa.example", "/"),
        ("http://qa.example//evil.example/", "/evil.example/"),
        ("http://qa.example/\\evil.example/", "/evil.example/"),
        ("http://evil.example/q/1", ""),
        ("", ""),
    ],
)
def test_the_way_back_stays_on_the_site(referer: str, path: str) -> None:
    """A form leads back to the page that it stood on, and never to another site."""
    assert session.page_before({"Host": "qa.example", "Referer": referer}) == path
