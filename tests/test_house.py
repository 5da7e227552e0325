"""The rules of the house: who may import whom, what `import batchio` costs, what a public name owes its reader."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import batchio
from tests import docstrings
from tests.faults import rows

PACKAGE = Path(batchio.__file__).parent
ROOT = Path(__file__).parents[1]

# The core's files and their floors: an arrow goes down a floor, never up and never sideways.
FLOORS = {
    "errors": 1,
    "events": 1,
    "cache": 1,
    "options": 1,
    "batch": 2,
    "scope": 2,
    "hints": 2,
    "queue": 3,
    "tick": 4,
    "dispatch": 5,
    "enqueue": 6,
    "loader": 7,
}
KNOW_ASYNCIO = {"tick", "hints", "dispatch", "enqueue", "loader"}

# One third-party package, one file.
DOORS = {
    "aiohttp": "aiohttp.py",
    "aiomcache": "memcached/_server.py",
    "aiomysql": "mysql.py",
    "libcst": "migrate/",  # a folder is the door: what changes code is nothing but libcst's nodes
    "msgspec": "memcached/_values.py",
    "pytest": "pytest_plugin.py",
}

# Public functions and methods that never raise, whose docstrings therefore need no Raises.
RAISES_NOTHING = {
    "batchio.Loader.clear",
    "batchio.Loader.clear_all",
    "batchio.Loader.clear_many",
    "batchio.Observer.on_answer",
    "batchio.Observer.on_dispatch",
    "batchio.Observer.on_done",
    "batchio.Observer.on_load",
    "batchio.compat.aiodataloader.DataLoader.clear",
    "batchio.compat.aiodataloader.DataLoader.clear_all",
    "batchio.compat.aiodataloader.DataLoader.get_cache_key",
    "batchio.compat.asynq.AsyncEventHook.subscribe",
    "batchio.compat.asynq.BatchBase.cancel",
    "batchio.compat.asynq.BatchBase.get_priority",
    "batchio.compat.asynq.BatchBase.is_cancelled",
    "batchio.compat.asynq.BatchBase.is_empty",
    "batchio.compat.asynq.BatchBase.is_flushed",
    "batchio.compat.asynq.as_async",
    "batchio.compat.asynq.format_stack",
    "batchio.compat.asynq.make_async_decorator",
    "batchio.compat.asynq.sync",
    "batchio.compat.asynq.twin",
    "batchio.compat.strawberry.DataLoader.clear",
    "batchio.compat.strawberry.DataLoader.clear_all",
    "batchio.compat.strawberry.DataLoader.clear_many",
    "batchio.compat.strawberry.DefaultCache.clear",
    "batchio.events.Subscription.close",
    "batchio.memcached.MemcachedCache.close",
    "batchio.pytest_plugin.recorded",
    "batchio.sqlite.Database.close",
    "batchio.testing.Recorded.names",
    "batchio.testing.VirtualLoop.batchio_outside",
    "batchio.testing.record",
    "batchio.tools.AsyncScopedValue.get",
    "batchio.tools.AsyncScopedValue.set",
}

# What a service should not pay for by `import batchio` alone.
HEAVY = {"sqlite3", "unittest", "http", "email", "xml", "multiprocessing", "doctest", "pydoc"}

MACHINE = re.compile(r"(^|[^\w.-])/(home|root|work|Users)/|[.][.]/shared", re.MULTILINE)
MAY_LOOK_OUTSIDE = {".ci/run", "tests/test_house.py"}


class Import(NamedTuple):
    """One import statement's target, by its full name."""

    file: str
    line: int
    target: str

    def __str__(self) -> str:
        return f"batchio/{self.file}:{self.line} imports {self.target}"


@cache
def imports() -> tuple[Import, ...]:
    """Every import of the package, wherever in its file it stands, also under TYPE_CHECKING."""
    return tuple(found for file in sorted(PACKAGE.rglob("*.py")) for found in imports_of(file))


def imports_of(file: Path) -> Iterator[Import]:
    """The imports of one file; `from a import b` is an arrow to a.b where that is a file, else to a."""
    name = file.relative_to(PACKAGE).as_posix()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(name, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, file)
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield Import(name, node.lineno, inner if is_file(inner) else module)


def absolute(node: ast.ImportFrom, file: Path) -> str:
    """The full name of what a relative import names."""
    here = ["batchio", *file.relative_to(PACKAGE).parent.parts]
    parents = here[: len(here) - node.level + 1] if node.level else []
    return ".".join([*parents, *filter(None, [node.module])])


def is_file(module: str) -> bool:
    """Whether a dotted name is a file of the package, and neither a folder nor something inside a file."""
    first, *rest = module.split(".")
    return first == "batchio" and bool(rest) and PACKAGE.joinpath(*rest).with_suffix(".py").is_file()


