"""Draw what candidates learned against what they forgot: gain on the target over change on the other tasks.

Where no candidate has a target, the change alone is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes

from evalharness.analysis.candidate_order import Standing, candidate_order
from evalharness.analysis.metric_unit import MetricUnit, metric_unit
from evalharness.analysis.number_text import coverage
from evalharness.records.comparison import Estimate, Level
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.gate_lines import MARKS
from evalharness.report.marks import colour_of, frame, margin_lines, mark, name_axis, quiet_grid, scale_to_margins
from evalharness.report.svg import NAMES, Drawing, inline, style
from evalharness.report.targets import learned_words, row_of_target, suite_changes
from evalharness.report.training_table import rate_series

PLACES = tuple((side, dy) for dy in (6, -17, 19, -30) for side in (1, -1))  # of a name: right or left, points above
NAME, LETTER = 10.5, 5.6  # points: size of names, and how wide one of their letters is at most
GLYPH = 11.5  # points: how wide the mark of a decision is, with what stands between it and the name
COLOURS = {  # of the marks
    Standing.SHIPS: NAMES["retained"],
    Standing.UNLEARNED: NAMES["inconclusive"],
    Standing.UNDECIDED: NAMES["inconclusive"],
    Standing.FORGOTTEN: NAMES["forgotten"],
    Standing.INCOMPLETE: NAMES["forgotten"],
}
MOST_NAMES = 12  # with more candidates, names are left out
AXIS_NAME = 17  # characters of a target's name that fit beside the axis
LEAST = 5  # points of gain that the axis shows at least
Box = tuple[float, float, float, float]  # left, low, right, high, in pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class _CandidatePoint:
    """One candidate in the figure.

    `candidate`: its number. `learned`, `words`: whether it learned its target. `x`: change over the suite, in margins.
    `y`: gain on its target, in the metric's unit `unit`; None if no candidate has one. `standing`: the gate's decision.
    """

    candidate: int
    name: str
    learned: bool | None
    words: str
    target: str
    x: Estimate
    y: Estimate | None
    unit: str = ""
    standing: Standing


def tradeoff(results: Results) -> str:
    """Return the SVG element; empty if no candidate has a change over the suite."""
    drawing = tradeoff_drawing(results)
    return "" if drawing is None else inline(drawing)


def tradeoff_drawing(results: Results) -> Drawing | None:
    """Return the figure; None if no candidate has a change over the suite."""
    points = _points(results)
    if not points:
        return None
    flat = points[0].y is None
    with style():
        height = 3.3 if not flat else 1.4 + 0.36 * len(points)
        low, high = 0.7 / height, 0.24 / height
        figure, axes = frame((5.0, height), (0.035 if flat else 0.145, low, 0.94 if flat else 0.83, 1 - low - high))
        margins = (c.margin for c in results.comparisons if c.level == Level.SUITE and c.primary)
        _axes(axes, points, next(margins, None))
        points = [replace(point, y=Estimate(value=-i)) for i, point in enumerate(points)] if flat else points
        _join(axes, points, [] if flat else rate_series(results))
        for point in points:
            _draw(axes, point)
        _write_names(axes, points)
    tips = {f"candidate-{point.candidate}": _tip(point, flat) for point in points}
    title = "What was kept" if flat else "What was learned against what was forgotten"
    marks = dict.fromkeys(f"{MARKS[s]} {s}" for s in Standing for point in points if point.standing == s)
    level = next((c.ci_level for c in results.comparisons if c.level == Level.SUITE), 0.9)
    key = "    ".join((*marks, f"bars: {coverage(level)} intervals"))
    return Drawing(figure, "tradeoff", title, "; ".join(tips.values()), tips, key)


def _points(results: Results) -> list[_CandidatePoint]:
    """Return the points of candidates with both a change and a gain; if none has a gain, of all with a change."""
    changes, names = suite_changes(results), results.candidates
    standings = {each.name: each.standing for each in candidate_order(results).candidates}
    points = []
    for model in results.models:
        if model.name not in changes or not model.judged:
            continue
        row = row_of_target(results, model)
        unit = MetricUnit(1, 2, "") if row is None else metric_unit(row)
        points.append(
            _CandidatePoint(
                candidate=names.index(model.name),
                name=model.name,
                learned=model.learned_target,
                words=learned_words(model),
                target=wording.one_line(model.target_task or "", wording.LONGEST_NAME),
                x=changes[model.name],
                y=_scaled(model.target_gain, unit.factor),
                unit=wording.one_line(unit.name, 20),
                standing=standings[model.name],
            )
        )
    return [point for point in points if point.y is not None] or points


def _scaled(estimate: Estimate | None, factor: float) -> Estimate | None:
    if estimate is None:
        return None
    ends = {name: None if at is None else factor * at for name, at in (("low", estimate.low), ("high", estimate.high))}
    return Estimate(value=factor * estimate.value, **ends)


def _tip(point: _CandidatePoint, flat: bool) -> str:
    change = f"{wording.signed(point.x.value, wording.IN_MARGINS)} margins on average over the other tasks"
    who = f"{MARKS[point.standing]} {point.name} ({point.standing})"
    if flat or point.y is None:
        return f"{who}: {change}"
    gain = f"{point.target} {wording.signed(point.y.value, 1)} {point.unit}"
    return f"{who}: {change}, {gain}, {point.words}"


def _at(point: _CandidatePoint) -> tuple[float, float]:
    return point.x.value, 0.0 if point.y is None else point.y.value


def _join(axes: Axes, points: Sequence[_CandidatePoint], lines: Sequence[Sequence[str]]) -> None:
    """Draw a line through the candidates of one method, in the order of their learning rates."""
    spots = {point.name: _at(point) for point in points}
    for names in lines:
        places = [spots[name] for name in names if name in spots]
        if len(places) > 1:
            axes.plot(*zip(*places, strict=True), color=NAMES["muted"], linewidth=0.9, linestyle=(0, (1, 2)), zorder=2)


def _draw(axes: Axes, point: _CandidatePoint) -> None:
    (x, y), colour = _at(point), colour_of(point.candidate)
    if point.x.low is not None and point.x.high is not None:
        axes.plot([point.x.low, point.x.high], [y, y], color=colour, linewidth=1.3, zorder=3)
    if point.y is not None and point.y.low is not None and point.y.high is not None:
        axes.plot([x, x], [point.y.low, point.y.high], color=colour, linewidth=1.3, zorder=3)
    hollow = point.target != "" and not point.learned
    mark(axes, (x, y), point.candidate, scale=1.7, edge=1.5, gid=f"candidate-{point.candidate}", hollow=hollow)


def _ends(estimate: Estimate | None) -> list[float]:
    if estimate is None:
        return []
    return [value for value in (estimate.value, estimate.low, estimate.high) if value is not None]


def _axes(axes: Axes, points: Sequence[_CandidatePoint], margin: float | None) -> None:
    scale_to_margins(axes, [value for point in points for value in _ends(point.x)])
    margin_lines(axes, margin, above=3)
    quiet_grid(axes)
    axes.tick_params(labelsize=9.5)
    name_axis(axes, "lost  ←  all other tasks on average, in margins  →  gained", 9.5)
    gains = [value for point in points for value in _ends(point.y)]
    if not gains:
        axes.set_yticks([])
        axes.set_ylim(0.45 - len(points), 0.9)
        return
    axes.axhline(0, color=NAMES["muted"], linewidth=0.9, zorder=1)
    units = {point.unit for point in points}
    unit = units.pop() if len(units) == 1 else ""
    least = LEAST if unit == "points" else 0.1 * max(map(abs, gains))
    low, high = min(-least, *gains), max(least, *gains)
    axes.set_ylim(low - 0.09 * (high - low), high + 0.09 * (high - low))
    targets = {point.target for point in points}
    target = targets.pop() if len(targets) == 1 else "each one's target"
    target = target if len(target) <= AXIS_NAME else "the target"  # which the lines below name
    axes.set_ylabel(f"learned: {target}{f', {unit}' if unit else ''}", fontsize=9.5)


def _cross(axes: Axes, point: _CandidatePoint) -> list[Box]:
    """Return the boxes that a point and its intervals cover."""
    x, y = _at(point)
    spot = axes.transData.transform((x, y))
    boxes = [(spot[0] - 7, spot[1] - 7, spot[0] + 7, spot[1] + 7)]
    over, up = _ends(point.x), [*_ends(point.y), y]
    for start, end in (((min(over), y), (max(over), y)), ((x, min(up)), (x, max(up)))):
        (x0, y0), (x1, y1) = axes.transData.transform(start), axes.transData.transform(end)
        boxes.append((x0 - 1, y0 - 1, x1 + 1, y1 + 1))
    return boxes


def _write_names(axes: Axes, points: Sequence[_CandidatePoint]) -> None:
    """Write each point's decision mark and name in the first of eight places where they cover neither an edge, a point
    nor an earlier name. If there is none, or there are very many points, write only the mark.
    """
    occupied = [box for point in points for box in _cross(axes, point)]
    for point in points:
        hollow = f" ({point.words})" if point.target and not point.learned else ""
        label = wording.one_line(point.name, 20) + hollow if len(points) <= MOST_NAMES else ""
        for words in dict.fromkeys((label, "")):
            areas = ((place, _area(axes, point, words, place)) for place in PLACES)
            free = next(((place, box) for place, box in areas if _is_free(box, axes, occupied)), None)
            if free is not None:
                break
        place, box = free or (PLACES[0], _area(axes, point, "", PLACES[0]))
        occupied.append(box)
        _write(axes, point, place, words)


def _write(axes: Axes, point: _CandidatePoint, place: tuple[int, int], words: str) -> None:
    """Write the mark of the decision next to the point, and the name next to that."""
    (side, dy), ha = place, "left" if place[0] == 1 else "right"
    number = point.candidate
    pieces = [(MARKS[point.standing], 8.0, COLOURS[point.standing], f"decision-label-{number}")]
    pieces += [(words, 8 + GLYPH, NAMES["ink"], f"label-{number}")] if words else []
    for text, dx, colour, gid in pieces:
        note = axes.annotate(text, _at(point), (side * dx, dy), textcoords="offset points", color=colour)
        weight = "normal" if gid.startswith("label") else "bold"
        note.set(ha=ha, va="bottom", gid=gid, fontsize=NAME, fontweight=weight)


def _area(axes: Axes, point: _CandidatePoint, label: str, place: tuple[int, int]) -> Box:
    """Return the box that mark and label would cover."""
    scale = axes.figure.dpi / 72  # points to pixels
    wide, high = (GLYPH + LETTER * len(label)) * scale, 11 * scale
    x, y = axes.transData.transform(_at(point))
    side, dy = place
    x0 = x + 8 * scale if side == 1 else x - 8 * scale - wide
    return x0, y + dy * scale, x0 + wide, y + dy * scale + high


def _is_free(box: Box, axes: Axes, occupied: Sequence[Box]) -> bool:
    x0, y0, x1, y1 = box
    edge = axes.get_window_extent()
    inside = x0 > edge.x0 and x1 < edge.x1 and y0 > edge.y0 and y1 < edge.y1
    return inside and not any(x0 < t[2] and t[0] < x1 and y0 < t[3] and t[1] < y1 for t in occupied)
