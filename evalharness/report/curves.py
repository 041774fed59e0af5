"""A sweep to its figure: target gain against forgetting, the points of one series joined in the order of their learning
rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evalharness.report import wording
from evalharness.report.figures import SIZES, colour_of, marker_of
from evalharness.report.svg import NAMES, Drawing, inline, style
from evalharness.report.sweep import Point, Sweep, grouped


@dataclass(frozen=True, slots=True)
class _Stop:
    """One rate of a series: (suite, gain) of every seed with whether it learned, and their mean."""

    rate: float
    seeds: tuple[tuple[float, float, bool], ...]
    chosen: bool

    @property
    def middle(self) -> tuple[float, float]:
        return fmean(x for x, _, _ in self.seeds), fmean(y for _, y, _ in self.seeds)


def curves(sweep: Sweep) -> str:
    """The SVG element; empty where no point has both a gain and a suite."""
    lines = _lines(sweep)
    if not lines:
        return ""
    tips: dict[str, str] = {}
    with style():
        figure = Figure(figsize=(8.6, 4.9))
        figure.patch.set_visible(False)
        axes = figure.add_axes((0.095, 0.115, 0.70, 0.835))
        for number, (series, stops) in enumerate(lines.items()):
            _draw_line(axes, number, series, stops, tips)
        _finish(axes, sweep, lines)
        _legend(axes, list(lines))
    return inline(
        Drawing(figure, "curves", "Target gain against forgetting over learning rates", "; ".join(tips.values()), tips)
    )


def _lines(sweep: Sweep) -> dict[str, list[_Stop]]:
    """Series to its rates in ascending order."""
    chosen = {(choice.series, choice.learning_rate) for choice in sweep.chosen}
    found: dict[str, list[_Stop]] = {}
    for (series, rate), points in grouped(sweep).items():
        seeds = tuple(spot for point in points if (spot := _spot(point)) is not None)
        if seeds:
            found.setdefault(series, []).append(_Stop(rate, seeds, (series, rate) in chosen))
    return {series: sorted(stops, key=lambda stop: stop.rate) for series, stops in found.items()}


def _spot(point: Point) -> tuple[float, float, bool] | None:
    of = point.validation
    return (
        None
        if of is None or of.gain is None or of.suite is None
        else (of.suite.value, of.gain.value, of.learned is True)
    )


def _draw_line(axes: Axes, number: int, series: str, stops: Sequence[_Stop], tips: dict[str, str]) -> None:
    colour, marker = colour_of(number), marker_of(number)
    middles = [stop.middle for stop in stops]
    axes.plot([x for x, _ in middles], [y for _, y in middles], color=colour, linewidth=1.2, alpha=0.75, zorder=2)
    for place, stop in enumerate(stops):
        gid = f"stop-{number}-{place}"
        x, y = stop.middle
        learned = sum(known for _, _, known in stop.seeds)
        words = f"learned in {learned} of {len(stop.seeds)}" if learned else "did not learn"
        what = f"suite {wording.signed(x)}, target {wording.signed(y)}, {words}{', chosen' if stop.chosen else ''}"
        tips[gid] = f"{wording.one_line(series, 40)} at {stop.rate:g}: {what}"
        if len(stop.seeds) > 1:
            for across, up, known in stop.seeds:
                face = colour if known else NAMES["paper"]
                axes.plot(
                    [across],
                    [up],
                    marker="o",
                    markersize=2.6,
                    markerfacecolor=face,
                    markeredgecolor=colour,
                    markeredgewidth=0.7,
                    zorder=3,
                )
        look = {
            "markerfacecolor": colour if learned * 2 > len(stop.seeds) else NAMES["paper"],
            "markeredgecolor": colour,
        }
        if stop.chosen:
            axes.plot(
                [x],
                [y],
                marker="o",
                markersize=14,
                markerfacecolor="none",
                markeredgecolor=NAMES["ink"],
                markeredgewidth=0.9,
                zorder=4,
            )
        axes.plot(
            [x],
            [y],
            marker=marker,
            markersize=SIZES.get(marker, 5) * 1.35,
            markeredgewidth=1.3,
            gid=gid,
            zorder=4,
            **look,
        )
        axes.annotate(
            f"{stop.rate:g}",
            (x, y),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=6.6,
            color=NAMES["muted"],
            zorder=5,
        )


def _finish(axes: Axes, sweep: Sweep, lines: dict[str, list[_Stop]]) -> None:
    spots = [spot for stops in lines.values() for stop in stops for spot in stop.seeds]
    for values, limit in (([x for x, _, _ in spots], axes.set_xlim), ([y for _, y, _ in spots], axes.set_ylim)):
        low, high = min(-0.04, *values), max(0.04, *values)
        limit(low - 0.06 * (high - low), high + 0.08 * (high - low))
    axes.axvline(0, color=NAMES["muted"], linewidth=0.9, zorder=1)
    axes.axhline(0, color=NAMES["muted"], linewidth=0.9, zorder=1)
    axes.grid(color=NAMES["line"], linewidth=0.5, zorder=0)
    axes.tick_params(length=3, labelsize=8, color=NAMES["line"], labelcolor=NAMES["muted"])
    axes.set_xlabel("change over the whole suite, in units of skill  (right: kept more)", fontsize=8.5)
    axes.set_ylabel(f"gain on {wording.one_line(sweep.task, 30)}  (up: learned more)", fontsize=8.5)


def _legend(axes: Axes, series: Sequence[str]) -> None:
    """Names beside the axes: the marks are the same as on the points."""
    place = {"transform": axes.transAxes, "clip_on": False}
    for number, name in enumerate(series):
        y, marker = 0.98 - 0.052 * number, marker_of(number)
        axes.plot([1.04], [y], marker=marker, markersize=SIZES.get(marker, 5) * 1.2, color=colour_of(number), **place)
        axes.text(1.07, y, wording.one_line(name, 24), va="center", fontsize=8.2, **place)