def room(file: str) -> str | None:
    """The core's room that a file is, by its bare name."""
    path = Path(file)
    return path.stem if path.parent.as_posix() == "_core" else None


def inside(found: Import) -> bool:
    """Whether an import stays in the package."""
    return found.target.split(".")[0] == "batchio"


def report(broken: list[Import], rule: str) -> None:
    """Fail with each line that breaks a rule."""
    assert not broken, "\n".join([rule, *map(str, broken)])


# --- where things come from ---------------------------------------------------------------------------------------


def test_the_package_under_test_is_the_clones_or_the_installed_one() -> None:
    """The suite tests the clone it stands in, or, where there is no package beside it, the installed wheel."""
    if (ROOT / "batchio").is_dir():
        assert PACKAGE == ROOT / "batchio"
    else:
        assert PACKAGE.is_relative_to(sys.prefix)


def test_the_core_has_only_rooms_with_a_floor() -> None:
    """A file of the core stands on a floor of the house's plan, and every room of the plan is there."""
    rooms = {file.stem for file in (PACKAGE / "_core").glob("*.py")} - {"__init__"}
    assert rooms == set(FLOORS), "batchio/_core and FLOORS in this file name different rooms"


def test_arrows_go_down_a_floor() -> None:
    """A file of the core imports from lower floors of the core, and nothing else of batchio."""
    broken = []
    for found in filter(inside, imports()):
        here, there = room(found.file), found.target.removeprefix("batchio._core.")
        if here in FLOORS and FLOORS.get(there, 9) >= FLOORS[here]:
            broken.append(found)
    report(broken, f"an arrow goes down a floor, never up and never sideways: {FLOORS}")


def test_files_import_files() -> None:
    """Nobody goes through a package's face: an import inside batchio names the file where the thing is made."""
    report([found for found in filter(inside, imports()) if not is_file(found.target)], "files import files")


def test_outside_the_core_no_arrows_form_a_circle() -> None:
    """Following imports from any file never leads back to it."""
    arrows: dict[str, set[str]] = {}
    for found in filter(inside, imports()):
        if is_file(found.target):
            target = "/".join(found.target.split(".")[1:]) + ".py"
            arrows.setdefault(found.file, set()).add(target)
    for start, targets in arrows.items():
        seen, ahead = set[str](), set(targets)
        while ahead:
            seen |= ahead
            ahead = set().union(*(arrows.get(file, set()) for file in ahead)) - seen
        assert start not in seen, f"batchio/{start} imports itself, through {sorted(seen)}"


def test_the_cores_face_draws_the_floors_and_exports_nothing() -> None:
    """`_core/__init__.py` is the plan, with each room on its floor, and holds nothing else."""
    tree = ast.parse((PACKAGE / "_core" / "__init__.py").read_text(encoding="utf-8"))
    plan = ast.get_docstring(tree) or ""
    assert len(tree.body) == 1, "the core's face exports nothing"
    for name, floor in FLOORS.items():
        assert re.search(rf"^ *floor {floor}\b.*\b{name}\b", plan, re.MULTILINE), f"the plan has no {name} on {floor}"


def test_few_rooms_of_the_core_know_asyncio() -> None:
    """What goes together is decided by plain code over plain data: only these rooms import asyncio."""
    broken = [
        found
        for found in imports()
        if found.target.split(".")[0] == "asyncio" and (here := room(found.file)) and here not in KNOW_ASYNCIO
    ]
    report(broken, f"in the core only {sorted(KNOW_ASYNCIO)} import asyncio")


def test_one_third_party_package_one_file() -> None:
    """Each third-party package has one door, and no file imports one that has none."""
    broken = []
    for found in imports():
        package = found.target.split(".")[0]
        if package == "batchio" or package in sys.stdlib_module_names:
            continue
        door = DOORS.get(package, "nowhere")
        if found.file != door and not (door.endswith("/") and found.file.startswith(door)):
            broken.append(found)
    report(broken, f"one third-party package, one file: {DOORS}")


def test_migrate_stands_alone() -> None:
    """The codemod imports nothing of batchio, and nothing of batchio imports it."""
    broken = [
        found
        for found in filter(inside, imports())
        if found.file.startswith("migrate/") != found.target.startswith("batchio.migrate")
    ]
    report(broken, "migrate imports nothing of batchio; nothing imports it")


