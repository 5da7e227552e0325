"""`batchio migrate aiodataloader` and `strawberry`: the imports change, and nothing else."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from batchio.migrate import _cli as cli
from batchio.migrate._loaders import MOVED

CASES = {
    "a name": (
        "aiodataloader",
        "from aiodataloader import DataLoader  # ours\n\nx = DataLoader(f)\n",
        "from batchio.compat.aiodataloader import DataLoader  # ours\n\nx = DataLoader(f)\n",
    ),
    "another name": (
        "aiodataloader",
        "from aiodataloader import DataLoader as Loader\n",
        "from batchio.compat.aiodataloader import DataLoader as Loader\n",
    ),
    "the module": (
        "aiodataloader",
        "import aiodataloader\n\n\nclass Users(aiodataloader.DataLoader[int, str]):\n    pass\n",
        "import batchio.compat.aiodataloader\n\n\nclass Users(batchio.compat.aiodataloader.DataLoader[int, str]):\n    pass\n",
    ),
    "the module by another name": (
        "aiodataloader",
        "import os\nimport aiodataloader as a\n\nx = a.DataLoader(os.f)\n",
        "import os\nimport batchio.compat.aiodataloader\n\nx = batchio.compat.aiodataloader.DataLoader(os.f)\n",
    ),
    "inside a function": (
        "aiodataloader",
        "def f():\n    from aiodataloader import DataLoader\n    return DataLoader\n",
        "def f():\n    from batchio.compat.aiodataloader import DataLoader\n    return DataLoader\n",
    ),
    "several lines": (
        "strawberry",
        "from strawberry.dataloader import (\n    AbstractCache,  # kept\n    DataLoader,\n)\n",
        "from batchio.compat.strawberry import (\n    AbstractCache,  # kept\n    DataLoader,\n)\n",
    ),
    "the submodule": (
        "strawberry",
        "import strawberry\nfrom strawberry import dataloader\n\nx = dataloader.DataLoader(f)\ny = strawberry.Schema()\n",
        "import strawberry\nimport batchio.compat.strawberry\n\nx = batchio.compat.strawberry.DataLoader(f)\ny = strawberry.Schema()\n",
    ),
    "its full name": (
        "strawberry",
        "import strawberry.dataloader\n\nx = strawberry.dataloader.DataLoader(f)\n",
        "import batchio.compat.strawberry\n\nx = batchio.compat.strawberry.DataLoader(f)\n",
    ),
    "nothing of ours": ("strawberry", "import strawberry\n\nx = strawberry.Schema()\n", None),
    "a local name": ("aiodataloader", "def f(aiodataloader):\n    return aiodataloader.DataLoader\n", None),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_imports_change_and_nothing_else(case: tuple[str, str, str | None], tmp_path: Path) -> None:
    """In each spelling; and a second run changes nothing."""
    command, before, after = case
    file = tmp_path / "site.py"
    file.write_text(before, encoding="utf-8")
    for _ in range(2):
        assert cli.main(["migrate", command, "--write", str(file)]) == 0
        assert file.read_text(encoding="utf-8") == (after or before)


def test_what_is_moved_is_what_is_there() -> None:
    """The command moves the names that our modules have, all of them and no others."""
    for module, names in MOVED.values():
        assert names == set(importlib.import_module(module).__all__)


def test_what_has_no_counterpart_stays_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a second run too."""
    file = tmp_path / "site.py"
    file.write_text("import os\nfrom strawberry.dataloader import DataLoader, LoaderTask\n", encoding="utf-8")
    reason = "LoaderTask stays strawberry.dataloader's: batchio.compat.strawberry has no such name"
    assert cli.main(["migrate", "strawberry", str(file)]) == 1
    assert f"{file}:2: {reason}\n" in capsys.readouterr().err
    for _ in range(2):
        assert cli.main(["migrate", "strawberry", "--write", str(file)]) == 1
        assert f"{file}:3: {reason}\n" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == (
        "import os\nfrom batchio.compat.strawberry import DataLoader\nfrom strawberry.dataloader import LoaderTask\n"
    )


NAMED = """import aiodataloader
import importlib
from unittest.mock import patch

x: "aiodataloader.DataLoader[int, int]" = aiodataloader.DataLoader(f)


def test():
    \"\"\"About aiodataloader.DataLoader.\"\"\"
    with patch("aiodataloader.DataLoader.load"):
        importlib.import_module("aiodataloader")
    print("an aiodataloader loads")
"""


def test_strings_that_name_the_module_are_told_and_keep_its_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An annotation, a patch, an import by name; not a docstring, nor what only speaks of it."""
    file = tmp_path / "site.py"
    file.write_text(NAMED, encoding="utf-8")
    for _ in range(2):
        assert cli.main(["migrate", "aiodataloader", "--write", str(file)]) == 1
        told = capsys.readouterr().err.splitlines()[:-1]
        reason = "this string names what is in batchio.compat.aiodataloader now, or imports it: see which is meant"
        assert told == [f"{file}:{line}: {reason}" for line in (6, 11, 12)]
    text = file.read_text(encoding="utf-8")
    assert "import aiodataloader\n" in text
    assert "= batchio.compat.aiodataloader.DataLoader(f)\n" in text


def test_a_bad_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the others go on."""
    (tmp_path / "a.py").write_text("from aiodataloader import (\n", encoding="utf-8")
    (tmp_path / "b.py").write_text(CASES["a name"][1], encoding="utf-8")
    assert cli.main(["migrate", "aiodataloader", "--write", str(tmp_path)]) == 1
    assert "a.py: line 1 does not parse" in capsys.readouterr().err
    assert (tmp_path / "b.py").read_text(encoding="utf-8") == CASES["a name"][2]


@pytest.mark.parametrize(
    "other",
    [
        "from site import ad\n",
        "from site import *\n\nx = ad\n",
        "import site\n\nx = site.ad\n",
        "import site as s\n\nx = s.ad\n",
    ],
    ids=["its name", "star", "attribute", "attribute by another name"],
)
def test_a_module_that_other_files_take_from_a_file_stays_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    """Though the file uses it no more itself; it is told. What nobody takes goes."""
    site = tmp_path / "site.py"
    before = "import aiodataloader as ad\n\nx = ad.DataLoader(f)\n"
    site.write_text(before, encoding="utf-8")
    (tmp_path / "other.py").write_text(other, encoding="utf-8")
    for _ in range(2):
        assert cli.main(["migrate", "aiodataloader", "--write", str(tmp_path)]) == 1
        reason = "other files take ad from here: it stays aiodataloader's, and so does what they make of it"
        assert capsys.readouterr().err.splitlines()[:-1] == [f"{site}:1: {reason}"]
    after = "import aiodataloader as ad\nimport batchio.compat.aiodataloader\n\nx = batchio.compat.aiodataloader.DataLoader(f)\n"
    assert site.read_text(encoding="utf-8") == after
    (tmp_path / "other.py").unlink()
    site.write_text(before, encoding="utf-8")
    assert cli.main(["migrate", "aiodataloader", "--write", str(tmp_path)]) == 0
