"""The fault table: what goes wrong around a service, one line each, by number.

Rules:
- A row has at least one test in this folder whose name begins with `test_fault_NN_`; the name says what is promised.
- `LATER` are the rows that batchio does not answer yet. Each says so in docs/explanation/limits.md, as "fault NN".
- Numbers are names: they stay with their fault, so some are missing.
- `tests/test_house.py` compares this list with the tests and with that page.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROWS = {
    # the batch function
    1: "the batch function raises an Exception",
    2: "it raises a BaseException: Ctrl-C, an exit, a cancellation, one of somebody's own",
    3: "it raises before its first await, or gives back nothing that can be awaited",
    4: "it answers with too few or too many items",
    5: "it answers with a type that cannot be matched with keys",
    6: "its mapping holds keys that nobody asked for, or keys of another type",
    7: "an item of its answer is an exception",
    8: "it never returns",
    9: "it never returns, and swallows its cancellation",
    10: "one poison key fails the whole batch",
    11: "it answers some keys and fails then",
    12: "it gives one mutable object to many",
    13: "it loads from other loaders, with every slot in use",
    14: "it waits for its own key, straight or in a circle",
    15: "it goes 10,000 levels deep",
    16: "its worker process dies, or cannot take or give back what it should",
    17: "its Dask cluster goes away, or loses the work",
    18: "it blocks the event loop",
    # who waits, cancellation, time
    19: "a caller goes away before its key has left",
    20: "a caller goes away while its key is in flight",
    21: "all callers go away before their keys have left",
    22: "all callers go away while their keys are in flight",
    23: "a caller goes away, and the same key is asked for again at once",
    24: "a caller has less time than the batch",
    25: "callers with different deadlines share a batch",
    26: "a sibling fails in a task group",
    27: "a storm of callers that give up at once",
    28: "one exception goes to many callers",
    29: "nobody looks at an error",
    30: "the event loop ends while loads are pending",
    31: "a loader is used without a loop, from another loop or another thread",
    32: "the process forks",
    33: "tasks start eagerly",
    34: "the event loop is never idle",
    35: "the wall clock jumps",
    # memory, load, fairness
    36: "what is remembered keeps requests alive",
    37: "loads leave reference cycles behind",
    38: "more keys come than can leave",
    39: "200,000 keys come in one tick",
    40: "a statement is larger than the server takes",
    41: "a row of an answer is larger than the server gives",
    42: "many callers of one process want what has just expired",
    43: "many processes want what has just expired",
    44: "many values expire at the same time",
    45: "one kind of work takes the slots of another",
    46: "slow and fast work want the same key",
    47: "retries multiply the load",
    # memcached
    48: "a cache server is down",
    49: "a cache server is slow",
    50: "a cache server is silent: paused, half-open, behind a black hole",
    51: "a cache server is killed, or closes in the middle of a reply",
    52: "a reply is garbage, cut short, or meant for somebody else",
    53: "a value is larger than the cache takes",
    54: "a key is no word that the protocol can carry",
    55: "a cached value was written by another version",
    56: "one of several cache servers is dead",
    57: "the list of cache servers changes",
    58: "a value is written while an older one is on its way into the cache",
    59: "an invalidation does not arrive",
    60: "the cache forgets",
    # MySQL
    61: "the database restarts, or a connection is killed in the middle of a query",
    62: "a deadlock, a lock wait that is over, an interrupted query",
    63: "the database has no connections left",
    64: "a caller goes away and the statement runs on in the server",
    65: "callers wait for a connection of a pool that has lost one, or connects slowly",
    66: "a connection comes back with an open transaction",
    67: "keys that are equal and not the same: '1' and 1, True, decimals, dates, bytes",
    68: "a collation takes different texts for one",
    69: "a key has two rows, or none",
    70: "no keys at all",
    71: "a value is a piece of SQL",
    72: "a name of a table or column is a piece of SQL",
    73: "a server asks its client for local files",
    # scopes and the web
    83: "a web client disconnects",
    84: "a scope is used after its end",
    85: "a service is told to end while batches are in flight",
    86: "an observer raises",
    87: "Python without its lock, and interpreters within one process",
}

LATER = frozenset({16, 17, 25, 45, 46, 47, 64, 87})


def tested() -> set[int]:
    """The numbers in the names of this folder's tests; a test without one is an error."""
    files = sorted(Path(__file__).parent.glob("test_*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    functions = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {number_of(name) for name in functions if name.startswith("test_")}


def number_of(name: str) -> int:
    """The row that a test is named after."""
    match = re.match(r"test_fault_(\d\d)_[a-z]", name)
    assert match, f"{name}: a test of this folder is named test_fault_NN_what_is_promised"
    return int(match[1])
