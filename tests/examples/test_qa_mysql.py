"""A site in MySQL: the same rows as in SQLite, all or nothing, and errors of one line that keep the password."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from examples.qa import __main__ as command
from examples.qa import mysql, places, schema, transfer

from .conftest import WriteDump, xml_of


def in_mysql(server: Any, url: str, sql: str) -> list[tuple[Any, ...]]:
    """What a statement gives in the test's own database."""
    with server.connect(urlsplit(url).path[1:]) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def all_rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in a site, in an order that does not depend on the database."""
    with places.place(url).connected() as connection:
        return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in schema.TABLES}


def tables(server: Any, url: str) -> set[str]:
    """The names of all tables in the test's own database."""
    return {name for (name,) in in_mysql(server, url, "SHOW TABLES")}


def test_the_same_rows_as_in_sqlite(
    write_dump: WriteDump, tiny_site: Path, generated_site: Path, mariadb_server: Any, mysql_url: str, tmp_path: Path
) -> None:
    """import and generate make the same site in both databases, table by table and row by row."""
    dump = ["import", "--data", str(tmp_path / "dump")]
    for file, words in {tiny_site: dump, generated_site: ["generate", "--questions", "200"]}.items():
        assert command.main([*words, "--to", mysql_url]) == 0
        assert all_rows(mysql_url) == all_rows(f"sqlite:{file}")
        assert tables(mariadb_server, mysql_url) == set(schema.TABLES)


def test_texts_are_told_apart_to_the_last_bit(write_dump: WriteDump, mariadb_server: Any, mysql_url: str) -> None:
    """An é is no e, an A no a, and an emoji arrives whole."""
    names = ["été", "ete", "Ete", "ETE", "🥖"]
    rows = "".join(f'\n  <row Id="{n}" TagName="{name}" Count="{n}" />' for n, name in enumerate(names, 1))
    assert command.main(["import", "--data", str(write_dump(Tags=xml_of("Tags", rows))), "--to", mysql_url]) == 0
    assert in_mysql(mariadb_server, mysql_url, "SELECT name FROM tags ORDER BY uses") == [(name,) for name in names]
    assert in_mysql(mariadb_server, mysql_url, "SELECT uses FROM tags WHERE name = 'ete'") == [(2,)]


def test_each_build_has_a_stamp_of_its_own(mysql_url: str, tmp_path: Path) -> None:
    """A site that was built anew is another one for a cache that outlives it, in both databases."""
    for url in (mysql_url, f"sqlite:{tmp_path / 'site.db'}"):
        stamps = set()
        for _ in range(2):
            assert command.main(["generate", "--questions", "1", "--to", url]) == 0
            stamps.add(places.place(url).stamp())
            assert places.place(url).stamp() in stamps  # it does not change by itself
        assert len(stamps) == 2


# All or nothing --------------------------------------------------------------------------------------------------


@pytest.fixture
def old_site(mariadb_server: Any, mysql_url: str) -> Iterator[str]:
    """A site that must still be there after a build that failed."""
    assert command.main(["generate", "--questions", "3", "--to", mysql_url]) == 0
    before = all_rows(mysql_url)
    yield mysql_url
    assert all_rows(mysql_url) == before
    assert tables(mariadb_server, mysql_url) == set(schema.TABLES)


