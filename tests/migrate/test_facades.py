"""`batchio migrate asynq` where names go through other files: facades, `import *`, and asynq's own names passed on."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchio.migrate._run import migrate

LOAD = "from asynq import asynq\n\n\n@asynq()\ndef load(x):\n    yield None\n    return x\n"
BASE = "from asynq import asynq\n\n\nclass Base:\n    @asynq()\n    def load(self, x):\n        return x\n"


def run_in(folder: Path, files: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Write some files, migrate the folder twice, and give their new texts and what is left for a human."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    outcomes = migrate("asynq", [folder], write_files=True, processes=1)
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in files}
    again = migrate("asynq", [folder], write_files=True, processes=1)
    left = [reason for each in outcomes for _, reason in each.left]
    assert not any(each.changed for each in again)
    assert [reason for each in again for _, reason in each.left] == left
    return texts, left


# --- facades and import * ---------------------------------------------------------------------------------------------


def test_a_name_is_followed_through_any_number_of_files_that_pass_it_on(tmp_path: Path) -> None:
    """Under other names too, however many steps there are."""
    files = {"step0.py": LOAD} | {f"step{n}.py": f"from step{n - 1} import load\n" for n in range(1, 20)}
    files["main.py"] = "from step19 import load as fetch\n\n\nprint(fetch(1))\n"
    texts, left = run_in(tmp_path, files)
    assert "print(batchio.tools.run_sync(fetch(1)))" in texts["main.py"]
    assert not left


def test_a_method_is_inherited_through_files_that_pass_its_class_on(tmp_path: Path) -> None:
    """By the module's name, by super, and on the instance itself."""
    main = "import app\n\n\nclass H(app.Base):\n    def go(self):\n        return self.load(1), super().load(2)\n"
    files = {"app/models/user.py": BASE, "app/models/__init__.py": "from .user import Base\n"}
    files |= {"app/api.py": "from app.models import Base\n", "app/__init__.py": "from .api import *\n", "main.py": main}
    texts, left = run_in(tmp_path, files)
    assert "return batchio.tools.run_sync(self.load(1)), batchio.tools.run_sync(super().load(2))" in (texts["main.py"])
    assert not left


@pytest.mark.parametrize(
    ("init", "line"),
    [
        ("from .load import load\n", "from app import load"),
        ("from .load import load\n", "from app import *"),
        ("from .load import *\n", "from app import load"),
        ("from .load import *\n\n__all__ = ['load']\n", "from app import *"),
        ("from .load import (\n    load,\n)\n", "from app \\\n    import load"),
    ],
    ids=["of its file's name", "star", "star below", "two stars", "a line that goes on"],
)
def test_a_package_passes_on_what_its_files_define(tmp_path: Path, init: str, line: str) -> None:
    """Also a function that is named as its file, and what it gets or gives by `import *`."""
    files = {"app/load.py": LOAD, "app/__init__.py": init, "main.py": f"{line}\n\n\nprint(load(1))\n"}
    texts, left = run_in(tmp_path, files)
    assert "print(batchio.tools.run_sync(load(1)))" in texts["main.py"]
    assert not left


def test_a_file_of_a_package_imports_from_the_package_it_stands_in(tmp_path: Path) -> None:
    """`from . import load` names no file at all."""
    files = {"app/core.py": LOAD, "app/__init__.py": "from .core import load\n"}
    files["app/view.py"] = "from . import load\n\n\ndef view(x):\n    return load(x)\n"
    assert "return batchio.tools.run_sync(load(x))" in run_in(tmp_path, files)[0]["app/view.py"]


def test_import_star_gives_what_all_says_and_what_has_no_underscore(tmp_path: Path) -> None:
    """What it does not give is not taken for the function of that name."""
    lib = LOAD + LOAD[LOAD.index("@") :].replace("load", "_hidden")
    main = "from lib import *\n\n\nprint(load(1), _hidden(1))\n"
    texts, _ = run_in(tmp_path / "a", {"lib.py": lib, "main.py": main})
    assert "print(batchio.tools.run_sync(load(1)), _hidden(1))" in texts["main.py"]
    texts, _ = run_in(tmp_path / "b", {"lib.py": lib + "__all__ = ['_hidden']\n", "main.py": main})
    assert "print(load(1), batchio.tools.run_sync(_hidden(1)))" in texts["main.py"]


def test_a_name_of_a_star_from_a_file_that_is_not_given_is_asynqs_if_it_is_called_so(tmp_path: Path) -> None:
    """As a name is that is imported by itself."""
    main = "from elsewhere import *\nfrom asynq import asynq\n\n\n@asynq()\ndef go(x):\n"
    main += "    one = yield fetch.asynq(x)\n    return one, fetch(x)\n"
    assert "    return one, await fetch(x)\n" in run_in(tmp_path, {"main.py": main})[0]["main.py"]


# --- asynq's own names, through other files and by other names --------------------------------------------------------

PASSED = "from asynq import asynq, async_proxy, ConstFuture, BatchBase\nfrom asynq.tools import amap\n"
TAKEN = "other files take asynq from here: it stays asynq's; where they need it no more, remove both"


