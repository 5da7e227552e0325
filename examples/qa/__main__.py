"""The commands: python -m examples.qa COMMAND. This file reads arguments and reports errors; others do the work."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import dump, generate, places, store

SITE = "sqlite:FILE or mysql://USER:PASSWORD@HOST:PORT/NAME"
CACHE = "memcached://HOST:PORT"

GENERATED = 200  # questions of the site that `page` makes when it is given none


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 2 when its input is bad, which one line on stderr explains."""
    given = _parser().parse_args(arguments)
    try:
        given.run(given)
    except store.BuildError as error:
        print(f"examples.qa: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def run_import(given: argparse.Namespace) -> None:
    """Make a site from a dump."""
    with places.place(given.to).building() as connection:
        dump.load(connection, given.data)


def run_generate(given: argparse.Namespace) -> None:
    """Make a site from a seed."""
    with places.place(given.to).building() as connection:
        generate.fill(connection, given.questions, given.seed)


def run_page(given: argparse.Namespace) -> None:
    """Render the model page three ways."""
    from . import compare  # noqa: PLC0415  a site in a file is made without any other package

    with _site(given) as place:
        # Keys of this run alone: it knows nothing of what others put there.
        cache = places.cache(given.cache, secrets.token_hex(8))
        results = compare.three_ways(place, given.questions, cache=cache)
    print("\n".join(result.json() for result in results) if given.json else compare.table(results))


def run_serve(given: argparse.Namespace) -> None:
    """Serve the site."""
    from . import app  # noqa: PLC0415  as in run_page; and page needs no aiohttp

    try:
        app.serve(_existing(given.db), given.cache, given.host, given.port)
    except OSError as error:
        raise store.BuildError(f"{given.host}:{given.port}: {error.strerror or error}") from error


@contextmanager
def _site(given: argparse.Namespace) -> Iterator[places.Place]:
    """The site that `page` reads: the one given, or one made for it in a temporary folder."""
    if given.db:
        yield _existing(given.db)
        return
    with tempfile.TemporaryDirectory() as folder:
        place = places.File(Path(folder) / "site.db")
        with place.building() as connection:
            if given.data:
                dump.load(connection, given.data)
            else:
                generate.fill(connection, given.generate, given.seed)
        yield place


def _existing(url: str) -> places.Place:
    """A place where a site is."""
    place = places.place(url)
    place.check()
    return place


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.qa", description="A question-and-answer site on batchio.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("import", help="make a site from a Stack Exchange dump, all or nothing")
    one.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder with Posts.xml and the others")
    one.add_argument("--to", required=True, metavar=SITE)
    one.set_defaults(run=run_import)

    one = commands.add_parser("generate", help="make a site of the same shape from a seed")
    one.add_argument("--questions", type=_positive, required=True, metavar="N")
    one.add_argument("--to", required=True, metavar=SITE)
    one.add_argument("--seed", type=int, default=1, metavar="S")
    one.set_defaults(run=run_generate)

    one = commands.add_parser("page", help="render a feed three ways, and count the statements of each")
    one.add_argument("--questions", type=_positive, default=10, metavar="N", help="how many on the page")
    source = one.add_mutually_exclusive_group()
    source.add_argument("--data", type=Path, metavar="DIR", help="on a dump")
    source.add_argument("--db", metavar=SITE, help="on a site that is there")
    source.add_argument("--generate", type=_positive, default=GENERATED, metavar="N", help="on a site of N questions")
    one.add_argument("--seed", type=int, default=1, metavar="S", help="of the site that --generate makes")
    one.add_argument(
        "--cache", nargs="?", const=places.MEMORY, metavar=CACHE, help="once more, from a warm cache; in memory if bare"
    )
    one.add_argument("--json", action="store_true", help="one JSON object a line")
    one.set_defaults(run=run_page)

    one = commands.add_parser("serve", help="serve a site")
    one.add_argument("--db", required=True, metavar=SITE)
    one.add_argument("--cache", default=places.MEMORY, metavar=CACHE, help="by default in memory")
    one.add_argument("--host", default="127.0.0.1")
    one.add_argument("--port", type=int, default=8080)
    one.set_defaults(run=run_serve)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
