"""Leases that were asked for, and whose asker may not be there when the answer comes.

1. A placeholder that nobody fills makes every reader of its key wait until it ends. So whoever asked for leases and does
   not use them gives them back; here also after a cancellation, and when the answer was lost.
2. To delete is always safe: what is deleted wrongly is a miss, and no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from batchio.memcached._server import Answers, Command, Server, is_error, is_lost
from batchio.memcached._wire import delete

MOST_ORPHANS = 10_000  # keys; they end by themselves, too


class Leasing:
    """Keys that one server was asked to lease."""

    def __init__(
        self, server: Server, raws: Sequence[bytes], answering: asyncio.Future[list[Answers]], orphans: set[bytes]
    ) -> None:
        self.server, self.raws, self.answering = server, raws, answering
        self.orphans = orphans  # what is to be taken away once the server answers again

    def free(self, _: object) -> None:
        """Take away what the server may have left, and wait for nothing."""
        commands: list[Command] = []
        if is_lost(self.answering):
            commands = [Command(delete(raw)) for raw in self.raws]
            if len(self.orphans) < MOST_ORPHANS:
                self.orphans.update(self.raws)
        elif not is_error(self.answering):
            (answers,) = self.answering.result()
            given = zip(self.raws, answers.replies, strict=True)
            commands = [
                Command(delete(raw, reply.flag(b"c")), answers.server)
                for raw, reply in given
                if reply.flag(b"W") is not None and reply.flag(b"c")
            ]
        if commands:
            self.server.leave(commands)
