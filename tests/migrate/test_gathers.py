"""`batchio migrate gather`: what it rewrites, what it only tells, and that a rewritten program does the same.

A case is a folder of `gathers`: `before.py`, `after.py`, and in `told.txt` the lines that are left for a human. All three
are written by hand or read with care; no test writes them.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from batchio.migrate import _cli as cli
from batchio.migrate._effects import effects
from batchio.migrate._gathers import gather
from batchio.migrate._known import Known
from batchio.migrate._run import migrate

CASES = sorted(Path(__file__).with_name("gathers").iterdir())

LOADERS = """import batchio


@batchio.loader
async def name(keys):
    return {key: f"name {key}" for key in keys}

"""
ROW = LOADERS + "\nasync def page(uid):\n    a = await name(uid)\n    b = await name(2)\n    return a, b\n"
GATHERED = LOADERS + "\nasync def page(uid):\n    a, b = await batchio.gather(name(uid), name(2))\n    return a, b\n"


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_a_row_becomes_what_its_case_says(case: Path, tmp_path: Path) -> None:
    """And what is told is told with its line; a second run changes nothing, and tells of the same spots."""
    file = tmp_path / "site.py"
    file.write_text((case / "before.py").read_text(encoding="utf-8"), encoding="utf-8")
    (outcome,) = migrate("gather", [file], write_files=False, processes=1)
    assert outcome.new == (case / "after.py").read_text(encoding="utf-8")
    told = (case / "told.txt").read_text(encoding="utf-8").splitlines()
    assert [f"{line}: {reason}" for line, reason in outcome.left] == told
    (written,) = migrate("gather", [file], write_files=True, processes=1)
    (again,) = migrate("gather", [file], write_files=True, processes=1)
    assert not again.changed
    assert again.left == written.left
    assert [reason for _, reason in written.left] == [reason for _, reason in outcome.left]


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "site.py"
    path.write_text(ROW, encoding="utf-8")
    return path


def test_check_says_where_and_changes_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each spot, and the exit code 1: for CI."""
    assert cli.main(["migrate", "gather", "--check", str(file)]) == 1
    reason = "2 awaits that do not depend on each other: batchio.gather would make their loads one batch"
    assert capsys.readouterr().out == f"{file}:10: {reason}\n"
    assert file.read_text(encoding="utf-8") == ROW