def test_asynqs_names_stay_in_a_file_that_others_take_them_from(tmp_path: Path) -> None:
    """Those that batchio has come from there; the decorator stays, and is told, because the other imports it."""
    main = "from helpers import asynq, ConstFuture, amap\n\n\n@asynq()\ndef f(x):\n    yield ConstFuture(None)\n"
    main += "    return x\n\n\n@asynq()\ndef g(x):\n    v = yield amap.asynq(f, [x])\n    return v\n"
    texts, left = run_in(tmp_path, {"helpers.py": PASSED, "main.py": main})
    assert texts["helpers.py"] == (
        f"# batchio: {TAKEN}\nfrom asynq import asynq\nfrom batchio.compat.asynq import ConstFuture\n"
        "from batchio.tools import amap\n"
    )
    assert "async def g(x):\n    v = await amap(f, [x])\n" in texts["main.py"]
    assert left == [TAKEN]


@pytest.mark.parametrize("line", ["import helpers", "from app import helpers", "import app.helpers as helpers"])
def test_a_decorator_is_known_as_an_attribute_of_a_file(tmp_path: Path, line: str) -> None:
    """`@helpers.asynq()` is no call of a function `helpers`."""
    place = "helpers.py" if line == "import helpers" else "app/helpers.py"
    main = f"{line}\n\n\n@helpers.asynq()\ndef f(x):\n    yield None\n    return x\n\n\n@helpers.asynq(pure=True)\n"
    main += "def g(x):\n    v = yield f.asynq(x)\n    return v\n"
    texts, left = run_in(tmp_path, {place: PASSED, "main.py": main})
    assert (
        texts["main.py"]
        == f"{line}\n\n\nasync def f(x):\n    return x\n\n\nasync def g(x):\n    v = await f(x)\n    return v\n"
    )
    assert not left


def test_a_decorator_is_known_by_a_name_that_is_given_to_it(tmp_path: Path) -> None:
    """Also where it is made with its options; the name itself is left, with one line."""
    names = "import asynq\n\ncoroutine = asynq.asynq\npure = asynq.asynq(pure=True)\n"
    main = "from names import coroutine, pure\n\n\n@coroutine()\ndef f(x):\n    yield None\n    return x\n\n\n@pure\n"
    main += "def g(x):\n    v = yield f.asynq(x)\n    return v\n\n\n@coroutine()\ndef h(x):\n    return (yield g(x))\n"
    texts, left = run_in(tmp_path, {"names.py": names, "main.py": main})
    assert "async def g(x):\n    v = await f(x)\n    return v\n" in texts["main.py"]
    assert "async def h(x):\n    return await g(x)\n" in texts["main.py"]
    assert left == ["asynq() is used here in a way that is not known: write `async def`"] * 2


def test_a_function_whose_decorator_nobody_knows_stays_whole(tmp_path: Path) -> None:
    """It is told, and so is who calls it; nothing of it is converted."""
    g = "@coroutine()\ndef g(x):\n    v = yield f.asynq(x)\n    return v\n"
    main = (
        f"from asynq import asynq\nfrom elsewhere import coroutine, helpers\n\n\n{g}\n\n@helpers.asynq()\ndef f(x):\n"
    )
    main += "    return x\n\n\n@asynq()\ndef h(x):\n    return (yield g.asynq(x))\n"
    texts, left = run_in(tmp_path, {"main.py": main})
    assert g in texts["main.py"]
    assert "@helpers.asynq()\ndef f(x):\n" in texts["main.py"]
    assert left[:2] == [
        "g stays asynq: what its decorator @coroutine is cannot be seen here",
        "f stays asynq: what its decorator @asynq is cannot be seen here",
    ]
    assert len(left) == 3


def test_a_decorator_that_gives_its_function_to_asynq_stays_with_what_it_decorates(tmp_path: Path) -> None:
    """And so does a generator that is given to asynq() as a value."""
    deco = "def coroutine(function):\n    return asynq()(function)\n"
    f = "@coroutine\ndef f(x):\n    yield None\n    return x\n"
    gen = "def gen(x):\n    yield None\n    return x\n\n\nmade = asynq()(gen)\n"
    texts, left = run_in(tmp_path, {"main.py": f"from asynq import asynq\n\n\n{deco}\n\n{f}\n\n{gen}"})
    assert all(each in texts["main.py"] for each in ("from asynq import asynq\n", deco, f, gen))
    assert [reason.partition(":")[0] for reason in left] == [
        "coroutine stays asynq",
        "f stays asynq",
        "gen stays asynq",
    ]


def test_decorators_of_python_say_nothing_of_asynq(tmp_path: Path) -> None:
    """A generator of tasks that has one goes on making tasks."""
    main = LOAD + "\n\nimport contextlib\n\n\n@contextlib.contextmanager\ndef both(x):\n    yield load.asynq(x)\n"
    texts, left = run_in(tmp_path, {"main.py": main})
    assert "    yield batchio.compat.asynq.task(load(x))\n" in texts["main.py"]
    assert not left


# --- circles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2, 3, 7])
def test_functions_that_call_each_other_in_a_circle_get_a_task_for_each_level(tmp_path: Path, length: int) -> None:
    """Over all files, as those that call themselves do, for Python's stack is short; what only leads there does not."""
    files = {
        f"step{n}.py": "from asynq import asynq\nimport step{0}\n\n\n@asynq()\ndef go(n):\n"
        "    return n and (yield step{0}.go.asynq(n - 1))\n".replace("{0}", str((n + 1) % length))
        for n in range(length)
    }
    files["first.py"] = (
        "from asynq import asynq\nfrom step0 import go\n\n\n@asynq()\ndef begin(n):\n    yield go.asynq(n)\n"
    )
    texts, left = run_in(tmp_path, files)
    for n in range(length):
        assert f"await batchio.compat.asynq.task(step{(n + 1) % length}.go(n - 1))" in texts[f"step{n}.py"]
    assert "    await go(n)\n" in texts["first.py"]
    assert not left
