"""Python of before 3.7, in which ``async`` and ``await`` were names, as Python of today.

Rules of this room:

- asynq up to 1.2 said ``@async()``, ``f.async(x)`` and ``from asynq import async``. No parser of today reads that, so it
  is mended before anything is parsed: token by token, and only the names. Every other character stays.
- A file that parses is not touched, and one that does not parse afterwards is given back as it came.
"""

from __future__ import annotations

import ast
import io
import tokenize

__all__ = ["modern"]


def modern(source: str) -> str:
    """The same text with ``async`` as a name replaced by ``asynq``."""
    if "async" not in source or _parses(source):
        return source
    mended = _mended(source)
    return mended if _parses(mended) else source


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return True


def _mended(source: str) -> str:
    lines = list(io.StringIO(source))
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return source
    for place in range(len(tokens) - 1, -1, -1):
        token = tokens[place]
        if token.type in {tokenize.NAME, tokenize.OP} and token.string == "async" and _is_name(tokens, place):
            row, column = token.start
            line = lines[row - 1]
            lines[row - 1] = f"{line[:column]}asynq{line[column + 5 :]}"
    return "".join(lines)


def _is_name(tokens: list[tokenize.TokenInfo], place: int) -> bool:
    """Whether ``async`` stands where only a name can: not before def, with or for."""
    following = tokens[place + 1].string if place + 1 < len(tokens) else ""
    return following not in {"def", "with", "for"}
