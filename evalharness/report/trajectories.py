"""Stages to their figure: how much of each task's skill is left after every stage."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evalharness.report import wording
from evalharness.report.figures import SIZES, colour_of, marker_of
from evalharness.report.stages import Column, Stages
from evalharness.report.svg import NAMES, Drawing, inline, style
from evalharness.stats.enums import Verdict

LOW, HIGH = -0.25, 1.6  # of skill retained: beyond it lines leave the figure
CHARACTERS = 70  # of stage names side by side; more are turned


@dataclass(frozen=True, slots=True)
class _Line:
    """A task's points, (stage, skill retained, low, high, forgotten?): before it was taught, from the base's skill on,
    and since, from that of the
    stage that taught it."""

    name: str
    parts: tuple[tuple[tuple[int, float, float | None, float | None, bool], ...], ...]


def trajectories(stages: Stages) -> str:
    """The SVG element; empty where no task's skill can be followed."""
    lines = [line for column in stages.columns if (line := _line(column)) is not None]
    if not lines:
        return ""
    names = [wording.one_line(name, 24) for name in (stages.base, *stages.stages)]
    turned = sum(len(name) for name in names) > CHARACTERS
    tips: dict[str, str] = {}
    with style():
        figure = Figure(figsize=(9.4, max(4.6, 0.24 * len(lines) + 1.2) + 0.9 * turned))
        figure.patch.set_visible(False)
        bottom = 0.28 if turned else 0.1
        axes = figure.add_axes((0.075, bottom, 0.70, 0.95 - bottom))
        for number, line in enumerate(lines):
            _draw(axes, number, line, names, tips)
        _finish(axes, names, turned)
        _legend(axes, lines)
    return inline(Drawing(figure, "trajectories", "Skill retained over the stages", "; ".join(tips.values()), tips))


def _line(column: Column) -> _Line | None:
    """None where the models that knew the task had no skill above chance, so that nothing can be followed."""
    points = [
        (number, cell.retained.value, cell.retained.low, cell.retained.high, cell.state == Verdict.FORGOTTEN)
        for number, cell in enumerate(column.cells, 1)
        if cell.retained is not None
    ]
    parts = {
        0: [point for point in points if point[0] < column.learned],
        column.learned: [point for point in points if point[0] > column.learned],
    }
    return (
        _Line(column.name, tuple(((start, 1.0, None, None, False), *part) for start, part in parts.items() if part))
        if points
        else None
    )


def _draw(axes: Axes, number: int, line: _Line, names: list[str], tips: dict[str, str]) -> None:
    colour, marker = colour_of(number), marker_of(number)
    for part in line.parts:
        axes.plot(
            [point[0] for point in part], [point[1] for point in part], color=colour, linewidth=1.3, alpha=0.8, zorder=2
        )
    for place, value, low, high, forgotten in (point for part in line.parts for point in part):
        gid = f"task-{number}-{place}"
        if low is not None and high is not None:
            axes.plot([place, place], [low, high], color=colour, linewidth=0.7, alpha=0.55, zorder=1)
        tips[gid] = (
            f"{wording.one_line(line.name, 40)} after {names[place]}: {wording.plain(value, 2)}{', forgotten' if forgotten else ''}"
        )
        look = {
            "markerfacecolor": colour if forgotten else NAMES["paper"],
            "markeredgecolor": colour,
            "markeredgewidth": 1.2,
        }
        axes.plot([place], [value], marker=marker, markersize=SIZES.get(marker, 5) * 1.2, gid=gid, zorder=3, **look)


def _finish(axes: Axes, names: list[str], turned: bool) -> None:
    values = [value for line in axes.get_lines() for value in line.get_ydata()]
    axes.set_ylim(max(LOW, min(-0.06, *values)), min(HIGH, max(1.1, *values) + 0.04))
    axes.set_xlim(-0.2, len(names) - 0.8)
    axes.axhline(1, color=NAMES["muted"], linewidth=0.9, zorder=0)
    axes.axhline(0, color=NAMES["muted"], linewidth=0.9, zorder=0)
    axes.grid(color=NAMES["line"], linewidth=0.5, zorder=0)
    axes.set_xticks(
        range(len(names)),
        names,
        rotation=40 if turned else 0,
        ha="right" if turned else "center",
        rotation_mode="anchor",
    )
    axes.tick_params(length=3, labelsize=8, color=NAMES["line"], labelcolor=NAMES["muted"])
    axes.set_ylabel("skill retained  (1: all of it, 0: at chance)", fontsize=8.5)


def _legend(axes: Axes, lines: list[_Line]) -> None:
    """Names beside the axes, with the marks of the points."""
    place = {"transform": axes.transAxes, "clip_on": False}
    step = min(0.06, 0.98 / len(lines))
    for number, line in enumerate(lines):
        y, marker = 0.98 - step * number, marker_of(number)
        axes.plot([1.04], [y], marker=marker, markersize=SIZES.get(marker, 5) * 1.1, color=colour_of(number), **place)
        axes.text(1.065, y, wording.one_line(line.name, 26), va="center", fontsize=8.2, **place)
