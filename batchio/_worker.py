"""The thread that owns one sqlite3 connection: the way in and out for any event loop, and what is done inside.

Guarantees:
- Jobs run one at a time, in the order in which they were given. Every job that was taken is answered, unless its
  caller is gone; a job given after the end is refused, so that nobody waits for a thread that has left.
- A caller that leaves takes its job along: a waiting one never runs, a running statement is interrupted. The
  interruption cannot meet another statement: it is given under the lock under which jobs change, and SQLite forgets
  one that finds no statement running.
- The thread ends after `end()`. It holds no interpreter back, and no reference to the last job while it waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from batchio._sql import Plan

Params: TypeAlias = Sequence[Any] | Mapping[str, Any]
Result: TypeAlias = tuple[tuple[str, ...], list[tuple[Any, ...]]]
Work: TypeAlias = Callable[[sqlite3.Connection], Any]


class Job:
    """Something to do with the connection, and the future of whoever waits for it."""

    __slots__ = ("abandoned", "future", "loop", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        if (announce := getattr(self.loop, "batchio_outside", None)) is not None:  # a test's loop with virtual time
            announce(self.future)
        self.abandoned = False

    def answer(self, result: Any, error: BaseException | None) -> None:
        """Hand over what came of it; called in the thread. A loop that is closed has nobody waiting."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._settle, result, error)

    def _settle(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        elif isinstance(error, StopIteration):  # which no future takes: its waiter would hang
            self.future.set_exception(RuntimeError(f"StopIteration was raised in the worker thread: {error}"))
        else:
            self.future.set_exception(error)


class Worker:
    """One thread, one connection, a queue of jobs."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        # Guards the three below. Reentrant, because the collector may call `abort` wherever a thread happens to be.
        self._lock = threading.RLock()
        self._running: Job | None = None
        self._ended = False
        self._farewell: Job | None = None
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="batchio-sqlite", daemon=True)
        self._thread.start()

    def alive(self) -> bool:
        """Whether jobs may be given. A fork has no thread in the child, and must not use the parent's connection."""
        return not self._ended and self._process == os.getpid()

    def waiting(self) -> int:
        """Count the jobs that wait for the one that runs."""
        return self._queue.qsize()

    def give(self, job: Job) -> bool:
        """Take a job, or say no after the end."""
        with self._lock:
            if self._ended:
                return False
            self._queue.put(job)
            return True

    def abandon(self, job: Job) -> None:
        """Drop a job whose caller is gone, or interrupt it."""
        with self._lock:
            job.abandoned = True
            if self._running is job and self._connection is not None:
                self._connection.interrupt()

    def end(self, farewell: Job | None = None) -> None:
        """Take no more jobs, finish those that were taken, close the connection, answer `farewell`, end the thread."""
        with self._lock:
            self._ended = True
            self._farewell = farewell
            self._queue.put(None)

    def abort(self, seconds: float) -> None:
        """End at once, when nobody is left to wait: interrupt, drop the rest, and give the thread some seconds."""
        with self._lock:
            with contextlib.suppress(queue.Empty):
                while True:
                    self._queue.get_nowait()
            if self._running is not None:
                self.abandon(self._running)
            self.end()
        self.join(seconds)

    def join(self, seconds: float | None = None) -> None:
        """Wait until the thread has left."""
        if threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    # The rest runs in the thread.

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            if self._begin(job):
                job.answer(*self._outcome(job))
            del job  # or the last result would live for as long as the thread is idle
        if self._connection is not None:
            self._connection.close()
        if self._farewell is not None:
            self._farewell.answer(None, None)

    def _begin(self, job: Job) -> bool:
        with self._lock:
            self._running = None if job.abandoned else job
            return not job.abandoned

    def _outcome(self, job: Job) -> tuple[Any, BaseException | None]:
        try:
            return self._done(job), None
        except BaseException as error:  # whatever it is, somebody waits for an answer
            return None, error
        finally:
            with self._lock:
                self._running = None

    def _done(self, job: Job) -> Any:
        if self._connection is None:
            self._connection = self._connect()
        if job.abandoned:  # while the connection was opened
            return None
        try:
            result = job.work(self._connection)
        except BaseException:
            self._connection.rollback()  # nothing, unless on_connect has changed the isolation level
            raise
        refuse_transaction(self._connection)
        return result


def refuse_transaction(connection: sqlite3.Connection) -> None:
    """Roll back what was left open: it would take in the statements of everybody who shares the connection.

    Raises:
        RuntimeError: A transaction was open.
    """
    if connection.in_transaction:
        connection.rollback()
        raise RuntimeError(
            "a transaction was left open and is rolled back: a Database shares one connection between all callers, so a "
            "BEGIN would take in their statements. Write one statement, or use a connection of your own: sqlite3.connect"
        )


# -------------------------------------------------------------------------------- what is done with a connection


def connected(
    path: str, busy_timeout: float, on_connect: Callable[[sqlite3.Connection], object] | None
) -> sqlite3.Connection:
    try:
        # check_same_thread: interrupt is called from others, and nothing else is.
        connection = sqlite3.connect(
            path, timeout=busy_timeout, isolation_level=None, check_same_thread=False, cached_statements=512
        )
    except sqlite3.Error as error:
        error.add_note(f"the database is {path}")
        raise
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        if on_connect is not None:
            on_connect(connection)
        refuse_transaction(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _executed(connection: sqlite3.Connection, sql: str, params: Params) -> sqlite3.Cursor:
    cursor = connection.cursor()
    cursor.row_factory = None  # on_connect may have set another
    try:
        return cursor.execute(sql, params)
    except sqlite3.Error as error:
        error.add_note(f"the statement is: {sql[:500]}")  # the text alone: values may be secret
        raise


def write(connection: sqlite3.Connection, sql: str, params: Params) -> int:
    cursor = _executed(connection, sql, params)
    cursor.fetchall()  # a RETURNING has not run before its rows are read
    return max(cursor.rowcount, 0)


def fetched(connection: sqlite3.Connection, sql: str, params: Params) -> Result:
    cursor = _executed(connection, sql, params)
    rows = cursor.fetchall()
    return tuple(column[0] for column in cursor.description or ()), rows


def read(connection: sqlite3.Connection, plan: Plan, keys: list[Any]) -> list[tuple[list[Any], Result]]:
    """Run a loader's statements, usually one; each with the keys that it asked for and what it gave."""
    limit = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    most = max(1, limit // len(plan.key))
    parts = [keys[start : start + most] for start in range(0, len(keys), most)]
    return [(part, fetched(connection, *next(plan.statements(part, limit)))) for part in parts]
