"""In which encodings MySQL may be spoken to: those in which a value stays between its quotes, and a key finds its rows.

1. The driver encodes a statement, and the server reads it; both must be safe, and either may be set without the other.
2. The driver's encoding is an attribute, and looked at on each connection. The server's is asked once for each pool, and
   so a SET NAMES that somebody sends on one of its connections later is not seen.
3. No error carries a statement: values may be secret.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from batchio._statements import RefusedError

# Python's names of the encodings in which a byte below 128 is always that sign of ASCII. In others it may end another
# sign, so that a quote or a backslash is none (gbk), or be another sign (a yen sign is sjis's backslash).
SAFE_ENCODINGS = {"utf-8", "cp1252", "ascii"}
SAFE_CHARSETS = {"utf8mb4", "utf8mb3", "utf8", "latin1", "ascii"}


class UnencodableError(ValueError):
    """Said by us before anything was sent: the connection's encoding lacks a character of the statement."""


def refuse_encoding(connection: Any) -> str:
    """Refuse a connection in whose encoding a value could leave its quotes.

    Returns:
        The encoding, by Python's name.

    Raises:
        RefusedError: It is such a one, or the driver does not say which.
    """
    said = getattr(connection, "encoding", None) or getattr(connection, "_encoding", None)
    try:
        encoding = codecs.lookup(str(said)).name
    except LookupError:
        encoding = ""
    if encoding not in SAFE_ENCODINGS:
        raise RefusedError(_unsafe(f"the driver encodes statements as {said}"))
    return encoding


def refuse_session(charset: str, mode: str) -> None:
    """Refuse sessions in which the server reads statements otherwise than they are meant, or pads what it sends.

    Raises:
        RefusedError: They have another character_set_client than a safe one, or PAD_CHAR_TO_FULL_LENGTH.
    """
    if charset not in SAFE_CHARSETS:
        raise RefusedError(_unsafe(f"the server reads statements as {charset}"))
    if "PAD_CHAR_TO_FULL_LENGTH" in mode:
        raise RefusedError(
            "the sql_mode has PAD_CHAR_TO_FULL_LENGTH, by which a CHAR column's texts come with spaces and no key finds "
            "its rows: make the pool with create_pool(..., sql_mode=...), without it"
        )


def _unsafe(what: str) -> str:
    return (
        f"{what}, where a value could leave its quotes: make the pool with create_pool(..., charset='utf8mb4'), and change "
        "it by no SET NAMES"
    )


def refuse_unencodable(encoding: str, statements: Sequence[str]) -> None:
    """Refuse statements that the driver could not encode; its own error would carry them, values and all.

    Raises:
        UnencodableError: A character has no place in the connection's encoding.
    """
    if encoding != "utf-8" and not all(_encodable(encoding, sql) for sql in statements):
        raise UnencodableError(
            f"the statement holds a character that is not in its connection's encoding, {encoding}: make the pool with "
            "create_pool(..., charset='utf8mb4')"
        )


def _encodable(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
