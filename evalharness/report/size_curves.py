"""Draw candidates' gain on their target and change over the suite against the size of their base."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from evalharness.records.comparison import Estimate
from evalharness.report import wording
from evalharness.report.marks import colour_of, frame, mark, names_beside, quiet_grid
from evalharness.report.size_table import in_count
from evalharness.report.sizes import SizedBase, SizedCandidate, Sizes
from evalharness.report.svg import NAMES, Drawing, inline, style

APART = 0.07  # of the axis: the least distance between two sizes that are both written
ASIDE = 0.012  # of the axis: how far the bars of two methods stand apart, so that neither hides the other


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """One candidate in one of the two parts of the figure. `x`: its base's number of parameters. `y`: the gain or the
    change, with its interval. `hollow`: draw it without fill. `gid`: its SVG id. `tip`: its tooltip.
    """

    x: float
    y: Estimate
    hollow: bool
    gid: str
    tip: str


def size_curves(sizes: Sizes) -> str:
    """Return the SVG element; "" if no candidate has a gain or a change over the suite."""
    gains = {i: list(_marks(sizes, i, gain=True)) for i in range(len(sizes.series))}
    suites = {i: list(_marks(sizes, i, gain=False)) for i in range(len(sizes.series))}
    parts = [(gains, True)] if any(gains.values()) else []
    parts += [(suites, False)] if any(suites.values()) else []
    if not parts:
        return ""
    tips = {each.gid: each.tip for marks, _ in parts for of in marks.values() for each in of}
    with style():
        figure, first = frame((8.6, 2.6 * len(parts) + 0.4), (0.095, 0.1, 0.70, 0.86))
        first.set_axis_off()
        names_beside(first, sizes.series)
        height = 0.86 / len(parts)
        for place, (marks, gain) in enumerate(parts):
            below = place == len(parts) - 1
            axes = figure.add_axes((0.095, 0.1 + height * (len(parts) - 1 - place) + 0.02, 0.70, height - 0.04))
            _draw(axes, sizes, marks, gain)
            _sizes_below(axes, [base.parameters for base in sizes.bases], with_names=below)
    title = "Gain on the target and change over the suite, over the size of the base"
    return inline(Drawing(figure, "sizes", title, "; ".join(tips.values()), tips))


def _marks(sizes: Sizes, series: int, gain: bool) -> Iterator[_Mark]:
    """Yield the marks of one series, the smallest base first."""
    for at, base in enumerate(sizes.bases):
        for candidate in base.candidates:
            y = candidate.outcome.gain if gain else candidate.outcome.suite
            if candidate.series == sizes.series[series] and y is not None:
                yield _Mark(
                    x=base.parameters,
                    y=y,
                    hollow=candidate.target is not None and not candidate.outcome.learned,
                    gid=f"{'gain' if gain else 'suite'}-{series}-{at}",
                    tip=_tip(base, candidate, y, gain),
                )


def _tip(base: SizedBase, candidate: SizedCandidate, y: Estimate, gain: bool) -> str:
    who = f"{wording.one_line(candidate.name, 40)} on {in_count(base.parameters)} ({candidate.standing})"
    if gain:
        return f"{who}: target {wording.with_interval(y)}"
    return f"{who}: suite {wording.with_interval(y, wording.IN_MARGINS)} margins"


def _draw(axes: Axes, sizes: Sizes, marks: dict[int, list[_Mark]], gain: bool) -> None:
    axes.set_xscale("log")
    parameters = [base.parameters for base in sizes.bases]
    wide = math.log10(max(parameters) / min(parameters)) or 1.0
    axes.set_xlim(min(parameters) / 10 ** (0.08 * wide), max(parameters) * 10 ** (0.08 * wide))
    for i, of in marks.items():
        aside = 10 ** (ASIDE * wide * (i - (len(marks) - 1) / 2))
        spots = [(each.x * aside, each.y.value) for each in of]
        axes.plot(*zip(*spots, strict=True), color=colour_of(i), linewidth=1.2, alpha=0.75, zorder=2) if spots else None
        for spot, each in zip(spots, of, strict=True):
            if each.y.low is not None and each.y.high is not None:
                axes.plot([spot[0]] * 2, [each.y.low, each.y.high], color=colour_of(i), linewidth=1.3, zorder=3)
            mark(axes, spot, i, scale=1.35, edge=1.3, gid=each.gid, hollow=each.hollow)
    axes.axhline(0, color=NAMES["muted"], linewidth=0.9, zorder=1)
    quiet_grid(axes)
    if gain:
        target = wording.one_line(sizes.target, 20) if sizes.target else "the target"
        axes.set_ylabel(f"gain on {target}", fontsize=8.5)
        return
    axes.axhline(-1, color=NAMES["forgotten"], linewidth=1.1, linestyle=(0, (4, 2.5)), zorder=2)
    axes.set_ylabel("change over the suite,\nin margins", fontsize=8.5)


def _sizes_below(axes: Axes, parameters: Sequence[int], with_names: bool) -> None:
    """Write the sizes of the bases below the axes, as far as they fit."""
    wide = math.log10(max(parameters) / min(parameters)) or 1.0
    sizes: list[int] = []
    for size in sorted(set(parameters)):
        if not sizes or math.log10(size / sizes[-1]) >= APART * wide:
            sizes.append(size)
    axes.set_xticks(sizes, labels=[in_count(size) if with_names else "" for size in sizes])
    axes.set_xticks([], minor=True)
    if with_names:
        axes.set_xlabel("parameters of the base, on a logarithmic scale", fontsize=8.5)
