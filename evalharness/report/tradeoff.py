"""Draw what was learned against what was forgotten: the gain on the target against the change over the suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from evalharness.records.comparison import Estimate, Level
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.marks import colour_of, frame, mark, quiet_grid
from evalharness.report.svg import NAMES, Drawing, inline, style
from evalharness.report.targets import learned_words, suite_changes
from evalharness.report.training_table import joined

PLACES = tuple((side, dy) for dy in (6, -16, 18, -28) for side in (1, -1))  # of a name: right or left, points above
Box = tuple[float, float, float, float]  # left, low, right, high, in pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class _CandidatePoint:
    """A candidate: change over the suite (x), gain on its target (y)."""

    candidate: int
    name: str
    learned: bool | None
    words: str
    target: str
    x: Estimate
    y: Estimate


def tradeoff(results: Results) -> str:
    """The SVG element; empty where no candidate has both a change over the suite and a gain."""
    changes, names = suite_changes(results), results.candidates
    points = [
        _CandidatePoint(
            candidate=names.index(model.name),
            name=model.name,
            learned=model.learned_target,
            words=learned_words(model),
            target=wording.one_line(model.target_task or "", 30),
            x=changes[model.name],
            y=model.target_gain,
        )
        for model in results.models
        if model.name in changes and model.target_gain is not None
    ]
    if not points:
        return ""
    with style():
        figure, axes = frame((7.6, 4.5), (0.105, 0.125, 0.865, 0.825))
        _join(axes, points, joined(results))
        for point in points:
            _draw(axes, point)
        margins = (c.margin for c in results.comparisons if c.level == Level.SUITE and c.primary)
        _finish(axes, points, next(margins, None))
        _write_names(axes, points)
    tips = {f"candidate-{point.candidate}": _tip(point) for point in points}
    title = "What was learned against what was forgotten"
    return inline(Drawing(figure, "tradeoff", title, "; ".join(tips.values()), tips))


def _tip(point: _CandidatePoint) -> str:
    change, gain = wording.signed(point.x.value, wording.IN_MARGINS), wording.signed(point.y.value)
    return f"{point.name}: suite {change} margins, target {gain}, {point.words}"


def _join(axes: Axes, points: Sequence[_CandidatePoint], lines: Sequence[Sequence[str]]) -> None:
    """A line through the candidates of one method, in the order of their learning rates."""
    spots = {point.name: (point.x.value, point.y.value) for point in points}
    for names in lines:
        places = [spots[name] for name in names if name in spots]
        if len(places) > 1:
            axes.plot(*zip(*places, strict=True), color=NAMES["muted"], linewidth=0.9, linestyle=(0, (1, 2)), zorder=2)


def _draw(axes: Axes, point: _CandidatePoint) -> None:
    x, y, colour = point.x, point.y, colour_of(point.candidate)
    if x.low is not None and x.high is not None:
        axes.plot([x.low, x.high], [y.value, y.value], color=colour, linewidth=1.3, zorder=3)
    if y.low is not None and y.high is not None:
        axes.plot([x.value, x.value], [y.low, y.high], color=colour, linewidth=1.3, zorder=3)
    gid, at = f"candidate-{point.candidate}", (x.value, y.value)
    mark(axes, at, point.candidate, scale=1.7, edge=1.5, gid=gid, hollow=not point.learned)


def _ends(estimate: Estimate) -> list[float]:
    return [value for value in (estimate.value, estimate.low, estimate.high) if value is not None]


def _finish(axes: Axes, points: Sequence[_CandidatePoint], margin: float | None) -> None:
    for values, least, limit in (
        ([value for point in points for value in _ends(point.x)], 2 * (margin or 0.02), axes.set_xlim),
        ([value for point in points for value in _ends(point.y)], 2 * 0.02, axes.set_ylim),
    ):
        low, high = min(-least, *values), max(least, *values)
        limit(low - 0.09 * (high - low), high + 0.09 * (high - low))
    axes.axvline(0, color=NAMES["muted"], linewidth=0.9, zorder=1)
    axes.axhline(0, color=NAMES["muted"], linewidth=0.9, zorder=1)
    if margin:
        axes.axvspan(axes.get_xlim()[0], -margin, facecolor=NAMES["forgotten"], alpha=0.07, zorder=0, linewidth=0)
        axes.axvline(-margin, color=NAMES["forgotten"], linewidth=1.1, linestyle=(0, (4, 2.5)), zorder=1)
    quiet_grid(axes)
    axes.set_xlabel("change over the suite, in margins  (right: kept more)", fontsize=8.5)
    targets = {point.target for point in points}
    target = targets.pop() if len(targets) == 1 else "each one's own target"
    axes.set_ylabel(f"gain on {target}  (up: learned more)", fontsize=8.5)


def _cross(axes: Axes, point: _CandidatePoint) -> list[Box]:
    """Where a point and its intervals are drawn."""
    x, y = point.x, point.y
    spot = axes.transData.transform((x.value, y.value))
    boxes = [(spot[0] - 7, spot[1] - 7, spot[0] + 7, spot[1] + 7)]
    ends = [((x.low, y.value), (x.high, y.value))] if x.low is not None and x.high is not None else []
    ends += [((x.value, y.low), (x.value, y.high))] if y.low is not None and y.high is not None else []
    for start, end in ends:
        (left, low), (right, high) = axes.transData.transform(start), axes.transData.transform(end)
        boxes.append((left - 1, low - 1, right + 1, high + 1))
    return boxes


def _write_names(axes: Axes, points: Sequence[_CandidatePoint]) -> None:
    """Names beside the points, each in the first of eight places where it covers neither an edge, a point nor an
    earlier name.
    """
    taken = [box for point in points for box in _cross(axes, point)]
    for point in points:
        label = wording.one_line(point.name, 32) + ("" if point.learned else f" ({point.words})")
        free = ((place, box) for place in PLACES if _is_free(box := _area(axes, point, label, place), axes, taken))
        x, y = axes.transData.transform((point.x.value, point.y.value))
        (side, dy), box = next(free, (PLACES[0], (x, y, x, y)))
        taken.append(box)
        at = (point.x.value, point.y.value)
        text = axes.annotate(label, at, (8 * side, dy), textcoords="offset points", va="bottom", fontsize=8.2)
        text.set(ha="left" if side == 1 else "right", gid=f"label-{point.candidate}")


def _area(axes: Axes, point: _CandidatePoint, label: str, place: tuple[int, int]) -> Box:
    """Where the label would be written."""
    scale = axes.figure.dpi / 72  # points to pixels
    wide, high = 4.9 * len(label) * scale, 10 * scale
    x, y = axes.transData.transform((point.x.value, point.y.value))
    side, dy = place
    left = x + 8 * scale if side == 1 else x - 8 * scale - wide
    return left, y + dy * scale, left + wide, y + dy * scale + high


def _is_free(box: Box, axes: Axes, taken: Sequence[Box]) -> bool:
    left, low, right, high = box
    edge = axes.get_window_extent()
    inside = left > edge.x0 and right < edge.x1 and low > edge.y0 and high < edge.y1
    return inside and not any(left < t[2] and t[0] < right and low < t[3] and t[1] < high for t in taken)
