"""The command `batchio migrate asynq`: what it prints, what it writes, how it ends, and what bad input does to it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from batchio.migrate import _cli as cli
from batchio.migrate._run import FEW, migrate

ROOT = Path(__file__).parents[2]

BEFORE = """from asynq import asynq


@asynq()
def f(x):
    return (yield g.asynq(x))


@asynq()
def g(x):
    return x
"""

AFTER = """async def f(x):
    return await g(x)


async def g(x):
    return x
"""

FOR_A_HUMAN = """from asynq import asynq


@asynq(sync_fn=int)
def f(x):
    return x
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that asynq runs."""
    path = tmp_path / "mine.py"
    path.write_text(BEFORE, encoding="utf-8")
    return path


# --- what it does -----------------------------------------------------------------------------------------------------


def test_without_write_a_diff_is_shown_and_nothing_changes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The diff is on standard output, so that it can be kept; the report is on standard error."""
    assert cli.main(["migrate", "asynq", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"--- a{file}\n+++ b{file}\n@@ ")
    assert "\n-    return (yield g.asynq(x))\n" in out
    assert "\n+    return await g(x)\n" in out
    assert "1 of 1 files change: 2 functions, 1 yields" in err
    assert file.read_text(encoding="utf-8") == BEFORE


def test_the_diff_can_be_applied(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a patch that `patch` takes, also where the last line has no end."""
    file.write_text(BEFORE.rstrip("\n"), encoding="utf-8")
    cli.main(["migrate", "asynq", str(file)])
    subprocess.run(["patch", "-s", str(file)], input=capsys.readouterr().out, text=True, check=True)
    assert file.read_text(encoding="utf-8") == AFTER.rstrip("\n")


def test_write_changes_the_files(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is on standard output then."""
    assert cli.main(["migrate", "asynq", "--write", str(file)]) == 0
    assert file.read_text(encoding="utf-8") == AFTER
    assert capsys.readouterr().out == ""


def test_what_is_for_a_human_has_a_comment_and_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File, line and reason; and the exit code is 1, on a second run too."""
    path = tmp_path / "odd.py"
    path.write_text(FOR_A_HUMAN, encoding="utf-8")
    reason = "f stays asynq: sync_fn makes two functions of one: keep both, and choose at each call"
    assert cli.main(["migrate", "asynq", str(path)]) == 1
    assert f"{path}:4: {reason}\n" in capsys.readouterr().err
    assert cli.main(["migrate", "asynq", "--write", str(path)]) == 1
    once = path.read_text(encoding="utf-8")
    assert once == FOR_A_HUMAN.replace("@asynq(", f"# batchio: {reason}\n@asynq(")
    assert cli.main(["migrate", "asynq", "--write", str(path)]) == 1
    assert path.read_text(encoding="utf-8") == once


def test_the_report_for_programs(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --report json standard output is one JSON document."""
    odd = tmp_path / "odd.py"
    odd.write_text(FOR_A_HUMAN, encoding="utf-8")
    assert cli.main(["migrate", "asynq", "--report", "json", str(tmp_path)]) == 1
    told = json.loads(capsys.readouterr().out)
    mine, other = told["files"]
    assert (mine["path"], mine["changed"], mine["written"], mine["left"]) == (str(file), True, False, [])
    assert other["left"][0]["line"] == 4
    assert told["sums"]["functions"] == 2


def test_names_are_resolved_over_all_files(tmp_path: Path) -> None:
    """A call from a file that never says asynq finds its new form, because its import is known."""
    package = tmp_path / "site"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "people.py").write_text(BEFORE, encoding="utf-8")
    view = package / "view.py"
    view.write_text("from .people import f\n\n\ndef view(x):\n    return f(x)\n", encoding="utf-8")
    migrate("asynq", [tmp_path], write_files=True, processes=1)
    assert "return batchio.tools.run_sync(f(x))" in view.read_text(encoding="utf-8")


def test_calls_into_modules_that_were_not_given_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their functions are taken for async, which nobody but their owner can know."""
    path = tmp_path / "mine.py"
    path.write_text(
        "from asynq import asynq\nimport far.away\n\n\n@asynq()\ndef f(x):\n    yield far.away.g.asynq(x)\n"
    )
    assert cli.main(["migrate", "asynq", str(path)]) == 0
    told = f"{path}: calls functions of modules that were not given; they must be async: far\n"
    assert told in capsys.readouterr().err


def test_files_that_have_nothing_to_do_with_it_are_not_parsed(tmp_path: Path, file: Path) -> None:
    """A file that does not say asynq is no trouble, whatever else stands in it."""
    (tmp_path / "other.py").write_text("this is no Python (", encoding="utf-8")
    (outcome,) = migrate("asynq", [tmp_path], write_files=False, processes=1)
    assert outcome.path == str(file)


def test_several_processes_say_the_same(tmp_path: Path) -> None:
    """Many files are shared among processes, and come out as from one."""
    for number in range(FEW + 2):
        (tmp_path / f"m{number:03}.py").write_text(BEFORE, encoding="utf-8")
    seen: list[tuple[str, int, int]] = []
    many = migrate(
        "asynq",
        [tmp_path],
        write_files=False,
        processes=2,
        progress=lambda what, number, count: seen.append((what, number, count)),
    )
    assert [outcome.new for outcome in many] == [AFTER] * (FEW + 2)
    assert seen[-1] == ("changing", FEW + 2, FEW + 2)


def test_it_runs_as_a_module(file: Path) -> None:
    """`python -m batchio.migrate asynq` is the same command."""
    command = [sys.executable, "-m", "batchio.migrate", "asynq", "--write", str(file)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    assert (done.returncode, file.read_text(encoding="utf-8")) == (0, AFTER)


# --- what it keeps ----------------------------------------------------------------------------------------------------


def test_a_files_mode_and_links_stay(tmp_path: Path, file: Path) -> None:
    """A script stays executable, and a link stays a link to the file that changes."""
    file.chmod(0o750)
    link = tmp_path / "link.py"
    link.symlink_to(file)
    assert cli.main(["migrate", "asynq", "--write", str(link)]) == 0
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o750
    assert file.read_text(encoding="utf-8") == AFTER


@pytest.mark.parametrize(
    ("encoding", "first", "end"),
    [("utf-8", "", "\r\n"), ("utf-8-sig", "", "\n"), ("latin-1", "# -*- coding: latin-1 -*-\n", "\n")],
    ids=["windows", "bom", "latin-1"],
)
def test_encodings_and_line_ends_stay(tmp_path: Path, encoding: str, first: str, end: str) -> None:
    """Whatever is not changed is the same, byte by byte."""
    path = tmp_path / "mine.py"
    text = first + BEFORE + '\nNAME = "é"\n'
    path.write_bytes(text.replace("\n", end).encode(encoding))
    assert cli.main(["migrate", "asynq", "--write", str(path)]) == 0
    wanted = first + ("\n\n" if first else "") + AFTER + '\nNAME = "é"\n'
    assert path.read_bytes() == wanted.replace("\n", end).encode(encoding)


# --- bad input --------------------------------------------------------------------------------------------------------

BAD = {
    "syntax": (b"from asynq import asynq\ndef f(:\n", "line 2 does not parse: invalid syntax"),
    "undecodable": (b"import asynq\n'\xff'\n", "cannot be decoded: "),
    "unknown encoding": (b"# coding: klingon\nimport asynq\n", "cannot be decoded: unknown encoding: klingon"),
    "null byte": (b"import asynq\n\0\n", "it holds a null byte and is no Python"),
    "too deep": (b"import asynq\nx = " + b"(" * 5000 + b")" * 5000 + b"\n", "does not parse"),
    "no expression": (b"import asynq\nx = (yield\n", "line 2 does not parse: "),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_file_is_one_line_and_the_others_go_on(
    tmp_path: Path, file: Path, bad: tuple[bytes, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It stays as it was, and the exit code is 1."""
    data, reason = bad
    path = tmp_path / "bad.py"
    path.write_bytes(data)
    assert cli.main(["migrate", "asynq", "--write", str(tmp_path)]) == 1
    told = [line for line in capsys.readouterr().err.splitlines() if str(path) in line]
    assert len(told) == 1
    assert reason in told[0]
    assert path.read_bytes() == data
    assert file.read_text(encoding="utf-8") == AFTER


def test_a_missing_path_is_one_line_and_the_others_go_on(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only when no path is there at all it could not run."""
    missing = str(file.with_name("missing.py"))
    assert cli.main(["migrate", "asynq", "--write", missing, str(file)]) == 1
    assert f"{missing}: there is no such file or folder\n" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == AFTER
    assert cli.main(["migrate", "asynq", missing]) == 2


@pytest.mark.parametrize(
    "arguments", [["asynq"], ["sql", "x"], ["asynq", "--report", "xml", "."], ["asynq", "--processes", "0", "."]]
)
def test_a_wrong_command_could_not_run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It says how to use it, and exits with 2."""
    with pytest.raises(SystemExit) as end:
        cli.main(["migrate", *arguments])
    assert end.value.code == 2
    assert "usage: batchio migrate" in capsys.readouterr().err


def test_the_program_without_a_command_says_how_to_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    """And with --help that is no error."""
    assert (cli.main([]), cli.main(["--help"])) == (2, 0)
    assert "usage: batchio migrate {asynq,gather,aiodataloader,strawberry} [--write] PATH..." in capsys.readouterr().err


def test_without_libcst_it_says_what_to_install(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The extra that brings it has a name."""
    for name in [name for name in sys.modules if name.startswith("batchio.migrate.") and not name.endswith(".cli")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "libcst", None)
    assert cli.main(["migrate", "asynq", str(file)]) == 2
    assert 'libcst is not installed: pip install "batchio[migrate]"' in capsys.readouterr().err


def test_form_feeds_stay(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those before a statement too, in its line; and the diff and the lines of the report count lines as editors do."""
    file.write_text(
        f"X = 'a\fb'\n{BEFORE}\fclass A:\n    pass\n\n\n\f@object\ndef h(): pass\n{FOR_A_HUMAN.replace('f(x)', 'k(x)')}",
        encoding="utf-8",
    )
    assert cli.main(["migrate", "asynq", str(file)]) == 1
    told = capsys.readouterr()
    assert f"{file}:22: k stays asynq" in told.err
    assert cli.main(["migrate", "asynq", "--write", str(file)]) == 1
    written = file.read_text(encoding="utf-8")
    assert written.count("\f") == 3
    assert "\n\fclass A:\n" in written
    assert "X = 'a\fb'\n" in written


def test_a_file_is_changed_once_however_often_it_is_given(tmp_path: Path, file: Path) -> None:
    """By its folder, by itself, by a link; and what is no file is not read."""
    (tmp_path / "link.py").symlink_to(file)
    os.mkfifo(tmp_path / "pipe.py")
    outcomes = migrate("asynq", [tmp_path, file, tmp_path / "link.py"], write_files=True, processes=1)
    assert [outcome.written for outcome in outcomes] == [True]
    assert file.read_text(encoding="utf-8") == AFTER


def test_a_pipe_is_told_as_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not read, which would wait for ever; and where nothing else was given the command could not run."""
    pipe = tmp_path / "pipe.py"
    os.mkfifo(pipe)
    assert cli.main(["migrate", "asynq", "--write", str(pipe)]) == 2
    assert capsys.readouterr().err == f"batchio migrate: it is neither a file nor a folder: {pipe}\n"
