"""Draw the atlas's two figures from its records: gain against what the suite lost, and each task's change by recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tables import Document, able, short

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

TRADEOFF, TASKS = "atlas-tradeoff.svg", "atlas-tasks.svg"
STYLE: dict[RcKeyType, Any] = {
    "svg.hashsalt": "atlas",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
COLOURS = {"full": "#1b4f8a", "lora": "#b3541e", "prompt": "#4d4d4d"}
MARKS = {"full": "o", "lora": "s", "prompt": "^"}
MOST = 20  # margins that have the darkest colour
REPLAY, REPAIRED = "D", "*"


def draw(folder: Path, document: Document) -> list[Path]:
    """Write both figures into the folder; the same records give the same bytes."""
    with mpl.rc_context(STYLE):
        figures = {TRADEOFF: _tradeoff(document), TASKS: _tasks(document)}
        for name, figure in figures.items():
            figure.savefig(folder / name, metadata={"Date": None}, facecolor="white")
    for name in figures:  # matplotlib leaves spaces at the ends of lines
        path = folder / name
        path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text("utf-8").splitlines()), "utf-8")
    return [folder / name for name in figures]


def _tradeoff(document: Document) -> Figure:
    figure = Figure((7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    lines = document["lines"]
    for method in ("full", "lora"):
        for seed in document["seeds"]:
            mine = [each for each in lines if _kind(each) == method and each["seed"] == seed]
            mine.sort(key=lambda each: each["rate"])
            axes.plot(*_points(mine), color=COLOURS[method], linewidth=0.7, alpha=0.5)
    measured = [line for line in lines if line.get("suite")]  # a repair that found nothing to do has none
    for kind in dict.fromkeys(map(_kind, measured)):
        _scatter(axes, [line for line in measured if _kind(line) == kind], kind)
    axes.axhline(0, color="#888888", linewidth=0.6)
    axes.axhline(-1, color="#888888", linewidth=0.6, linestyle=":")
    axes.set_xlabel(f"gain on the target ({document['target']})")
    axes.set_ylabel("change over the suite, in margins")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _scatter(axes: Axes, mine: Sequence[dict[str, Any]], kind: str) -> None:
    method = mine[0]["method"]
    mark = REPLAY if kind == "full with replay" else REPAIRED if "repaired" in kind else MARKS[method]
    x, y = _points(mine)
    low = [each["suite"]["value"] - each["suite"]["low"] for each in mine]
    high = [each["suite"]["high"] - each["suite"]["value"] for each in mine]
    face = "white" if "repaired" in kind else COLOURS[method]
    axes.errorbar(
        x, y, yerr=[low, high], label=kind, fmt=mark, color=COLOURS[method], mfc=face, elinewidth=0.6, markersize=7
    )


def _points(mine: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return [each["gain"]["value"] for each in mine], [each["suite"]["value"] for each in mine]


def _kind(line: dict[str, Any]) -> str:
    if line["of"]:
        return f"{line['method']}, repaired"
    return f"{line['method']} with replay" if line["replay"] else str(line["method"])


def _tasks(document: Document) -> Figure:
    """One row a recipe, one column a task that the base can do: the change in margins."""
    tasks = able(document)
    lines = [line for line in document["lines"] if not line["of"]]
    ways = [way for way in document["ways"] if any(line["way"] == way for line in lines)]
    table = [[_mean(lines, way, task) for task in tasks] for way in ways]
    figure = Figure((7.2, 1.2 + 0.34 * len(ways)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(table, cmap="RdBu", vmin=-MOST, vmax=MOST, aspect="auto")
    for y, row in enumerate(table):
        for x, value in enumerate(row):
            text = f"{value:+.1f}".replace("-", "−")
            color = "white" if abs(value) > 0.7 * MOST else "black"
            axes.text(x, y, text, ha="center", va="center", color=color, fontsize=8)
    axes.set_xticks(range(len(tasks)), [short(task) for task in tasks])
    axes.set_yticks(range(len(ways)), ways)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="change, in margins")
    return figure


def _mean(lines: Sequence[dict[str, Any]], way: str, task: str) -> float:
    values = [line["units"][task]["in_margins"] for line in lines if line["way"] == way]
    return fmean(value for value in values if value is not None)
