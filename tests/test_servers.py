"""The private servers, which other tests stand on, come up, go down and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pymysql
import pytest

from tests import private, servers

ROOT = Path(__file__).parents[1]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended, and waits for somebody to ask how, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for what another process does; the suite's patience is the limit."""
    while not happened():
        time.sleep(0.01)


def refuses(port: int, host: str = private.HOST) -> bool:
    """Whether nobody listens."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) != 0


@pytest.fixture(scope="module")
def mariadb() -> Iterator[servers.MariaDB]:
    """A MariaDB that these tests may stop."""
    with servers.mariadb("--max-allowed-packet=1M") as server:
        yield server


# --- one server ---------------------------------------------------------------------------------------------------


def test_memcached_answers_on_this_machine_alone() -> None:
    """A private memcached answers at its address, and at no other address of the machine."""
    with servers.memcached() as mc:
        assert mc.address == f"127.0.0.1:{mc.port}"
        assert mc.ask("version").startswith(b"VERSION 1.")
        assert refuses(mc.port, "127.0.0.2")
    assert refuses(mc.port)


def test_memcached_comes_back_empty_on_the_same_port() -> None:
    """Stopped, memcached refuses; started again, it listens on the port that it had, and has forgotten everything."""
    with servers.memcached() as mc:
        port = mc.port
        assert mc.ask("set k 0 0 1\r\nv") == b"STORED\r\n"
        mc.stop()
        assert refuses(port)
        mc.start()
        assert mc.port == port
        assert mc.ask("get k", b"END\r\n") == b"END\r\n"


def test_a_paused_server_accepts_and_does_not_answer() -> None:
    """While it is paused a server hangs; what it was asked meanwhile it answers once it is resumed."""
    with servers.memcached() as mc:
        mc.pause()
        with socket.create_connection((private.HOST, mc.port), timeout=0.05) as connection:
            connection.sendall(b"version\r\n")
            with pytest.raises(TimeoutError):
                connection.recv(100)
            mc.resume()
            connection.settimeout(5)
            assert connection.recv(100).startswith(b"VERSION")


def test_a_paused_server_can_be_stopped(mariadb: servers.MariaDB) -> None:
    """Stopping a server that hangs ends it."""
    mariadb.pause()
    pid = mariadb.pid
    mariadb.stop()
    assert not alive(pid)
    mariadb.start()


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_mariadb_keeps_its_data_and_port(mariadb: servers.MariaDB, way: str) -> None:
    """Ended, gently or not, and started again, MariaDB has its rows, its port and its password."""
    url = mariadb.url
    mariadb.execute(f"CREATE TABLE kept_{way} (name TEXT) AS SELECT %s AS name", "é")
    getattr(mariadb, way)()
    assert refuses(mariadb.port)
    mariadb.start()
    assert mariadb.url == url
    assert mariadb.execute(f"SELECT name FROM kept_{way}") == [("é",)]


def test_mariadb_takes_options_and_asks_for_the_password(mariadb: servers.MariaDB) -> None:
    """A server has the options that it was given, text is utf8mb4, and a wrong password is refused."""
    asked = mariadb.execute("SELECT @@max_allowed_packet, @@character_set_server, @@bind_address")
    assert asked == [(2**20, "utf8mb4", "127.0.0.1")]
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        pymysql.connect(host=private.HOST, port=mariadb.port, user=mariadb.user, password="wrong")


@pytest.mark.parametrize("make", [servers.memcached, servers.mariadb])
def test_a_port_that_others_took_is_given_up(make: Callable[[], private.Server], monkeypatch) -> None:
    """If another program takes the port before the server does, the server tries another one."""
    with socket.create_server((private.HOST, private.free_port())) as other:
        taken, free = other.getsockname()[1], private.free_port()
        offered = iter([taken, *[free] * private.TRIES])
        monkeypatch.setattr(private, "free_port", lambda: next(offered))
        with make() as server:
            assert server.port == free


@pytest.mark.parametrize("make", [servers.memcached, servers.mariadb])
def test_a_server_that_fails_says_why(make: Callable[[str], private.Server]) -> None:
    """A server that does not come up is an error with the end of its log, and no process stays."""
    server = make("--no-such-option")
    with pytest.raises(RuntimeError, match=r"ended at once(.|\n)*no-such-option"):
        server.start()
    assert server.process is None


def test_a_missing_server_says_what_to_install(monkeypatch) -> None:
    """A program that is nowhere to be found is named, with the command that brings it."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(private, "SBIN", [])
    with pytest.raises(private.NotInstalled) as told, servers.memcached():
        pass
    assert str(told.value) == "memcached is not installed: sudo apt-get install memcached"


