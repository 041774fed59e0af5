"""Draw the path of a repair: gain on the target against forgetting, from the base to the candidate."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from evalharness.records.comparison import Estimate
from evalharness.report import wording
from evalharness.report.marks import circle, colour_of, frame, gain_over_change, mark
from evalharness.report.repair import PathPoint, Repair
from evalharness.report.svg import NAMES, Drawing, inline, style

Spot = tuple[PathPoint, Estimate, Estimate]  # with its suite and its gain
NEAR = (0.08, 0.06)  # shares of the figure's width and height within which names would cover each other
TITLE = "Target gain against forgetting on the way from base to candidate"


def repair_curve(repair: Repair, name: str = "path") -> str:
    """Return the SVG element, with ids that begin with `name`; "" if fewer than two points have both a gain and a
    suite.
    """
    points = (*repair.points, *repair.block_points)
    spots = [(point, point.suite, point.gain) for point in points if point.suite and point.gain]
    if len(spots) < 2:
        return ""
    tips: dict[str, str] = {}
    with style():
        figure, axes = frame((8.6, 4.4), (0.095, 0.125, 0.87, 0.83))
        path = [spot for spot in spots if not spot[0].blocks]
        x, y = [suite.value for _, suite, _ in path], [gain.value for _, _, gain in path]
        axes.plot(x, y, color=colour_of(0), linewidth=1.2, alpha=0.75, zorder=2)
        for number, (point, suite, gain) in enumerate(spots):
            gid = f"point-{number}"
            _draw(axes, suite, gain, gid, ringed=repair.is_chosen(point))
            change = wording.signed(suite.value, wording.IN_MARGINS)
            remark = ", chosen" if repair.is_chosen(point) else ""
            tips[gid] = f"λ = {_scales(point)}: suite {change} margins, target {wording.signed(gain.value)}{remark}"
        for point, suite, gain in _labelled_spots(spots, repair):
            note = axes.annotate(_name(point), (suite.value, gain.value), (6, 5), textcoords="offset points")
            note.set(color=NAMES["muted"], fontsize=7, zorder=5)
        suites = [each for _, suite, _ in spots for each in _ends(suite)]
        gains = [each for _, _, gain in spots for each in _ends(gain)]
        gain_over_change(axes, suites, gains, repair.target, above=0.10)
        if axes.get_xlim()[0] < -1:
            axes.axvline(-1, color=NAMES["forgotten"], linewidth=1.0, linestyle=(0, (4, 2.5)), zorder=1)
    return inline(Drawing(figure, name, TITLE, "; ".join(tips.values()), tips))


def _labelled_spots(spots: Sequence[Spot], repair: Repair) -> list[Spot]:
    """Return the points to label: the chosen one, both ends, and others whose labels do not overlap."""
    spans = [
        max(values) - min(values) or 1.0 for values in zip(*((s.value, g.value) for _, s, g in spots), strict=True)
    ]
    labelled: list[Spot] = []
    for spot in sorted(spots, key=lambda spot: _order(repair, spot[0])):
        _, suite, gain = spot
        if not any(
            abs(suite.value - other.value) < NEAR[0] * spans[0] and abs(gain.value - above.value) < NEAR[1] * spans[1]
            for _, other, above in labelled
        ):
            labelled.append(spot)
    return labelled


def _order(repair: Repair, point: PathPoint) -> tuple[bool, bool, bool, float]:
    return (not repair.is_chosen(point), 0 < point.scale < 1, bool(point.blocks), point.scale)


def _name(point: PathPoint) -> str:
    return {0.0: "base", 1.0: "candidate"}.get(point.scale, _scales(point))


def _scales(point: PathPoint) -> str:
    return " · ".join(f"{scale:g}" for scale in point.blocks or (point.scale,))


def _ends(estimate: Estimate) -> tuple[float, ...]:
    return tuple(each for each in (estimate.low, estimate.value, estimate.high) if each is not None)


def _draw(axes: Axes, suite: Estimate, gain: Estimate, gid: str, *, ringed: bool) -> None:
    for along, across, flat in ((suite, gain, True), (gain, suite, False)):
        ends = _ends(along)
        at = [across.value, across.value]
        places = ([ends[0], ends[-1]], at) if flat else (at, [ends[0], ends[-1]])
        axes.plot(*places, color=colour_of(0), linewidth=0.8, alpha=0.4, zorder=2)
    if ringed:
        circle(axes, (suite.value, gain.value), 14, "none", NAMES["ink"], 0.9)
    mark(axes, (suite.value, gain.value), 0, scale=1.2, edge=1.2, gid=gid)
