"""`batchio migrate asynq` over several files: what an earlier run changed, and which file an import names."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchio.migrate import _cli as cli
from batchio.migrate._run import migrate

# --- two runs over one tree -------------------------------------------------------------------------------------------

LATER = """from asynq import asynq
from people import allowed


@asynq()
def page(who):
    if allowed(who):
        return "in"
    also = yield allowed.asynq(who)
    both = yield [allowed.asynq(who), allowed.asynq(who)]
    return also, both


def view(who):
    return "in" if allowed(who) else "out"


async def native(who):
    waiting = allowed(who)
    return await waiting, await allowed(who)
"""

WANTED = """from people import allowed
import batchio


async def page(who):
    if await allowed(who):
        return "in"
    also = await allowed(who)
    both = await batchio.gather([allowed(who), allowed(who)])
    return also, both


def view(who):
    # batchio: this is async already, and gives a coroutine: await it, or batchio.tools.run_sync in plain code
    return "in" if allowed(who) else "out"


async def native(who):
    waiting = allowed(who)
    return await waiting, await allowed(who)
"""


def test_a_file_that_comes_later_finds_what_an_earlier_run_made_async(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it calls plainly is awaited where that may be, and told where not; a third run changes nothing."""
    people, later = tmp_path / "people.py", tmp_path / "later.py"
    people.write_text("from asynq import asynq\n\n\n@asynq()\ndef allowed(who):\n    return who\n", encoding="utf-8")
    assert cli.main(["migrate", "asynq", "--write", str(people)]) == 0
    later.write_text(LATER, encoding="utf-8")
    for _ in range(2):
        assert cli.main(["migrate", "asynq", "--write", str(tmp_path)]) == 1
        assert later.read_text(encoding="utf-8") == WANTED
        line = WANTED.splitlines().index('    return "in" if allowed(who) else "out"') + 1
        assert f"{later}:{line}: this is async already" in capsys.readouterr().err


# --- which file an import names ---------------------------------------------------------------------------------------

ASYNC_GET = "from asynq import asynq\n\n\n@asynq()\ndef get(x):\n    return x\n"


def run_in(folder: Path, files: dict[str, str]) -> dict[str, str]:
    """Write some files, migrate the folder, and give their new texts."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    migrate("asynq", [folder], write_files=True, processes=1)
    return {name: (folder / name).read_text(encoding="utf-8") for name in files}


def test_files_of_one_name_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    """Two scripts `main` in two folders define what they define, and import what stands beside them."""
    view = "from main import get\n\n\ndef view(x):\n    return get(x)\n"
    texts = run_in(
        tmp_path,
        {
            "a/main.py": ASYNC_GET,
            "a/view.py": view,
            "b/main.py": "# asynq\ndef get(x):\n    return x\n",
            "b/view.py": view,
        },
    )
    assert "async def get(x)" in texts["a/main.py"]
    assert "return batchio.tools.run_sync(get(x))" in texts["a/view.py"]
    assert texts["b/main.py"] == "# asynq\ndef get(x):\n    return x\n"
    assert texts["b/view.py"] == view


@pytest.mark.parametrize(
    ("init", "line"),
    [
        ("from app.models import get\n", "from app.models import get"),
        ("from app.models import get\n", "from app import get"),
        ("from app.models import get, other\n", "from app import (\n    other,\n    get,\n)"),
        (None, "from app.models import get"),
        (None, "from app.models import (\n    other,\n    get,\n)"),
    ],
    ids=["module", "package", "package, several lines", "folder", "folder, several lines"],
)
def test_an_import_is_found_however_it_is_written(tmp_path: Path, init: str | None, line: str) -> None:
    """By the packages a file stands in, without an `__init__.py` by its path, and through a package that exports it."""
    files = {"app/models.py": ASYNC_GET} | ({} if init is None else {"app/__init__.py": init})
    files["view.py"] = f"{line}\n\n\ndef view(x):\n    return get(x)\n"
    assert "return batchio.tools.run_sync(get(x))" in run_in(tmp_path, files)["view.py"]