# --- what an import costs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules that a fresh interpreter has loaded after `import batchio`, and had not before."""
    program = (
        f"import sys, json; sys.path.insert(0, {str(PACKAGE.parent)!r}); before = set(sys.modules); "
        "import batchio; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_import_batchio_imports_the_standard_library_alone(loaded: set[str]) -> None:
    """`import batchio` needs no third-party package."""
    strangers = {name for name in loaded if name.split(".")[0] not in {"batchio", *sys.stdlib_module_names}}
    assert not strangers


def test_import_batchio_is_light(loaded: set[str]) -> None:
    """`import batchio` opens no edge and loads none of the standard library's heavy packages."""
    edges = {name for name in loaded if name.startswith("batchio.") and not name.startswith("batchio._")}
    assert edges <= {"batchio.tools"}
    assert not {name.split(".")[0] for name in loaded} & HEAVY


# --- what a public name owes its reader ---------------------------------------------------------------------------


def test_the_root_exports_stay_few() -> None:
    """The face has fewer than 24 names; everything else has a module of its own."""
    assert len(batchio.__all__) < 24


def test_every_public_module_names_its_names() -> None:
    """Each public module opens with its sign and lists what it offers in `__all__`, without duplicates."""
    for module in docstrings.public_modules(batchio):
        assert module.__doc__, f"{module.__name__} has no docstring"
        names = module.__dict__.get("__all__")
        assert names, f"{module.__name__} has no __all__"
        assert len(set(names)) == len(names)
        assert not [name for name in names if not hasattr(module, name)]


def test_every_public_name_is_documented() -> None:
    """Each public name tells its arguments and their units, what it returns and raises, and shows an example."""
    told = {
        complaint
        for module in docstrings.public_modules(batchio)
        for name, thing in docstrings.public_names(module)
        for complaint in docstrings.complaints(name, thing, RAISES_NOTHING.__contains__)
    }
    assert not told, "\n".join(["public names whose docstrings are not complete:", *sorted(told)])


def test_raises_nothing_lists_no_dead_names() -> None:
    """Each name listed as raising nothing exists, and its docstring does not say otherwise."""
    modules = docstrings.public_modules(batchio)
    names = {name: thing for module in modules for name, thing in docstrings.public_names(module)}
    dead = {name for name in RAISES_NOTHING if name not in names or "Raises" in docstrings.sections(names[name])}
    assert not dead


# --- what must not travel -----------------------------------------------------------------------------------------


def tracked_files() -> list[Path]:
    """The files that git carries, or will; without git, all there are."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    if (ROOT / ".git").exists():
        names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        return [ROOT / name for name in names if name and (ROOT / name).is_file()]
    return [file for file in ROOT.rglob("*") if file.is_file() and "__pycache__" not in file.parts]


def test_no_path_of_a_machine_is_written_down() -> None:
    """No file names a folder of somebody's machine."""
    found = []
    for file in tracked_files():
        name = file.relative_to(ROOT).as_posix()
        text = file.read_bytes().decode("utf-8", errors="ignore")
        if name not in MAY_LOOK_OUTSIDE and (match := MACHINE.search(text)):
            found.append(f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0].strip()}")
    assert not found, "\n".join(found)


def test_nothing_is_hidden_from_coverage() -> None:
    """The package asks for no exception from the coverage of its lines."""
    hidden = re.compile(r"#\s*pragma:\s*no\s*(cover|branch)")
    assert not [file for file in PACKAGE.rglob("*.py") if hidden.search(file.read_text(encoding="utf-8"))]


def test_every_python_block_of_the_docs_runs() -> None:
    """Python in README and docs stands in `python` or `pycon` blocks, which Sybil runs; no other spelling hides it."""
    fence = re.compile(r"^[ \t]*[`~]{3,}[ \t]*(?P<info>.*py.*)$", re.MULTILINE | re.IGNORECASE)
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    odd = [
        f"{page.relative_to(ROOT).as_posix()}: {match['info']}"
        for page in pages
        for match in fence.finditer(page.read_text(encoding="utf-8"))
        if match["info"].strip() not in {"python", "pycon"} and not match["info"].startswith("{literalinclude}")
    ]
    assert not odd, "\n".join(odd)


# --- the fault table ----------------------------------------------------------------------------------------------


def test_every_row_of_the_fault_table_has_a_test() -> None:
    """But for those that are for later; and no test has a number that is no row, or whose row is said to have none."""
    tested = rows.tested()
    assert tested | rows.LATER == set(rows.ROWS), "rows without a test, or tests without a row"
    assert tested & rows.LATER == set(), "these rows have a test: take them out of LATER"


def test_every_fault_for_later_is_told_to_users() -> None:
    """Each row that batchio does not answer yet stands in the page of limits, as `fault NN`, and no other row does."""
    page = (ROOT / "docs" / "explanation" / "limits.md").read_text(encoding="utf-8")
    assert set(map(int, re.findall(r"\bfault (\d+)\b", page))) == rows.LATER