def test_check_is_content_when_there_is_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After a run with --write."""
    assert cli.main(["migrate", "gather", "--write", str(file)]) == 0
    assert file.read_text(encoding="utf-8") == GATHERED
    assert cli.main(["migrate", "gather", "--check", str(file)]) == 0
    assert capsys.readouterr().out == ""


def test_the_report_for_programs_has_both(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What would change, and what is left."""
    assert cli.main(["migrate", "gather", "--report", "json", str(file)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [spot["line"] for spot in told["files"][0]["found"]] == [10]
    assert told["sums"]["gathers"] == 1


def test_loaders_of_other_files_are_known(tmp_path: Path) -> None:
    """By their imports, however they are spelled; and the gather gets its import."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "loaders.py").write_text(
        "from batchio import loader as batch, sqlite\n\n\n@batch(memo=False)\nasync def name(keys):\n    return keys\n\n\n"
        "db = sqlite.Database('x')\nposts = db.row('posts', key='id')\n",
        encoding="utf-8",
    )
    site = tmp_path / "site.py"
    site.write_text(
        "from app import loaders\nfrom app.loaders import name as n, posts\n\n\n"
        "async def page(x):\n    return await n(x), await loaders.name(x), await posts(x)\n",
        encoding="utf-8",
    )
    migrate("gather", [tmp_path], write_files=True, processes=1)
    text = site.read_text(encoding="utf-8")
    assert "import batchio\n" in text
    assert "return await batchio.gather(n(x), loaders.name(x), posts(x))" in text


def test_a_second_import_of_the_same_is_no_second_meaning(file: Path) -> None:
    """`import batchio` and `import batchio.tools` bind one thing."""
    file.write_text(f"import batchio.tools\n{ROW}", encoding="utf-8")
    (outcome,) = migrate("gather", [file], write_files=False, processes=1)
    assert outcome.new == f"import batchio.tools\n{GATHERED}"


@pytest.mark.parametrize(
    "twist",
    [
        "name = print",
        "def name(): pass",
        "def change():\n    global name\n    name = print",
        "batchio = None",
        "try:\n    from fast import name\nexcept ImportError:\n    pass",
    ],
    ids=["assigned", "defined twice", "global", "batchio is another", "imported too"],
)
def test_a_name_that_may_be_another_is_no_loader(file: Path, twist: str) -> None:
    """Whoever binds it a second time may mean something else."""
    file.write_text(f"{ROW}\n\n{twist}\n", encoding="utf-8")
    (outcome,) = migrate("gather", [file], write_files=False, processes=1)
    assert not outcome.changed


# --- invented programs ------------------------------------------------------------------------------------------------

HEAD = """import batchio

LOG = []
BATCHES = []


@batchio.loader(memo=False)
async def one(keys):
    BATCHES.append(("one", sorted(keys)))
    return {key: KeyError(key) if key % 7 == 6 else key + 1 for key in keys}


@batchio.loader(memo=False)
async def two(keys):
    BATCHES.append(("two", sorted(keys)))
    return {key: KeyError(-key) if key % 5 == 4 else key * 2 for key in keys}


async def both(x):
    a = await one(x)
    b = await two(a)
    return a + b


async def logged(x):
    LOG.append(x)
    return await one(x)


"""

FOOT = """

async def main():
    try:
        return await page(1, 2, [3, 4])
    except Exception as error:
        return repr(error)
"""

calls = st.builds("{}({})".format, st.sampled_from(["one", "two", "both", "logged"]), st.sampled_from("abcxy12"))
names = st.sampled_from("abcxy")
lines = st.one_of(
    st.builds("{} = await {}".format, names, calls),
    st.builds("{} = await {}".format, names, calls),
    st.builds("await {}".format, calls),
    st.builds("{} = {}".format, names, st.sampled_from("abcxy12")),
    st.builds("LOG.append({})".format, names),
    st.builds("{}, {} = await {}, await {}".format, names, names, calls, calls),
    st.builds("{} = len([await {}, await {}])".format, names, calls, calls),
    st.builds("{} = sum([await {} for z in xs])".format, names, calls.map(lambda call: call[:-2] + "z)")),
    st.builds("l = []\n    for z in xs:\n        l.append(await {})\n    {} = sum(l)".format, calls, names),
    st.builds("for z in xs:\n        await {}".format, calls),
    st.builds(
        "try:\n        {} = await {}\n        {} = await {}\n    except KeyError:\n        LOG.append(({}, {}))".format,
        *(names, calls, names, calls, names, names),
    ),
    st.builds("if {} > 3:\n        {} = await {}\n        {} = await {}".format, names, names, calls, names, calls),
)
programs = st.lists(lines, min_size=1, max_size=9).map(
    lambda body: (
        f"{HEAD}async def page(x, y, xs):\n    a = b = c = 1\n"
        + "".join(f"    {line}\n" for line in body)
        + f"    return a, b, c, x, y\n{FOOT}"
    )
)


def rewritten(text: str) -> str:
    world = Known()
    world.add(effects(text, "program", package=False))
    return gather(text, "program", world, package=False).new


def outcome(text: str) -> tuple[Any, Any, int]:
    """What a program answers, what it logged, and how many batches it made."""
    space: dict[str, Any] = {"__name__": "program"}
    exec(compile(text, "<program>", "exec"), space)
    return asyncio.run(space["main"]()), space["LOG"], len(space["BATCHES"])


@pytest.mark.patience(300)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs)
def test_a_program_does_the_same_after_its_awaits_are_gathered(text: str) -> None:
    """The same answer or error, and the same side effects in the same order; and the same again when it is run twice."""
    new = rewritten(text)
    note(new[len(HEAD) :])
    answer, log, batches = outcome(text)
    new_answer, new_log, new_batches = outcome(new)
    assert (new_answer, new_log) == (answer, log)
    if not isinstance(answer, str):  # of an error the loads behind it are more than before
        assert new_batches <= batches
    assert rewritten(new) == new
