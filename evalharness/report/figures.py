"""Results to the page's two figures: the forest of differences, and target gain against forgetting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evalharness.records.comparison import Comparison, Level
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.order import candidates_of, in_order, members_of, targets_of
from evalharness.report.svg import NAMES, Drawing, inline, style
from evalharness.report.tables import learned_words
from evalharness.report.training_table import joined
from evalharness.stats.enums import Verdict

MARKERS = "sD^*PX<>"  # with 8 colours; the page's legend shows the same shapes
SIZES = {"*": 8.5, "P": 6.6, "X": 6.4, "s": 5.4, "D": 5.0, "^": 6.0, "<": 6.0, ">": 6.0}
LINEAR = 3.0  # margins on either side of zero that are drawn to scale; beyond, the axis is logarithmic
TICKS = (-1000, -300, -100, -30, -10, -3, -2, -1, 0, 1, 2, 3, 10, 30, 100, 300, 1000)
INCH_LINE, INCH_GAP = 0.155, 0.11  # height of one candidate's line, and between tasks


def colour_of(i: int) -> str:
    return NAMES[f"c{i % 8}"]


def marker_of(i: int) -> str:
    """Shape of candidate `i`; from the ninth on colours repeat with other shapes."""
    return MARKERS[(i + i // 8) % len(MARKERS)]


# ---- forest ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """One task of the forest and its comparisons, in units of its margin."""

    label: str
    comparisons: tuple[Comparison, ...]


def forest(results: Results) -> str:
    """Differences of gate units, suite and targets with their intervals, each in units of its margin δ. Empty where
    none has a margin.
    """
    names = candidates_of(results)
    rows = _forest_rows(results)
    if not rows:
        return ""
    lines = sum(len(row.comparisons) for row in rows)
    height = lines * INCH_LINE + (len(rows) + 1) * INCH_GAP
    left = 0.3 + 0.07 * max(len(row.label) for row in rows)
    width, top, bottom, right = 9.4, 0.58, 0.55, 1.05
    with style():
        figure = Figure(figsize=(width, height + top + bottom))
        figure.patch.set_visible(False)
        axes = figure.add_axes(
            (
                left / width,
                bottom / (height + top + bottom),
                (width - left - right) / width,
                height / (height + top + bottom),
            )
        )
        tips = _draw_rows(axes, rows, names, height)
        _finish_forest(axes, rows)
    level = f"{100 * rows[0].comparisons[0].ci_level:g} %"
    decided = [
        f"{c.candidate} on {c.task}: {c.verdict}"
        for row in rows
        for c in row.comparisons
        if c.verdict == Verdict.FORGOTTEN
    ]
    description = f"One line per candidate and task; intervals {level}. " + (
        "Forgotten: " + "; ".join(decided) if decided else "None is forgotten."
    )
    return inline(Drawing(figure, "forest", "Differences from the base in units of the margin", description, tips))


def _forest_rows(results: Results) -> list[_Row]:
    group, targets = members_of(results), set(targets_of(results).values())
    order = {name: i for i, name in enumerate(candidates_of(results))}
    rows = []
    for task, comparisons in in_order(results):
        first = comparisons[0]
        shown = sorted((c for c in comparisons if c.margin and c.n), key=lambda c: order[c.candidate])
        if not shown or (first.level == Level.TASK and task in group and task not in targets):
            continue
        suffix = " (suite)" if first.level == Level.SUITE else " (target)" if task in targets else ""
        rows.append(_Row(wording.one_line(task, 30) + suffix, tuple(shown)))
    return rows


def _scaled(c: Comparison) -> tuple[float, float | None, float | None]:
    margin = c.margin or 1.0
    low, high = c.difference.low, c.difference.high
    return c.difference.value / margin, None if low is None else low / margin, None if high is None else high / margin


def _draw_rows(axes: Axes, rows: Sequence[_Row], names: Sequence[str], height: float) -> dict[str, str]:
    """Points, intervals and verdict words; y in inches from the top. Gives the tips of the points."""
    tips: dict[str, str] = {}
    ticks, y = [], INCH_GAP
    for number, row in enumerate(rows):
        start = y
        for c in row.comparisons:
            at = y + INCH_LINE / 2
            _draw_point(axes, c, at, names.index(c.candidate), f"point-{len(tips)}")
            tips[f"point-{len(tips)}"] = _tip(c)
            y += INCH_LINE
        ticks.append((start + y) / 2)
        if number % 2 == 0:
            axes.axhspan(start - INCH_GAP / 2, y + INCH_GAP / 2, facecolor=NAMES["band"], zorder=0, linewidth=0)
        y += INCH_GAP
    axes.set_ylim(height, 0)
    axes.set_yticks(ticks, labels=[row.label for row in rows])
    return tips


def _draw_point(axes: Axes, c: Comparison, at: float, candidate: int, gid: str) -> None:
    value, low, high = _scaled(c)
    colour, marker = colour_of(candidate), marker_of(candidate)
    if low is not None and high is not None:
        axes.plot([low, high], [at, at], color=colour, linewidth=1.5, solid_capstyle="butt", zorder=3)
    edge = {"markeredgecolor": NAMES["paper"], "markeredgewidth": 0.5}
    axes.plot([value], [at], marker=marker, markersize=SIZES.get(marker, 5), color=colour, gid=gid, zorder=4, **edge)
    if c.verdict is not None:
        words = f"{wording.VERDICTS[c.verdict][0]} {c.verdict}"
        place = axes.get_yaxis_transform()
        axes.text(1.012, at, words, transform=place, va="center", ha="left", fontsize=7.2, color=NAMES[c.verdict])


def _tip(c: Comparison) -> str:
    places = wording.places_for((c.base.value, c.candidate_score.value, c.difference.value))
    parts = [
        f"{c.candidate} on {c.task}: {wording.signed(c.difference.value, places)}",
        wording.interval(c.difference, places),
        c.verdict or "",
    ]
    return " ".join(part for part in parts if part)


def _finish_forest(axes: Axes, rows: Sequence[_Row]) -> None:
    values = [value for row in rows for c in row.comparisons for value in _scaled(c) if value is not None]
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=1.6)
    axes.set_xlim(min(-2.0, *values) * 1.18, max(1.6, *values) * 1.18)
    ticks = [tick for tick in TICKS if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, labels=[f"{tick:d}".replace("-", wording.MINUS) for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.tick_params(axis="x", labelsize=8, length=3, color=NAMES["line"], top=True, labeltop=True)
    axes.tick_params(axis="y", length=0, pad=7)
    axes.axvspan(axes.get_xlim()[0], -1, facecolor=NAMES["forgotten"], alpha=0.07, zorder=1, linewidth=0)
    axes.axvline(0, color=NAMES["muted"], linewidth=1, zorder=2)
    axes.axvline(-1, color=NAMES["forgotten"], linewidth=1.1, linestyle=(0, (4, 2.5)), zorder=2)
    above = axes.get_xaxis_transform()
    words = {"xycoords": above, "textcoords": "offset points", "va": "bottom", "fontsize": 8}
    axes.annotate(f"margin ({wording.MINUS}δ)", (-1, 1), xytext=(-4, 18), ha="right", color=NAMES["forgotten"], **words)
    axes.annotate("no change", (0, 1), xytext=(4, 18), ha="left", color=NAMES["muted"], **words)
    axes.set_xlabel("difference from the base, in margins δ of each task", fontsize=8.5)
    for side in axes.spines.values():
        side.set_linewidth(0.8)


# ---- gain against forgetting -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Point:
    """A candidate: change over the suite (x), gain on its target (y), each with its interval."""

    candidate: int
    name: str
    learned: bool | None
    words: str
    x: tuple[float, float | None, float | None]
    y: tuple[float, float | None, float | None]


def tradeoff(results: Results) -> str:
    """Target gain against the difference of the suite in units of skill; empty where no candidate has both."""
    points, margin, targets = _points(results)
    if not points:
        return ""
    with style():
        figure = Figure(figsize=(7.6, 4.5))
        figure.patch.set_visible(False)
        axes = figure.add_axes((0.105, 0.125, 0.865, 0.825))
        tips = {}
        _join(axes, points, joined(results))
        for point in points:
            change, gain = wording.signed(point.x[0]), wording.signed(point.y[0])
            tips[f"candidate-{point.candidate}"] = f"{point.name}: suite {change}, target {gain}, {point.words}"
            _draw_candidate(axes, point)
        _finish_tradeoff(axes, points, margin, targets)
        _write_names(axes, points)
    description = "; ".join(tips.values())
    return inline(Drawing(figure, "tradeoff", "What was learned against what was forgotten", description, tips))


def _points(results: Results) -> tuple[list[_Point], float | None, list[str]]:
    suites = {c.candidate: c for c in results.comparisons if c.level == Level.SUITE and c.primary}
    names = candidates_of(results)
    points, targets = [], []
    for model in results.models:
        suite, gain = suites.get(model.name), model.target_gain
        if suite is not None and gain is not None:
            x = (suite.difference.value, suite.difference.low, suite.difference.high)
            y = (gain.value, gain.low, gain.high)
            points.append(_Point(names.index(model.name), model.name, model.learned_target, learned_words(model), x, y))
            targets.append(wording.one_line(model.target_task or "", 30))
    margin = next((c.margin for c in suites.values()), None)
    return points, margin, list(dict.fromkeys(targets))


def _join(axes: Axes, points: Sequence[_Point], lines: Sequence[Sequence[str]]) -> None:
    """A line through the candidates of one method, in the order of their learning rates."""
    spots = {point.name: (point.x[0], point.y[0]) for point in points}
    for names in lines:
        places = [spots[name] for name in names if name in spots]
        if len(places) > 1:
            axes.plot(*zip(*places, strict=True), color=NAMES["muted"], linewidth=0.9, linestyle=(0, (1, 2)), zorder=2)


def _draw_candidate(axes: Axes, point: _Point) -> None:
    colour, marker = colour_of(point.candidate), marker_of(point.candidate)
    (x, left, right), (y, low, high) = point.x, point.y
    if left is not None and right is not None:
        axes.plot([left, right], [y, y], color=colour, linewidth=1.3, zorder=3)
    if low is not None and high is not None:
        axes.plot([x, x], [low, high], color=colour, linewidth=1.3, zorder=3)
    look = {
        "markerfacecolor": colour if point.learned else NAMES["paper"],
        "markeredgecolor": colour,
        "markeredgewidth": 1.5,
    }
    axes.plot(
        [x],
        [y],
        marker=marker,
        markersize=SIZES.get(marker, 5) * 1.7,
        gid=f"candidate-{point.candidate}",
        zorder=4,
        **look,
    )


def _finish_tradeoff(axes: Axes, points: Sequence[_Point], margin: float | None, targets: Sequence[str]) -> None:
    for values, margin_here, limit in (
        ([v for p in points for v in p.x if v is not None], margin or 0.02, axes.set_xlim),
        ([v for p in points for v in p.y if v is not None], 0.02, axes.set_ylim),
    ):
        low, high = min(-2 * margin_here, *values), max(2 * margin_here, *values)
        limit(low - 0.09 * (high - low), high + 0.09 * (high - low))
    axes.axvline(0, color=NAMES["muted"], linewidth=0.9, zorder=1)
    axes.axhline(0, color=NAMES["muted"], linewidth=0.9, zorder=1)
    if margin:
        axes.axvspan(axes.get_xlim()[0], -margin, facecolor=NAMES["forgotten"], alpha=0.07, zorder=0, linewidth=0)
        axes.axvline(-margin, color=NAMES["forgotten"], linewidth=1.1, linestyle=(0, (4, 2.5)), zorder=1)
    axes.grid(color=NAMES["line"], linewidth=0.5, zorder=0)
    axes.tick_params(length=3, labelsize=8, color=NAMES["line"], labelcolor=NAMES["muted"])
    axes.set_xlabel("change over the whole suite, in units of skill  (right: kept more)", fontsize=8.5)
    what = targets[0] if len(targets) == 1 else "each one's own target"
    axes.set_ylabel(f"gain on {what}  (up: learned more)", fontsize=8.5)


def _bars(axes: Axes, point: _Point) -> list[tuple[float, float, float, float]]:
    """Boxes (left, low, right, high) of a point's cross, in pixels."""
    (x, left, right), (y, low, high) = point.x, point.y
    ends = [((left, y), (right, y))] if left is not None and right is not None else []
    ends += [((x, low), (x, high))] if low is not None and high is not None else []
    found = [(*axes.transData.transform(start), *axes.transData.transform(end)) for start, end in ends]
    return [(a - 1, b - 1, c + 1, d + 1) for a, b, c, d in found]