# --- the run's servers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("time", ["first", "second"])
def test_each_test_finds_the_shared_servers_empty(
    time: str, mysql_url, mariadb_server, memcached_server, request
) -> None:
    """A test's database is new, whatever another test wrote; so is what memcached holds."""
    request.getfixturevalue("memcached_address")
    with mariadb_server.connect(mysql_url.rpartition("/")[2]) as connection, connection.cursor() as cursor:
        assert cursor.execute("SHOW TABLES") == 0
        cursor.execute("CREATE TABLE t (id INT)")
    assert memcached_server.ask("get k", b"END\r\n") == b"END\r\n"
    assert memcached_server.ask("set k 0 0 1\r\nv") == b"STORED\r\n"


# --- nothing stays ------------------------------------------------------------------------------------------------

HOLD = """
import sys, threading
from tests import private, servers
made = [getattr(servers, name)() for name in sys.argv[2:]]
for server in made: server.start()
print(*[server.pid for server in made], private.room(), flush=True)
if sys.argv[1] != "forget": threading.Event().wait()
"""


@contextmanager
def holder(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[int], Path]]:
    """A process that starts servers and does not end them: the process, theirs, and their folder."""
    command = [sys.executable, "-W", "error", "-c", HOLD, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        *pids, room = process.stdout.readline().split()
        yield process, [int(pid) for pid in pids], Path(room)


@pytest.mark.parametrize(
    ("signum", "made"),
    [
        (signal.SIGTERM, ["memcached", "mariadb"]),
        (signal.SIGKILL, ["memcached", "memcached"]),
        (signal.SIGINT, ["memcached"]),
    ],
)
def test_servers_end_with_the_process_that_started_them(signum: int, made: list[str]) -> None:
    """Whatever ends a test run, its servers end too, and what they wrote is removed."""
    with holder("wait", *made) as (process, pids, room):
        assert len(pids) == len(made)
        assert all(map(alive, pids))
        process.send_signal(signum)
    wait_until(lambda: not any(map(alive, pids)))
    wait_until(lambda: not room.exists())


def test_forgotten_servers_end_without_a_warning() -> None:
    """A process that ends without having ended its servers takes them along, and has nothing to complain about."""
    with holder("forget", "memcached") as (process, pids, room):
        assert process.wait() == 0
        assert process.stderr
        assert not process.stderr.read()
    assert not any(map(alive, pids))
    assert not room.exists()


# --- as a program -------------------------------------------------------------------------------------------------

COMMAND = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print(*sys.argv[1:], os.environ["QA_MYSQL"], os.environ["QA_MEMCACHED"], flush=True)
signal.pause()
"""


def test_a_command_runs_beside_both_servers() -> None:
    """A command is told both URLs, hears SIGTERM, and its exit code is the program's; then the servers are gone."""
    command = [sys.executable, "-m", "tests.servers", "--", sys.executable, "-c", COMMAND, "db={mysql}", "{memcached}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        mysql, memcached, *told = process.stdout.readline().split()
        ports = [urlsplit(url).port or 0 for url in told]
        assert not any(map(refuses, ports))
        process.send_signal(signal.SIGTERM)
    assert [mysql, memcached] == [f"db={told[0]}", told[1]]
    assert process.returncode == 7
    assert all(map(refuses, ports))


def test_the_program_says_what_is_missing_in_one_line() -> None:
    """Without the servers the program ends with one line and no traceback."""
    program = "import sys; from tests import private, servers; private.SBIN.clear(); servers.main(['--', 'true'])"
    environment = {**os.environ, "PATH": ""}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "mariadb-install-db is not installed: sudo apt-get install mariadb-server\n"
