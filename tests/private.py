"""How a private server lives and dies; which ones there are stands in servers.py.

Rules:
- A server listens on 127.0.0.1 alone, keeps its port and data from one `start` to the next, and is ended by the process
  that started it, by its process id.
- That holds however the process ends: see LIFELINE.
- What a server writes goes into one folder of this process, which is removed with the servers.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import ClassVar, Self

HOST = "127.0.0.1"
PORTS = range(20_000, 32_000)
PATIENCE = 20.0  # seconds that a server may take to come up
GRACE = 10.0  # seconds from SIGTERM to SIGKILL
TRIES = 5  # ports, should others take them while the server starts
SBIN = ["/usr/sbin", "/usr/local/sbin", "/sbin"]  # where servers live; an ordinary user's PATH may lack them

# The shell becomes the server, and leaves a watcher behind that reads a pipe whose other end this process holds. A line
# says that the server was ended; the pipe's end without one says that this process has died, of whatever, SIGKILL
# included: then the watcher ends the server and removes the folder ($0). Not taken: PR_SET_PDEATHSIG, which follows the
# thread that started the server and needs code between fork and exec; and handlers for signals, which SIGKILL has not
# and which pytest and event loops replace.
LIFELINE = """
exec 3<&0
{ read -r ended <&3 || { kill -KILL $$; sleep 0.2; rm -rf "$0"; }; } >/dev/null 2>&1 &
exec "$@" 3<&- </dev/null
"""


class NotInstalled(RuntimeError):
    """A server's program is not on this machine."""


class Server:
    """What memcached and MariaDB have in common: a process, a port, a log."""

    package: ClassVar[str]  # what apt-get calls it

    def __init__(self, *options: str) -> None:
        self.options = options
        self.port = 0  # chosen by the first start, kept from then on
        self.process: subprocess.Popen[bytes] | None = None
        self.room = Path(tempfile.mkdtemp(prefix=f"{self.package}-", dir=room()))
        self.log = self.room / "log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.room, ignore_errors=True)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address} {f'pid {self.pid}' if self.process else 'ended'}>"

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The running server's process id."""
        assert self.process, f"{self.package} does not run"
        return self.process.pid

    def start(self) -> None:
        """Start, or start again on the same port, and return once it answers."""
        assert not self.process, f"{self.package} runs already, as process {self.pid}"
        ports = [self.port] if self.port else [free_port() for _ in range(TRIES)]
        for self.port in ports:
            if self._took():
                return
        raise RuntimeError(f"{self.package} found no free port; the last one it tried was {self.port}\n{self._tail()}")

    def stop(self) -> None:
        """End it as a service manager would: SIGTERM, and SIGKILL if it does not go; returns when it is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would; returns when it is gone. Nothing happens if it does not run."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: connections are accepted by the kernel, and nobody answers (SIGSTOP). Returns when it hangs."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on after `pause` (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def _took(self) -> bool:
        """Start on `self.port`; False if another program took it first. Whatever else happens, nothing stays running."""
        try:
            self._launch()
            return self._came_up()
        except BaseException:
            self.kill()
            raise

    def _launch(self) -> None:
        command = ["/bin/sh", "-c", LIFELINE, str(room()), *self._command()]
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C is for the tests, which then end the server in their own time.
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
        started.add(self)

    def _came_up(self) -> bool:
        """Wait for an answer."""
        assert self.process
        until = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < until:
            if self._answers():
                return True
            time.sleep(0.005)
        code = self.process.poll()
        if code is not None and "Address already in use" in self._tail():
            self.kill()
            return False
        happened = f"did not answer within {PATIENCE:.0f} s" if code is None else f"ended at once, with code {code}"
        raise RuntimeError(f"{self.package} {happened}; the end of its log:\n{self._tail()}")

    def _end(self, signum: int) -> None:
        process, self.process = self.process, None
        if not process:
            return
        process.send_signal(signum)
        process.send_signal(signal.SIGCONT)  # a paused one hears nothing else but SIGKILL
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdin
        with suppress(BrokenPipeError), process.stdin as lifeline:
            lifeline.write(b"ended\n")
        started.discard(self)

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError


# --- what a process has once --------------------------------------------------------------------------------------

started: set[Server] = set()


@cache
def room() -> Path:
    """The folder of this process, removed at its end."""
    found = Path(tempfile.mkdtemp(prefix="batchio-servers-"))
    atexit.register(leave, found, os.getpid())
    return found


def leave(found: Path, owner: int) -> None:
    """End what was not ended, and remove the folder; a fork of the process that made them leaves them alone."""
    if os.getpid() != owner:
        return
    for server in list(started):
        server.kill()
    shutil.rmtree(found, ignore_errors=True)


def program(name: str, package: str) -> str:
    """Where a program is."""
    found = shutil.which(name, path=os.pathsep.join([*os.environ.get("PATH", "").split(os.pathsep), *SBIN]))
    if not found:
        raise NotInstalled(f"{name} is not installed: sudo apt-get install {package}")
    return found


def free_port() -> int:
    """A port that is free now. Below those that the kernel gives to outgoing connections: while a server is stopped,
    one of these might take its port, or even be connected to itself."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
