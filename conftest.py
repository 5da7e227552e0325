"""The examples run: every `python` and `pycon` block of README and docs, and every `>>>` of a docstring of the package.

Rules:
- No block can be marked as not run: Sybil's skip and clear directives are not among the parsers below.
- The blocks of one page share their names, top to bottom, and run as `__main__`, as a reader would run them.
- Each docstring starts with the names of its file, as doctest has it, and with none of another docstring's.
- `<!-- output -->` in front of a `text` block says that it is what the last `python` block printed; it is compared.
- A page or file that reads MYSQL_URL or MEMCACHED_URL from `os.environ` finds a private server there: an empty database
  of its own, and the run's memcached.
"""

from __future__ import annotations

import contextlib
import doctest
import functools
import importlib
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from sybil import Document, Example, Region, Sybil
from sybil.document import PythonDocStringDocument
from sybil.evaluators.doctest import DocTestEvaluator
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.abstract import DocTestStringParser
from sybil.parsers.markdown import CodeBlockParser

from tests import servers

ROOT = Path(__file__).parent
OUTPUT = re.compile(r"^<!-- output -->\n+```text\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Page(Document):
    """A Markdown page; remembers what its last `python` block printed."""

    def __init__(self, text: str, path: str) -> None:
        super().__init__(text, path)
        self.printed = ""
        self.module = ModuleType("__main__")  # a real one: dataclasses look their own module up
        self.namespace = self.module.__dict__

    def enter(self, example: Example) -> None:
        """One page, one set of names: nothing to forget between blocks."""


class Docstrings(PythonDocStringDocument):
    """The docstrings of one file, each with the names of that file and its own."""

    def __init__(self, text: str, path: str) -> None:
        Document.__init__(self, text, path)  # not the parent's: it would import the file a second time
        self.module = ModuleType("__main__")
        self.namespace = self.module.__dict__
        self.entered = -1

    def enter(self, example: Example) -> None:
        """Forget the names of the docstring before, if `example` is the first of another one."""
        docstring = example.region.lexemes["docstring"]
        if docstring != self.entered:
            self.entered = docstring
            file = ".".join(Path(self.path).relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            self.namespace.clear()
            self.namespace.update(vars(importlib.import_module(file)), __name__="__main__")

    @classmethod
    def parse(cls, path: str, *parsers: Callable[[Document], Iterator[Region]], encoding: str = "utf-8") -> Document:
        """Find the examples as the parent does, and note which docstring each one stands in."""
        document = cls(Path(path).read_text(encoding=encoding), path)
        for start, _, text in cls.extract_docstrings(document.text):
            for region in (region for parser in parsers for region in parser(Document(text, path))):
                region.start, region.end = region.start + start, region.end + start
                region.lexemes = {"docstring": start}
                document.add(region)
        return document


databases = itertools.count(1)


@functools.cache
def mariadb() -> Any:
    """The run's MariaDB for examples; it is ended with this process."""
    server = servers.mariadb()
    server.start()
    return server


@functools.cache
def memcached_url() -> str:
    """The run's memcached for examples; it is ended with this process."""
    server = servers.memcached()
    server.start()
    return server.url


@functools.cache
def mysql_url(_path: str) -> str:
    """A database for the examples of one file."""
    name = f"examples_{next(databases)}"
    mariadb().execute(f"CREATE DATABASE {name}")
    return mariadb().url_of(name)


def servers_for(document: Document) -> dict[str, str]:
    """The addresses that a document's examples ask for."""
    makers: dict[str, Callable[[], str]] = {
        "MYSQL_URL": lambda: mysql_url(document.path),
        "MEMCACHED_URL": memcached_url,
    }
    return {name: make() for name, make in makers.items() if f'os.environ["{name}"]' in document.text}


@contextlib.contextmanager
def as_main(example: Example) -> Iterator[None]:
    """Let the example's names be those of `__main__` while it runs."""
    example.document.enter(example)
    before, sys.modules["__main__"] = sys.modules["__main__"], example.document.module
    addresses = servers_for(example.document)
    os.environ.update(addresses)
    try:
        yield
    finally:
        sys.modules["__main__"] = before
        for name in addresses:
            del os.environ[name]


def run_block(example: Example) -> None:
    """Run a `python` block and keep what it printed."""
    printed = io.StringIO()
    with as_main(example), contextlib.redirect_stdout(printed):
        PythonEvaluator()(example)
    example.document.printed = printed.getvalue()


def run_prompt(example: Example) -> str:
    """Run one `>>>` and compare what it gave."""
    with as_main(example):
        return DocTestEvaluator(doctest.ELLIPSIS)(example)


def check_output(example: Example) -> str:
    """Compare the shown output with the real one."""
    shown, real = example.parsed, example.document.printed
    return "" if shown == real else f"The page shows\n{shown}\nand its program printed\n{real}"


prompts = DocTestStringParser(run_prompt)  # type: ignore[arg-type]  # any evaluator will do


def python_blocks(document: Document) -> Iterator[Region]:
    """Find the `python` and `pycon` blocks of a page; those that open with a prompt are compared line by line."""
    for language in ("python", "pycon"):
        for block in CodeBlockParser(language, run_block)(document):
            if not block.parsed.startswith(">>>"):
                yield block
                continue
            for prompt in prompts(block.parsed, document.path):
                prompt.adjust(block, block.parsed)
                yield prompt


def shown_outputs(document: Document) -> Iterator[Region]:
    """Find the `text` blocks that claim to be an output."""
    for match in OUTPUT.finditer(document.text):
        yield Region(match.start(), match.end(), match["text"], check_output)


def docstring_prompts(document: Document) -> Iterator[Region]:
    """Find every `>>>` of a docstring."""
    return iter(prompts(document.text, document.path))


pages = Sybil([python_blocks, shown_outputs], patterns=["*.md"], document_types={".md": Page}, name="page")
docstrings = Sybil(
    [docstring_prompts], patterns=["batchio/*.py", "batchio/*/*.py"], document_types={".py": Docstrings}, name="doc"
)
pytest_collect_file: Any = (pages + docstrings).pytest()
