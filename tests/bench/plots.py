"""The two plots of the page. The only file here that imports matplotlib.

Rules: one figure for each question; lines are named at their ends; a way has one colour in all plots.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from tests.bench.targets import Combination, Results

COLOURS = {
    "batchio": "#c2410c",
    "aiodataloader": "#1d4ed8",
    "strawberry": "#7c3aed",
    "dloader": "#0f766e",
    "bare futures": "#9ca3af",
    "primed": "#111827",
    "primed-on-cache": "#9ca3af",
}


def draw(results: dict[Combination, Results], folder: Path) -> list[Path]:
    """Write both, for asyncio on each Python; the files."""
    asyncio = {combination: one for combination, one in results.items() if combination.loop == "asyncio"}
    return [
        _keys(asyncio, folder / "benchmarks-keys.png"),
        *([_connections(asyncio, folder / "benchmarks-connections.png")] if _have(asyncio, "feed.1") else []),
    ]


def _have(results: dict[Combination, Results], key: str) -> bool:
    return any(key in one for one in results.values())


def _keys(results: dict[Combination, Results], file: Path) -> Path:
    """Microseconds per key by keys in a tick: gathered loads above, tasks below."""
    figure, axes = plt.subplots(2, len(results), figsize=(5.6 * len(results), 7.6), squeeze=False, sharex=True)
    titles = {"gathered": "loads gathered", "tasks": "tasks with a load each"}
    for row, (kind, title) in enumerate(titles.items()):
        for column, (combination, one) in enumerate(results.items()):
            ways = {
                way: ([int(size) for size in found], [figure["min"] for figure in found.values()])
                for way, found in one["sizes"][kind].items()
            }
            axis = axes[row][column]
            _lines(axis, ways, f"{title}, Python {combination.python}")
            axis.set_xscale("log")
            axis.set_ylabel("µs per key" if not column else "")
            axis.set_xlabel("keys in a tick" if row else "")
    return _save(figure, axes, file)


def _connections(results: dict[Combination, Results], file: Path) -> Path:
    """Requests per second by connections."""
    found = {combination: one for combination, one in results.items() if "feed.1" in one}
    figure, axes = plt.subplots(1, len(found), figsize=(5.6 * len(found), 4.2), squeeze=False, sharey=True)
    for axis, (combination, one) in zip(axes[0], found.items(), strict=True):
        counts = sorted(int(key.partition(".")[2]) for key in one if key.startswith("feed."))
        ways = {way: (counts, [one[f"feed.{n}"][way]["rate"] for n in counts]) for way in one["feed.1"]}
        _lines(axis, ways, f"the feed of ten, Python {combination.python}")
        axis.set_xscale("log", base=2)
        axis.set_xticks(counts, [str(n) for n in counts])
        axis.set_xlabel("connections")
    axes[0][0].set_ylabel("requests per second")
    return _save(figure, axes, file)


def _lines(axis: Any, ways: dict[str, tuple[list[int], list[float]]], title: str) -> None:
    for way, (xs, ys) in ways.items():
        axis.plot(
            xs, ys, marker="o", markersize=4, color=COLOURS.get(way), label=way, lw=2.4 if way == "batchio" else 1.4
        )
    axis.set_title(title, fontsize=11)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _save(figure: Any, axes: Any, file: Path) -> Path:
    for axis in axes.flat:  # once all are drawn: axes that are shared would keep the first one's top
        axis.set_ylim(bottom=0)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=len(names), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file
