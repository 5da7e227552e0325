"""What `--write` leaves behind: all files changed, or none, whatever happens on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchio.migrate import _cli as cli
from batchio.migrate import _write as writing
from batchio.migrate._run import FEW

ROOT = Path(__file__).parents[2]
LIB = "from asynq import asynq\n\n\n@asynq()\ndef allowed(who):\n    return who\n"
VIEW = "from lib import allowed\n\n\ndef view(who):\n    return allowed(who)\n"
TEXTS = {"lib.py": LIB, "view.py": VIEW}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with a function of asynq, and a file that calls it."""
    for name, text in TEXTS.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(tree: Path) -> int:
    return cli.main(["migrate", "asynq", "--write", str(tree)])


def texts(tree: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in tree.iterdir()}


def is_written(tree: Path) -> bool:
    """Whether both files are new, and nothing lies beside them."""
    found = texts(tree)
    return set(found) == set(TEXTS) and "async def" in found["lib.py"] and "run_sync(" in found["view.py"]


def when(monkeypatch: pytest.MonkeyPatch, what: str, action: Callable[[], object]) -> None:
    """Do something once a run has begun to read, to change, or is told of nothing more."""
    todo = [action]

    def progress(doing: str, number: int, count: int) -> None:
        if (doing, number) == (what, count) and todo:
            todo.pop()()

    monkeypatch.setattr(cli, "_progress", progress)


@pytest.mark.parametrize("locked", TEXTS)
def test_a_read_only_file_is_one_line_and_the_rest_goes_on(
    tree: Path, locked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also for root, who could write it. The others are changed, but for what its functions call."""
    other = tree / "other.py"
    other.write_text(LIB, encoding="utf-8")
    (tree / locked).chmod(0o444)
    assert run(tree) == 1
    told = f"{tree / locked}: is read-only: it stays as it is, with its calls of what is async now in other files\n"
    assert told in capsys.readouterr().err
    assert "async def" in other.read_text(encoding="utf-8")
    other.unlink()
    assert texts(tree)[locked] == TEXTS[locked]
    assert texts(tree)["view.py"] == VIEW, "it calls a function that stays asynq's"


def test_functions_of_a_read_only_file_stay_asynq_for_who_calls_them(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What they call stays as well, and what calls them is told so: nobody says that they must be async."""
    lib, other = tree / "lib.py", tree / "other.py"
    lib.write_text(
        LIB.replace("asynq\n", "asynq\nfrom deep import low\n", 1)
        + "\n\n@asynq()\ndef more(x):\n    yield low.asynq(x)\n"
    )
    (tree / "deep.py").write_text(LIB.replace("allowed", "low"), encoding="utf-8")
    other.write_text(
        "from asynq import asynq\nfrom lib import allowed\n\n\n@asynq()\ndef go(x):\n    yield allowed.asynq(x)\n"
    )
    lib.chmod(0o444)
    assert run(tree) == 1
    told = capsys.readouterr().err
    assert "must be async" not in told
    assert "what is called here stays asynq: it runs alone, and blocks the event loop\n" in told
    assert "low stays asynq: more stays asynq and calls it\n" in told
    assert "    allowed.asynq(x).value()\n" in other.read_text(encoding="utf-8")


def test_a_read_only_file_that_does_not_change_is_in_nobodys_way(tree: Path) -> None:
    """It is read, and that is all."""
    other = tree / "other.py"
    other.write_text("# asynq\n", encoding="utf-8")
    other.chmod(0o444)
    assert run(tree) == 0
    other.unlink()
    assert is_written(tree)


def test_a_full_disk_leaves_the_old_files_and_nothing_beside_them(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The new texts are all on the disk before the first takes its place."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    assert run(tree) == 2
    assert "lib.py cannot be written: No space left on device\n" in capsys.readouterr().err
    assert texts(tree) == TEXTS


def test_what_took_its_place_is_put_back_when_the_next_cannot(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All or nothing, to the last."""
    replace = Path.replace

    def lib_only(self: Path, target: Path) -> Any:
        if target.name != "lib.py":
            raise OSError(5, "Input/output error")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", lib_only)
    assert run(tree) == 2
    assert "nothing was written: " in capsys.readouterr().err
    assert texts(tree) == TEXTS


@pytest.mark.parametrize(
    ("what", "name"),
    [("reading", "lib.py"), ("reading", "other.py"), *(("changing", name) for name in [*TEXTS, "other.py"])],
)
def test_a_file_that_somebody_saves_meanwhile_is_not_overwritten(
    tree: Path, what: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is any other: what was known of all files is old then, also when that one would not have changed."""
    (tree / "other.py").write_text("# asynq\n", encoding="utf-8")
    before = texts(tree)
    when(monkeypatch, what, lambda: (tree / name).write_text(f"{before[name]}# saved\n", encoding="utf-8"))
    assert run(tree) == 2
    told = f"batchio migrate: nothing was written: {tree / name} was changed by somebody else meanwhile\n"
    assert capsys.readouterr().err == told
    assert texts(tree) == before | {name: f"{before[name]}# saved\n"}


def test_ctrl_c_before_the_files_take_their_places_leaves_all_as_they_were(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the exit code is that of an interrupted program."""
    when(monkeypatch, "changing", lambda: signal.raise_signal(signal.SIGINT))
    assert run(tree) == 130
    assert capsys.readouterr().err == "batchio migrate: interrupted: nothing was written\n"
    assert texts(tree) == TEXTS


def test_ctrl_c_while_the_files_take_their_places_waits_until_all_have(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a matter of milliseconds, and half a tree would call coroutine functions as plain ones."""
    replace = Path.replace

    def pressed(self: Path, target: Path) -> Any:
        signal.raise_signal(signal.SIGINT)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", pressed)
    assert run(tree) == 130
    assert capsys.readouterr().err == "batchio migrate: interrupted: all 2 files had been written\n"
    assert is_written(tree)


PROGRAM = """
import os, signal, sys
from batchio.migrate import _cli

def progress(what, number, count):
    if what == sys.argv[1] and number == 1:
        os.killpg(0, signal.SIGINT)

_cli._progress = progress
sys.exit(_cli.main(["migrate", "asynq", "--write", "--processes", "2", sys.argv[2]]))
"""


@pytest.mark.parametrize("what", ["reading", "changing"])
def test_ctrl_c_reaches_all_processes_and_one_speaks(tmp_path: Path, what: str) -> None:
    """A terminal sends it to each of them: there is one line, and no traceback."""
    for number in range(FEW + 2):
        (tmp_path / f"m{number:03}.py").write_text(LIB, encoding="utf-8")
    before = texts(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, what, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "batchio migrate: interrupted: nothing was written\n")
    assert texts(tmp_path) == before
