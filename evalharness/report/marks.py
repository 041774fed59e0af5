"""Draw what the page's figures share: the frame, the marks of candidates, the grid, and names beside the axes."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path

from evalharness.report import wording
from evalharness.report.svg import NAMES

MARKERS = "sD^*PX<>"  # with 8 colours; the page's legend shows the same shapes
SIZES = {"*": 8.5, "P": 6.6, "X": 6.4, "s": 5.4, "D": 5.0, "^": 6.0, "<": 6.0, ">": 6.0}  # points
LINEAR = 3.0  # margins on either side of zero that are drawn to scale; beyond, the axis is logarithmic
SPARE = 1.18  # how much farther the axis goes than the values
TICKS = (-1000, -300, -100, -30, -10, -3, -2, -1, 0, 1, 2, 3, 10, 30, 100, 300, 1000)
BREAK = Path([(-0.9, -1), (-0.1, 1), (0.1, -1), (0.9, 1)], [Path.MOVETO, Path.LINETO, Path.MOVETO, Path.LINETO])
LONGEST = 26  # characters of a name beside the axes


class ShownFigure(Figure):
    """A figure that a notebook shows without any plotting backend."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=120, bbox_inches="tight")
        return file.getvalue()


def colour_of(i: int) -> str:
    return NAMES[f"c{i % 8}"]


def marker_of(i: int) -> str:
    """Return the shape of candidate `i`. From the ninth candidate on, colours repeat with other shapes."""
    return MARKERS[(i + i // 8) % len(MARKERS)]


def size_of(i: int) -> float:
    """Return the size of candidate `i`'s shape in points; chosen so that all shapes look equally large."""
    return SIZES[marker_of(i)]


def frame(size: tuple[float, float], box: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """Return a transparent figure of `size` inches with axes at `box`: left, bottom, width and height as
    shares of it.
    """
    figure = ShownFigure(figsize=size)
    figure.patch.set_visible(False)
    return figure, figure.add_axes(box)


def mark(
    axes: Axes, at: tuple[float, float], i: int, *, scale: float, edge: float, gid: str, hollow: bool = False
) -> None:
    """Draw the mark of candidate `i`. `hollow`: fill it with the paper's colour. `edge`: width of its outline in
    points.
    """
    axes.plot(
        [at[0]],
        [at[1]],
        linestyle="none",
        marker=marker_of(i),
        markersize=size_of(i) * scale,
        markerfacecolor=NAMES["paper"] if hollow else colour_of(i),
        markeredgecolor=colour_of(i),
        markeredgewidth=edge,
        gid=gid,
        zorder=4,
    )


def scale_to_margins(axes: Axes, values: Sequence[float]) -> None:
    """Scale the x axis to hold all values, in margins, and at least 1.6 margins on either side of zero."""
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=1.6)
    axes.set_xlim(min(-2.0, *values) * SPARE, max(1.6, *values) * SPARE)
    ticks = [tick for tick in TICKS if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, labels=[f"{tick:d}".replace("-", wording.MINUS) for tick in ticks])
    axes.set_xticks([], minor=True)
    for end in _breaks(axes):
        place = axes.get_xaxis_transform()
        for width, colour in ((4.0, "paper"), (1.0, "muted")):
            axes.plot([end], [0], transform=place, marker=BREAK, markersize=9, color=NAMES[colour],
                          markeredgewidth=width, clip_on=False, zorder=5)  # fmt: skip


def _breaks(axes: Axes) -> list[float]:
    """Return the points at which the axis becomes logarithmic, without those that no value lies beyond."""
    low, high = (end / SPARE for end in axes.get_xlim())
    return [*([-LINEAR] if low < -LINEAR else []), *([LINEAR] if high > LINEAR else [])]


def name_axis(axes: Axes, words: str, size: float) -> None:
    """Name the axis of margins, and say beyond which point it is compressed."""
    beyond = f"\n// beyond {LINEAR:g} margins the axis is compressed" if _breaks(axes) else ""
    axes.set_xlabel(f"{words}{beyond}", fontsize=size)


def margin_lines(axes: Axes, margin: float | None, above: float) -> None:
    """Draw lines at no change and at the margin, labelled `above` points over the axes, and tint losses beyond it."""
    axes.axvline(0, color=NAMES["muted"], linewidth=1, zorder=2)
    lines = [(0.0, "no change", 4, "left", NAMES["muted"])]
    if margin:
        axes.axvspan(axes.get_xlim()[0], -margin, facecolor=NAMES["forgotten"], alpha=0.07, zorder=1, linewidth=0)
        axes.axvline(-margin, color=NAMES["forgotten"], linewidth=1.1, linestyle=(0, (4, 2.5)), zorder=2)
        lines.append((-margin, "margin", -4, "right", NAMES["forgotten"]))
    for x, words, offset, side, colour in lines:
        place, spot = axes.get_xaxis_transform(), (offset, above)
        note = axes.annotate(words, (x, 1), spot, xycoords=place, textcoords="offset points", color=colour)
        note.set(ha=side, va="bottom")


def quiet_grid(axes: Axes) -> None:
    """Draw thin grid lines and small ticks."""
    axes.grid(color=NAMES["line"], linewidth=0.5, zorder=0)
    axes.tick_params(length=3, labelsize=8, color=NAMES["line"], labelcolor=NAMES["muted"])


def circle(axes: Axes, at: tuple[float, float], size: float, face: str, edge: str, width: float) -> None:
    """Draw a circle; `size` and `width`, of its outline, in points."""
    look = axes.plot([at[0]], [at[1]], linestyle="none", marker="o", markersize=size, zorder=3)[0]
    look.set(markerfacecolor=face, markeredgecolor=edge, markeredgewidth=width)


def gain_over_change(
    axes: Axes, changes: Sequence[float], gains: Sequence[float], target: str, *, above: float
) -> None:
    """Scale and name axes of the gain on a target over the change of the suite in margins. `above`: the share of the
    axes that stays free above the values.
    """
    for values, limit in ((changes, axes.set_xlim), (gains, axes.set_ylim)):
        low, high = min(-0.04, *values), max(0.04, *values)
        limit(low - 0.06 * (high - low), high + above * (high - low))
    axes.axvline(0, color=NAMES["muted"], linewidth=0.9, zorder=1)
    axes.axhline(0, color=NAMES["muted"], linewidth=0.9, zorder=1)
    quiet_grid(axes)
    axes.set_xlabel("change over the suite, in margins  (right: kept more)", fontsize=8.5)
    axes.set_ylabel(f"gain on {wording.one_line(target, 30)}  (up: learned more)", fontsize=8.5)


def names_beside(axes: Axes, names: Sequence[str]) -> None:
    """Write the candidates' names with their marks to the right of the axes."""
    step = min(0.052, 0.98 / len(names))
    for i, name in enumerate(names):
        y, colour = 0.98 - step * i, colour_of(i)
        marker, size = marker_of(i), 1.2 * size_of(i)
        axes.plot([1.04], [y], marker=marker, markersize=size, color=colour, transform=axes.transAxes, clip_on=False)
        label = wording.one_line(name, LONGEST)
        axes.text(1.07, y, label, va="center", fontsize=8.2, transform=axes.transAxes, clip_on=False)
