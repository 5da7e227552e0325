"""Private memcached and MariaDB servers: for tests, and for a program that wants a pair of them (`make serve-real`).

    with servers.memcached() as mc: mc.address        "127.0.0.1:PORT"
    with servers.mariadb("--max-allowed-packet=1M") as db: db.url
    python -m tests.servers -- COMMAND ARGS...        {mysql} and {memcached} in ARGS become the servers' URLs

Rules:
- How a server starts and ends is private.py's business; here stands what memcached and MariaDB are told and asked.
- Options are the servers' own, as on their command lines.
- A server that is not installed is one clear error, never a skip.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from tests.private import HOST, NotInstalled, Server, program, room

AS_ROOT = os.geteuid() == 0  # both servers refuse to run as root unless they are told to

# Data that a test writes need not survive a power cut.
MARIADB = [
    "--no-defaults",
    *(["--user=root"] if AS_ROOT else []),
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M",
    "--innodb-doublewrite=0",
    "--performance-schema=0",
]


class Memcached(Server):
    """A memcached of 64 MB."""

    package = "memcached"

    @property
    def url(self) -> str:
        """As the example's --cache takes it."""
        return f"memcached://{self.address}"

    def ask(self, command: str, end: bytes = b"\r\n", timeout: float = 5.0) -> bytes:
        """Send one line of the text protocol on a connection of its own; its answer, up to `end`. Seconds per read."""
        answer = b""
        with socket.create_connection((HOST, self.port), timeout) as connection:
            connection.sendall(f"{command}\r\n".encode())
            while not answer.endswith(end):
                piece = connection.recv(65536)
                if not piece:
                    raise ConnectionError(f"memcached closed the connection after {answer!r}")
                answer += piece
        return answer

    def stop(self) -> None:
        """End it by SIGKILL: it has nothing to save, and may take a second to hear SIGTERM."""
        self.kill()

    def flush(self) -> None:
        """Forget everything."""
        assert self.ask("flush_all") == b"OK\r\n"

    def stats(self, timeout: float = 5.0) -> dict[str, str]:
        """The server's own counts, by name."""
        lines = self.ask("stats", b"END\r\n", timeout).decode().splitlines()[:-1]
        return {name: value for _, name, value in (line.split(" ", 2) for line in lines)}

    def _command(self) -> list[str]:
        user = ["-u", "root"] if AS_ROOT else []
        listen = ["-l", HOST, "-p", str(self.port), "-U", "0"]
        return [program("memcached", self.package), *listen, "-m", "64", "-t", "2", *user, *self.options]

    def _answers(self) -> bool:
        try:
            return int(self.stats(timeout=0.5)["pid"]) == self.pid  # and no other memcached that took the port first
        except OSError:
            return False


