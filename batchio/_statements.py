"""What may be read from the text of a statement of the user's own, before it is sent to MySQL.

Each statement may have another connection than the one before. So what a statement leaves in its session must end with
it, and what one reads there is somebody else's.

1. Words count where the server reads them: not in strings and comments, but in `/*! ... */`, which it runs.
2. This guards against mistakes. What a stored routine does to its session cannot be seen from here.
"""

from __future__ import annotations

import re

from batchio._sql import MYSQL_FIXED

# A quoted name of plain letters stays: the server calls `GET_LOCK`('x', 0) as it does without the quotes.
_HIDDEN = re.compile(
    rf"/\*M?!\d*(?P<held>(?:{MYSQL_FIXED} | .)*?)(?:\*/|\Z) | `(?P<name>\w+)` | (?P<fixed>{MYSQL_FIXED})",
    re.VERBOSE | re.DOTALL,
)
_CHANGES_SESSION = re.compile(
    r"\s*(SET|USE|LOCK|XA|PREPARE|EXECUTE|FLUSH|HANDLER|BACKUP|BEGIN\s+NOT|CREATE\s+(OR\s+REPLACE\s+)?TEMPORARY)\b"
    r"|.*(:=|\bINTO\s+@)",
    re.IGNORECASE | re.DOTALL,
)
_LOCKS = re.compile(r"\s*(LOCK|FLUSH\s.*\bWITH\s+READ\s+LOCK)\b", re.IGNORECASE | re.DOTALL)
_SETS_AUTOCOMMIT = re.compile(r"\s*SET\b.*\bautocommit\b", re.IGNORECASE | re.DOTALL)  # asyncmy does not notice
_OF_CONNECTION = re.compile(
    r"(?<![\w$.@])(GET_LOCK|RELEASE_LOCK|RELEASE_ALL_LOCKS|LAST_INSERT_ID|ROW_COUNT|FOUND_ROWS)\s*\("
    r"|@@\s*((?:SESSION|LOCAL)\s*\.\s*)?(LAST_INSERT_ID|IDENTITY)\b",
    re.IGNORECASE,
)
_ROUTINE = re.compile(  # one statement, though it holds others, which share a connection
    r"\s*(BEGIN\s+NOT\s+ATOMIC"
    r"|(CREATE(\s+OR\s+REPLACE)?|ALTER)(\s+DEFINER\s*=\s*\S+)?(\s+AGGREGATE)?\s+(PROCEDURE|FUNCTION|TRIGGER|EVENT|PACKAGE))\b",
    re.IGNORECASE,
)


class RefusedError(RuntimeError):
    """Said by us before anything was sent."""


def bare(sql: str) -> str:
    """Give what the server reads as words: strings become empty, comments a space."""
    return _HIDDEN.sub(_shown, sql)


def _shown(match: re.Match[str]) -> str:
    if match["held"] is not None:
        return f" {bare(match['held'])} "
    return match["name"] or (match[0][0] * 2 if match[0][0] in "'\"`" else " ")


def refuse_session_wide(words: str) -> None:
    """Refuse what takes locks, opens a transaction, or asks a connection for what a statement before it has left.

    Args:
        words: The bare statement.

    Raises:
        RefusedError: The statement is of that kind; it was not sent.
    """
    if _LOCKS.match(words) or _SETS_AUTOCOMMIT.match(words):
        raise RefusedError(
            "LOCK TABLES and SET autocommit are not run: the next statement has another connection, so it would wait for the "
            "locks, or not be part of the transaction. Use a connection of your own for them"
        )
    found = None if _ROUTINE.match(words) else _OF_CONNECTION.search(words)
    if found:
        raise RefusedError(
            f"{(found[1] or found[0]).upper()} is not run: it belongs to a connection, and each statement may have "
            "another one, so it would speak of somebody else's. For a new id: INSERT ... RETURNING id, by fetch, in "
            "MariaDB; else use a connection of your own"
        )


def refuse_several(words: str) -> None:
    """Refuse more than one statement in a text: the second one's outcome would be nobody's.

    The drivers let them pass: both set the protocol's flag for it, whatever flags they are given.

    Raises:
        RefusedError: There are several; none was sent.
    """
    if not _ROUTINE.match(words) and re.search(r";\s*[^\s;]", words):
        raise RefusedError(
            "the text holds several statements: write one, and call once for each; for those that belong together use a "
            "connection of your own"
        )


def changes_session(words: str) -> bool:
    """Whether a statement leaves its session other than it was: its connection is not used again."""
    return _CHANGES_SESSION.match(words) is not None


def only_reads(words: str) -> bool:
    """Whether a statement may be sent again when its connection was lost."""
    return words.lstrip()[:6].upper() == "SELECT"