def test_a_broken_dump_leaves_the_old_site(
    old_site: str, write_dump: WriteDump, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dump that is broken in its last file changes nothing."""
    folder = write_dump(PostLinks="<postlinks>")
    assert command.main(["import", "--data", str(folder), "--to", old_site]) == 2
    assert "PostLinks.xml:1: broken XML" in capsys.readouterr().err


def test_a_row_that_the_server_refuses_leaves_the_old_site(
    old_site: str, write_dump: WriteDump, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tag that is too long for an index is an error in the middle of the copy, and is not cut."""
    folder = write_dump(Tags=xml_of("Tags", f'\n  <row Id="1" TagName="{"x" * 300}" Count="1" />'))
    assert command.main(["import", "--data", str(folder), "--to", old_site]) == 2
    told = capsys.readouterr().err
    assert "Data too long for column 'name'" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("step", ["copy", "swap"])
def test_a_connection_that_dies_leaves_the_old_site(
    old_site: str, step: str, mariadb_server: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A build whose connection is cut, after its first rows or before its last statement, is cleaned up by another."""

    def kill(server: mysql.Plain) -> None:
        ((number,),) = server.execute("SELECT CONNECTION_ID()")
        mariadb_server.execute(f"KILL {number}")

    if step == "copy":
        insert = mysql.Plain.insert
        monkeypatch.setattr(mysql.Plain, "insert", lambda server, *row: (insert(server, *row), kill(server)))
    else:
        swap = transfer.swap
        monkeypatch.setattr(transfer, "swap", lambda server: (kill(server), swap(server)))
    assert command.main(["generate", "--questions", "5", "--to", old_site]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_one_build_at_a_time(old_site: str, capsys: pytest.CaptureFixture[str]) -> None:
    """While somebody builds, a second one is told so, and the first one's tables stay."""
    with places.place(old_site).connected() as first:
        transfer.lock(first, 0)
        first.execute("CREATE TABLE qa_new_tags (name INTEGER)")
        assert command.main(["generate", "--questions", "5", "--to", old_site]) == 2
        assert "another build is under way" in capsys.readouterr().err
        first.execute("DROP TABLE qa_new_tags")


def test_what_a_killed_build_left_goes(old_site: str, mariadb_server: Any) -> None:
    """Tables that a build left when it was killed are dropped by the next one."""
    in_mysql(mariadb_server, old_site, "CREATE TABLE qa_new_tags (name INTEGER)")
    assert command.main(["generate", "--questions", "3", "--to", old_site]) == 0


def test_strangers_tables_are_left_alone(
    mariadb_server: Any, mysql_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where some of our names are somebody else's tables, nothing is built."""
    in_mysql(mariadb_server, mysql_url, "CREATE TABLE users (name INTEGER)")
    assert command.main(["generate", "--questions", "3", "--to", mysql_url]) == 2
    assert "the tables users are there and are no site's" in capsys.readouterr().err
    assert tables(mariadb_server, mysql_url) == {"users"}


def test_who_reads_goes_on_reading(mariadb_server: Any, mysql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each statement of a build others find the whole old site, and after its swap the whole new one."""
    assert command.main(["generate", "--questions", "3", "--to", mysql_url]) == 0
    counts = ", ".join(f"(SELECT COUNT(*) FROM {table})" for table in schema.TABLES)
    seen = []

    def watched(verb: Any, observer: Any) -> Any:
        def run(server: mysql.Plain, *given: Any) -> Any:
            result = verb(server, *given)
            observer.execute(f"SELECT {counts}")
            seen.extend(observer.fetchall())
            return result

        return run

    with mariadb_server.connect(urlsplit(mysql_url).path[1:]) as connection, connection.cursor() as observer:
        monkeypatch.setattr(mysql.Plain, "execute", watched(mysql.Plain.execute, observer))
        monkeypatch.setattr(mysql.Plain, "insert", watched(mysql.Plain.insert, observer))
        assert command.main(["generate", "--questions", "9", "--to", mysql_url]) == 0
    old, new = seen[0], seen[-1]
    assert new[0] > old[0]
    assert seen == [old] * seen.count(old) + [new] * seen.count(new)


# Errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("{password}", "wr0ng"), "Access denied"),
        (("{name}", "nowhere"), "nowhere"),
        (("{port}", "1"), "Connection refused"),
        (("{port}", "port"), "write the database as mysql://"),
        (("{host}", ""), "write the database as mysql://"),
        (("/{name}", ""), "write the database as mysql://"),
        (("mysql:", "mariadb:"), "write the database as sqlite:FILE or mysql://"),
        (("{name}", "{name}?colour=red"), "colour"),
    ],
)
@pytest.mark.parametrize("words", [["generate", "--questions", "1", "--to"], ["page", "--db"], ["serve", "--db"]])
def test_a_wrong_address_is_one_line_without_the_password(
    words: list[str], change: tuple[str, str], told: str, mysql_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A password, name, port or word that is wrong is told in one line with exit code 2, and the password never."""
    given = urlsplit(mysql_url)
    password = str(given.password)
    pattern = "mysql://{user}:{password}@{host}:{port}/{name}".replace(*change)
    url = pattern.format(
        user=given.username, password=password, host=given.hostname, port=given.port, name=given.path[1:]
    )
    assert command.main([*words, url]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert told in error
    assert password not in error
    assert "wr0ng" not in error


@pytest.mark.parametrize("words", [["page", "--db"], ["serve", "--db"]])
def test_a_database_without_a_site_is_one_line(
    words: list[str], mysql_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty database is no site."""
    assert command.main([*words, mysql_url]) == 2
    assert capsys.readouterr().err.endswith("no site there; make it with import or generate\n")