class MariaDB(Server):
    """A MariaDB with the database `batchio`, and a user of that name who may do everything."""

    package = "mariadb-server"
    user = name = "batchio"

    def __init__(self, *options: str) -> None:
        super().__init__(*options)
        self.password = secrets.token_urlsafe(12)
        self.data = self.room / "data"
        self.socket = self.room / "socket"
        self.tmp = self.room / "tmp"  # its own: one that starts removes what others left in theirs
        self.tmp.mkdir()

    @property
    def url(self) -> str:
        """As `batchio.mysql.Database` takes it."""
        return self.url_of(self.name)

    def url_of(self, database: str) -> str:
        """The URL of another database of this server."""
        return f"mysql://{self.user}:{self.password}@{self.address}/{database}"

    def connect(self, database: str | None = None) -> Any:
        """A plain connection (pymysql's, autocommit), for a test's own statements; use it in a `with`."""
        import pymysql  # type: ignore[import-untyped]  # comes with aiomysql; memcached can do without

        who = {"user": self.user, "password": self.password, "database": database or self.name}
        # Plain: to read the machine's certificates takes a hundred times as long as to connect.
        return pymysql.connect(host=HOST, port=self.port, autocommit=True, connect_timeout=5, ssl_disabled=True, **who)

    def execute(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own; its rows, if it has any."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def start(self) -> None:
        """As of any server; the first time with new data, later with the data that it had."""
        if not self.data.exists():
            shutil.copytree(template(), self.data)
            self._write_users()
        super().start()

    def _write_users(self) -> None:
        hosts = [f"'{self.user}'@'{host}'" for host in (HOST, "localhost")]  # TCP, and the socket
        lines = [f"CREATE DATABASE IF NOT EXISTS {self.name}"]
        lines += [f"CREATE USER IF NOT EXISTS {who} IDENTIFIED BY '{self.password}'" for who in hosts]
        lines += [f"GRANT ALL ON *.* TO {who} WITH GRANT OPTION" for who in hosts]
        (self.room / "users.sql").write_text("".join(f"{line};\n" for line in lines), encoding="utf-8")

    def _command(self) -> list[str]:
        places = [f"--datadir={self.data}", f"--socket={self.socket}", f"--pid-file={self.room / 'pid'}"]
        places.append(f"--tmpdir={self.tmp}")
        listen = [f"--bind-address={HOST}", f"--port={self.port}", "--skip-name-resolve"]
        text = ["--character-set-server=utf8mb4", f"--init-file={self.room / 'users.sql'}"]
        return [program("mariadbd", self.package), *MARIADB, *places, *listen, *text, *self.options]

    def _answers(self) -> bool:
        # By the socket, which is this server's alone and is there once the port is; it greets when the users are made.
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.settimeout(0.5)
            probe.connect(str(self.socket))
            return bool(probe.recv(1))
        return False


making = threading.Lock()


def template() -> Path:
    """The data folder of a MariaDB that has just been installed; made once, as that takes seconds."""
    with making:
        return install_mariadb()


@cache
def install_mariadb() -> Path:
    """Make the template."""
    data, tmp = room() / "template", room() / "install"
    tmp.mkdir()
    settings = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
    places = [f"--datadir={data}", f"--tmpdir={tmp}"]
    command = [program("mariadb-install-db", MariaDB.package), *MARIADB, *settings, *places]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")
    return data


def memcached(*options: str) -> Memcached:
    """A memcached for a `with`; `options` are its own, such as `-I 2m`."""
    return Memcached(*options)


def mariadb(*options: str) -> MariaDB:
    """A MariaDB for a `with`; `options` are its own, such as `--max-allowed-packet=1M`."""
    return MariaDB(*options)


# --- as a program -------------------------------------------------------------------------------------------------


commands: list[subprocess.Popen[bytes]] = []


def forward(signum: int, frame: FrameType | None) -> None:
    """Give a signal to the command, which decides what it means; before there is one, end."""
    if not commands:
        sys.exit(128 + signum)
    with suppress(ProcessLookupError):
        os.killpg(commands[0].pid, signum)


def main(arguments: list[str]) -> int:
    """Run a command beside a MariaDB and a memcached; its exit code."""
    if len(arguments) < 2 or arguments[0] != "--":
        sys.exit("usage: python -m tests.servers -- COMMAND ARGS...")
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, forward)
    with ExitStack() as both:
        try:
            urls = {"mysql": both.enter_context(mariadb()).url, "memcached": both.enter_context(memcached()).url}
        except NotInstalled as error:
            sys.exit(str(error))
        return run(arguments[1:], urls)


def run(command: list[str], urls: dict[str, str]) -> int:
    """Run a command that is told the URLs, by its environment and in its arguments."""
    environment = os.environ | {f"QA_{name.upper()}": url for name, url in urls.items()}
    for name, url in urls.items():
        command = [word.replace(f"{{{name}}}", url) for word in command]
    try:
        # A group of its own, to which signals go: a shell's children hear them too, and Ctrl-C comes once and not twice.
        commands.append(subprocess.Popen(command, env=environment, process_group=0))
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")
    code = commands[0].wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
