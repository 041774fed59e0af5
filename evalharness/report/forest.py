"""Draw the forest plot: differences from the base with their intervals, in units of their margins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from evalharness.analysis.number_text import coverage
from evalharness.records.comparison import Comparison, Level
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.marks import colour_of, frame, margin_lines, marker_of, name_axis, scale_to_margins, size_of
from evalharness.report.order import in_order, members_of, targets_of
from evalharness.report.svg import NAMES, Drawing, inline, style
from evalharness.stats.enums import Verdict

NAME = 60  # characters of a task's name
PIECE = re.compile(r".{1,31}(?:_|$)|.{1,32}")  # what of it stands on one line
LINE, GAP = 0.155, 0.11  # inches: height of one candidate's line, and between tasks
WIDTH, RIGHT, TOP, BOTTOM = 9.4, 1.05, 0.58, 0.68  # inches: of the figure, and of what lies around the axes


@dataclass(frozen=True, slots=True, kw_only=True)
class _TaskLines:
    """One task of the forest plot. `comparisons`: its lines, from top to bottom."""

    label: str
    comparisons: tuple[Comparison, ...]


def forest(results: Results) -> str:
    """Return the SVG element; empty if there is nothing to draw."""
    drawing = forest_drawing(results)
    return "" if drawing is None else inline(drawing)


def forest_drawing(results: Results) -> Drawing | None:
    """Return the figure of gate units, suite and targets; None if none has a margin."""
    names = results.candidates
    tasks = _tasks(results)
    if not tasks:
        return None
    comparisons = [c for task in tasks for c in task.comparisons]
    inner = len(comparisons) * LINE + (len(tasks) + 1) * GAP
    margin_left, height = (
        0.3 + 0.07 * max(len(line) for task in tasks for line in task.label.split("\n")),
        inner + TOP + BOTTOM,
    )
    with style():
        box = (margin_left / WIDTH, BOTTOM / height, (WIDTH - margin_left - RIGHT) / WIDTH, inner / height)
        figure, axes = frame((WIDTH, height), box)
        tips = _draw(axes, tasks, names, inner)
        _finish(axes, comparisons)
    lost = "; ".join(f"{c.candidate} on {c.task}: {c.verdict}" for c in comparisons if c.verdict == Verdict.FORGOTTEN)
    description = (
        f"One line per candidate and task; intervals {coverage(comparisons[0].ci_level)}. "
        f"{f'Forgotten: {lost}' if lost else 'None is forgotten.'}"
    )
    return Drawing(figure, "forest", "Differences from the base in units of the margin", description, tips)


def _tasks(results: Results) -> list[_TaskLines]:
    group, targets = members_of(results), set(targets_of(results).values())
    order = {name: i for i, name in enumerate(results.candidates)}
    tasks = []
    for task, comparisons in in_order(results):
        level = comparisons[0].level
        own = sorted((c for c in comparisons if _in_margins(c)), key=lambda c: order[c.candidate])
        if not own or (level == Level.TASK and task in group and task not in targets):
            continue
        suffix = " (suite)" if level == Level.SUITE else " (target)" if task in targets else ""
        tasks.append(
            _TaskLines(label="\n".join(PIECE.findall(wording.one_line(task, NAME))) + suffix, comparisons=tuple(own))
        )
    return tasks


def _in_margins(c: Comparison) -> list[float]:
    """Return the difference and its interval's ends, if any, in units of the margin; [] without a difference or
    margin.
    """
    if c.difference is None or not c.margin:
        return []
    ends = (c.difference.value, c.difference.low, c.difference.high)
    return [value / c.margin for value in ends if value is not None]


def _draw(axes: Axes, tasks: Sequence[_TaskLines], names: Sequence[str], height: float) -> dict[str, str]:
    """Draw points, intervals and verdicts; return the tooltips of the points by group id. `height`: of the figure, in
    inches.
    """
    tips: dict[str, str] = {}
    ticks, y = [], GAP
    for number, task in enumerate(tasks):
        start = y
        for c in task.comparisons:
            _draw_point(axes, c, y + LINE / 2, names.index(c.candidate), f"point-{len(tips)}")
            tips[f"point-{len(tips)}"] = _tip(c)
            y += LINE
        ticks.append((start + y) / 2)
        if number % 2 == 0:
            axes.axhspan(start - GAP / 2, y + GAP / 2, facecolor=NAMES["band"], zorder=0, linewidth=0)
        y += GAP
    axes.set_ylim(height, 0)
    axes.set_yticks(ticks, labels=[task.label for task in tasks])
    return tips


def _draw_point(axes: Axes, c: Comparison, y: float, candidate: int, gid: str) -> None:
    value, *ends = _in_margins(c)
    colour = colour_of(candidate)
    if len(ends) == 2:
        axes.plot(ends, [y, y], color=colour, linewidth=1.5, solid_capstyle="butt", zorder=3)
    axes.plot(
        [value],
        [y],
        linestyle="none",
        marker=marker_of(candidate),
        markersize=size_of(candidate),
        color=colour,
        markeredgecolor=NAMES["paper"],
        markeredgewidth=0.5,
        gid=gid,
        zorder=4,
    )
    if c.verdict is not None:
        words = f"{wording.VERDICTS[c.verdict][0]} {c.verdict}"
        place = axes.get_yaxis_transform()
        axes.text(1.012, y, words, transform=place, va="center", ha="left", fontsize=7.2, color=NAMES[c.verdict])


def _tip(c: Comparison) -> str:
    change = wording.change_of(c)
    parts = (f"{c.candidate} on {c.task}: {change.difference}", change.interval, c.verdict)
    return " ".join(part for part in parts if part)


def _finish(axes: Axes, comparisons: Sequence[Comparison]) -> None:
    values = [value for c in comparisons for value in _in_margins(c)]
    scale_to_margins(axes, values)
    axes.tick_params(axis="x", labelsize=8, length=3, color=NAMES["line"], top=True, labeltop=True)
    axes.tick_params(axis="y", length=0, pad=7)
    margin_lines(axes, 1.0, above=18)
    name_axis(axes, "difference from the base, in margins of each task", 8.5)
    for spine in axes.spines.values():
        spine.set_linewidth(0.8)
