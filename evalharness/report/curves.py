"""Draw a sweep: gain on the target against forgetting, with a line through the learning rates of each series."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from matplotlib.axes import Axes

from evalharness.report import wording
from evalharness.report.marks import circle, colour_of, frame, gain_over_change, mark, names_beside
from evalharness.report.svg import NAMES, Drawing, inline, style
from evalharness.report.sweep import Point, Sweep, grouped


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spot:
    """One seed, or the mean of all seeds. `x`: change over the suite. `y`: gain on the target. `learned`: it learned
    the target.
    """

    x: float
    y: float
    learned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stop:
    """One learning rate of a series. `seeds`: a point for each seed. `is_chosen`: the sweep chose this rate."""

    rate: float
    seeds: tuple[_Spot, ...]
    is_chosen: bool

    @property
    def learned(self) -> int:
        """The number of seeds that learned the target."""
        return sum(seed.learned for seed in self.seeds)

    @property
    def middle(self) -> _Spot:
        x, y = fmean(seed.x for seed in self.seeds), fmean(seed.y for seed in self.seeds)
        return _Spot(x=x, y=y, learned=self.learned * 2 > len(self.seeds))


def curves(sweep: Sweep) -> str:
    """Return the SVG element; empty if no point has both a gain and a suite."""
    lines = _lines(sweep)
    if not lines:
        return ""
    tips: dict[str, str] = {}
    with style():
        figure, axes = frame((8.6, 4.9), (0.095, 0.115, 0.70, 0.835))
        for number, (series, stops) in enumerate(lines.items()):
            middles = [stop.middle for stop in stops]
            x, y = [spot.x for spot in middles], [spot.y for spot in middles]
            axes.plot(x, y, color=colour_of(number), linewidth=1.2, alpha=0.75, zorder=2)
            for place, stop in enumerate(stops):
                _draw(axes, number, stop, f"stop-{number}-{place}")
                tips[f"stop-{number}-{place}"] = _tip(series, stop)
        seeds = [seed for stops in lines.values() for stop in stops for seed in stop.seeds]
        gain_over_change(axes, [seed.x for seed in seeds], [seed.y for seed in seeds], sweep.task, above=0.08)
        names_beside(axes, list(lines))
    title = "Target gain against forgetting over learning rates"
    return inline(Drawing(figure, "curves", title, "; ".join(tips.values()), tips))


def _lines(sweep: Sweep) -> dict[str, list[_Stop]]:
    """Return the learning rates of each series in ascending order."""
    choices = {(choice.series, choice.learning_rate) for choice in sweep.chosen}
    lines: dict[str, list[_Stop]] = {}
    for (series, rate), points in grouped(sweep).items():
        seeds = tuple(spot for point in points if (spot := _spot(point)) is not None)
        if seeds:
            lines.setdefault(series, []).append(_Stop(rate=rate, seeds=seeds, is_chosen=(series, rate) in choices))
    return {series: sorted(stops, key=lambda stop: stop.rate) for series, stops in lines.items()}


def _spot(point: Point) -> _Spot | None:
    measured = point.validation
    if measured is None or measured.gain is None or measured.suite is None:
        return None
    return _Spot(x=measured.suite.value, y=measured.gain.value, learned=measured.learned is True)


def _tip(series: str, stop: _Stop) -> str:
    learned = f"learned in {stop.learned} of {len(stop.seeds)}"
    change, gain = wording.signed(stop.middle.x, wording.IN_MARGINS), wording.signed(stop.middle.y)
    place = f"{wording.one_line(series, 40)} at {stop.rate:g}"
    return f"{place}: suite {change} margins, target {gain}, {learned}{', chosen' if stop.is_chosen else ''}"


def _draw(axes: Axes, number: int, stop: _Stop, gid: str) -> None:
    """Draw the mean over seeds, with a ring if the rate was chosen, and a small dot for each of several seeds."""
    middle, colour = stop.middle, colour_of(number)
    for seed in stop.seeds if len(stop.seeds) > 1 else ():
        circle(axes, (seed.x, seed.y), 2.6, colour if seed.learned else NAMES["paper"], colour, 0.7)
    if stop.is_chosen:
        circle(axes, (middle.x, middle.y), 14, "none", NAMES["ink"], 0.9)
    mark(axes, (middle.x, middle.y), number, scale=1.35, edge=1.3, gid=gid, hollow=not middle.learned)
    label = axes.annotate(f"{stop.rate:g}", (middle.x, middle.y), (5, 4), textcoords="offset points", fontsize=6.6)
    label.set(color=NAMES["muted"], zorder=5)
