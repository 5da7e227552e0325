"""The guards that must bite: each is one line of the package, what it becomes without the guard, and who must notice.

Rules:
- A mutant is named after what goes wrong in production when its guard is missing.
- `old` stands in its file exactly once; a guard that moved is found by the run, which then fails.
- `tests` is the smallest part of the suite that should turn red. One that stays green is a test that never bites.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """A guard that is taken away."""

    name: str
    file: str
    old: str
    new: str
    tests: str


MUTANTS = [
    Mutant(
        "a fill without its lease (memcached)",
        "batchio/memcached/_cache.py",
        "self._cache._seconds(ttl), cas), server)",
        "self._cache._seconds(ttl)), server)",
        "tests/edges/test_memcached_loaders.py tests/edges/test_memcached_leases.py tests/edges/test_memcached_cache.py",
    ),
    Mutant(
        "a fill without its lease (memory)",
        "batchio/_core/cache.py",
        "if self._cache._redeem(full, leases[key]) and key in values:",
        "if key in values:",
        "tests/core/test_cache.py",
    ),
    Mutant(
        "one exception object for all waiters",
        "batchio/_core/batch.py",
        "                    fail_future(one, separate(error))\n        del self.waiters[key]",
        "                    fail_future(one, error)\n        del self.waiters[key]",
        "tests/core/test_strangers.py",
    ),
    Mutant(
        "a dirty connection is given back (memcached)",
        "batchio/memcached/_server.py",
        "    except BaseException:\n        link.drop()\n        raise\n    pool.give_back(link)",
        "    except BaseException:\n        pool.give_back(link)\n        raise\n    pool.give_back(link)",
        "tests/edges/test_memcached_faults.py",
    ),
    Mutant(
        "a waiter's cancellation reaches the batch",
        "batchio/_core/options.py",
        "        self.alone = frozenset((self.number,))",
        "        self.alone, self.cancel_abandoned = frozenset((self.number,)), True",
        "tests/core/test_strangers.py",
    ),
    Mutant(
        "a row is matched by == and not by type",
        "batchio/_rows.py",
        "    if list(map(type, found)) != list(map(type, asked)):\n        return False",
        "    if list(found) != list(asked):\n        return False",
        "tests/edges/test_sqlite.py tests/edges/test_sql.py",
    ),
    Mutant(
        "an error is remembered",
        "batchio/_core/batch.py",
        "                forgo(self.owners, key, one)\n                if not one.done():",
        "                if not one.done():",
        "tests/core/test_scopes.py",
    ),
    Mutant(
        "an old flight's answer enters the memo after a clear",
        "batchio/_core/scope.py",
        "        if self.asked.get(key) is waiter:\n            del self.asked[key]\n            self.values[key] = value",
        "        self.asked.pop(key, None)\n        self.values[key] = value",
        "tests/core/test_freshness.py tests/core/test_scopes.py",
    ),
    Mutant(
        "an isolated batch runs in nobody's context",
        "batchio/_core/dispatch.py",
        "        context, batch.context = batch.context.copy(), None\n",
        "        context, batch.context = Context(), None\n",
        "tests/core/test_scopes.py",
    ),
    Mutant(
        "a batch that never returns is waited for",
        "batchio/_core/tick.py",
        "                    self.expire(self, batch)",
        "                    pass",
        "tests/core/test_guarantees_time.py",
    ),
    Mutant(
        "a queue without bound",
        "batchio/_core/queue.py",
        "        if self.queued + count > most:",
        "        if count < 0:",
        "tests/core/test_guarantees_time.py",
    ),
    Mutant(
        "slots are not counted",
        "batchio/_core/queue.py",
        "        return self.taken < most and self.taken + self.stuck < 2 * most",
        "        return most > 0",
        "tests/core/test_guarantees_time.py",
    ),
    Mutant(
        "a herd is not held",
        "batchio/memcached/_cache.py",
        "                found.filling.append(key)",
        "                found.leases[key] = (cas, answers.server)",
        "tests/edges/test_memcached_cache.py tests/edges/test_memcached_loaders.py",
    ),
    Mutant(
        "a lease of a server that was restarted counts",
        "batchio/memcached/_server.py",
        "if one.only_at in (None, link.server)",
        "if one.only_at is None or link.server",
        "tests/edges/test_memcached_faults.py",
    ),
    Mutant(
        "leases of a cancelled lookup are kept",
        "batchio/memcached/_cache.py",
        "                    one.answering.add_done_callback(one.free)",
        "                    one.answering.add_done_callback(is_error)",
        "tests/edges/test_memcached_leases.py",
    ),
    Mutant(
        "the format is not in the value",
        "batchio/memcached/_values.py",
        "    text = repr((_FORMAT, how, version, _description(value_type, ())))",
        "    text = repr((_FORMAT, how))",
        "tests/edges/test_memcached_fingerprints.py",
    ),
    Mutant(
        "two keys are one key of memcached",
        "batchio/memcached/_keys.py",
        "    return f\"({','.join(map(_literal, key))})\"",
        "    return ','.join(map(_literal, key))",
        "tests/edges/test_memcached_keys.py",
    ),
    Mutant(
        "autocommit off is not refused",
        "batchio/_pool.py",
        "    if not connection.get_autocommit():\n        raise RefusedError(",
        "    if connection is None:\n        raise RefusedError(",
        "tests/edges/test_mysql_faults.py tests/edges/test_mysql.py",
    ),
    Mutant(
        "a write is sent again after a lost connection",
        "batchio/mysql.py",
        "self._statement(sql, params, again=False)",
        "self._statement(sql, params, again=True)",
        "tests/edges/test_mysql_faults.py",
    ),
    Mutant(
        "a name from outside becomes SQL",
        "batchio/_sql.py",
        "    if isinstance(name, str) and _IDENTIFIER.fullmatch(name) and not name.startswith(HIDDEN):",
        "    if isinstance(name, str):",
        "tests/edges/test_sql.py",
    ),
    Mutant(
        "a batch waits for itself",
        "batchio/_core/enqueue.py",
        "    if isinstance(place, Batch) and asking is not None and place in asking.ancestors():",
        "    if isinstance(place, Batch) and asking is not None and place is asking.queue:",
        "tests/core/test_chains.py",
    ),
    Mutant(
        "a batch function that runs in a scope's context loads like that scope's own code",
        "batchio/_core/scope.py",
        "Within(scope) if isinstance(scope, Scope) else scope",
        "scope",
        "tests/core/test_chains.py",
    ),
    Mutant(
        "a cancellation that came before a gather is lost",
        "batchio/_gather.py",
        " or task._must_cancel",
        "",
        "tests/core/test_gather.py",
    ),
    Mutant(
        "a load joins a group though its scope's own flight has its key",
        "batchio/_core/enqueue.py",
        " or (first is not None and first not in group.owners)",
        "",
        "tests/core/test_corners.py",
    ),
    Mutant(
        "a gather of loads takes its caller's cancellation for a load's",
        "batchio/_gather.py",
        "                        if task.cancelling() > cancels or not child.done():",
        "                        if not child.done():",
        "tests/core/test_gather.py",
    ),
    Mutant(
        "the quick way goes past max_queued",
        "batchio/_core/enqueue.py",
        "    if len(waiters) >= group.room or (first",
        "    if (first",
        "tests/core/test_corners.py",
    ),
    Mutant(
        "a load of a key that a stranger waits for is lost",
        "batchio/_core/loader.py",
        "                                join(waiters, wanted, future)",
        "                                pass",
        "tests/core/test_scopes.py",
    ),
    Mutant(
        "the quickest way goes past max_queued",
        "batchio/_core/loader.py",
        "len(waiters) < group.room and not",
        "not",
        "tests/core/test_corners.py",
    ),
    Mutant(
        "the quick way forgets the keys that stand elsewhere",
        "batchio/_core/queue.py",
        "                plain.room = self.definition.limits.max_queued - self.elsewhere",
        "                pass",
        "tests/core/test_corners.py",
    ),
]