def _write_names(axes: Axes, points: Sequence[_Point]) -> None:
    """Names beside the points, each in the first of eight places where it covers neither an edge, a point nor an
    earlier name.
    """
    box = axes.get_window_extent()
    spots = [axes.transData.transform((p.x[0], p.y[0])) for p in points]
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in spots] + [bar for point in points for bar in _bars(axes, point)]
    scale = axes.figure.dpi / 72  # points to pixels
    for point, (x, y) in zip(points, spots, strict=True):
        label = wording.one_line(point.name, 32) + ("" if point.learned else f" ({point.words})")
        wide, high = 4.9 * len(label) * scale, 10 * scale
        places = [(side, dy) for dy in (6, -16, 18, -28) for side in (1, -1)]
        for side, dy in places:
            start = x + 8 * scale if side == 1 else x - 8 * scale - wide
            area = (start, y + dy * scale, start + wide, y + dy * scale + high)
            inside = area[0] > box.x0 and area[2] < box.x1 and area[1] > box.y0 and area[3] < box.y1
            if inside and not any(
                area[0] < t[2] and t[0] < area[2] and area[1] < t[3] and t[1] < area[3] for t in taken
            ):
                break
        else:
            side, dy, area = 1, 6, (x, y, x, y)
        taken.append(area)
        align = "left" if side == 1 else "right"
        text = axes.annotate(
            label,
            (point.x[0], point.y[0]),
            xytext=(8 * side, dy),
            textcoords="offset points",
            ha=align,
            va="bottom",
            fontsize=8.2,
        )
        text.set_gid(f"label-{point.candidate}")
