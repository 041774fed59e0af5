"""Make the page's figures as matplotlib figures for a notebook, in the page's light colours."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from evalharness.errors import UsageError
from evalharness.paths import shipped
from evalharness.records.results import Results
from evalharness.report.forest import forest_drawing
from evalharness.report.marks import LONGEST, colour_of, marker_of, size_of
from evalharness.report.svg import COLOURS, Drawing, style
from evalharness.report.tradeoff import tradeoff_drawing
from evalharness.report.wording import one_line

FIGURES: Mapping[str, Callable[[Results], Drawing | None]] = {"tradeoff": tradeoff_drawing, "forest": forest_drawing}
WITHOUT = {
    "tradeoff": (
        "no candidate has both a change over the suite and a gain on its target",
        'plot("forest"), or a target',
    ),
    "forest": ("no difference has a margin", "results with a candidate that was compared"),
}
COLUMNS, LEGEND_LINE = 4, 0.2  # of the legend: names side by side, inches
PROPERTIES = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")


def figure(results: Results, name: str | None = None) -> Figure:
    """Draw the figure of this name; None: the first of FIGURES that the results allow. pyplot's state stays as it is.
    Raises UsageError if there is nothing to draw.
    """
    for each in FIGURES if name is None else (name,):
        drawing = FIGURES[each](results)
        if drawing is not None:
            if drawing.name == "forest":  # the page has its legend elsewhere
                _name_marks(drawing.figure, results.candidates)
            elif drawing.key:
                _write_key(drawing.figure, drawing.key)
            return _by_day(drawing.figure)
    raise UsageError("plot", *WITHOUT[name or "forest"])


def _name_marks(figure: Figure, names: Sequence[str]) -> None:
    """Make the figure higher, and add a legend of the candidates' marks below."""
    columns = min(len(names), COLUMNS)
    _add_space_below(figure, LEGEND_LINE * -(-len(names) // columns) + 0.1)
    handles = [
        Line2D([], [], color=colour_of(i), marker=marker_of(i), markersize=size_of(i), label=one_line(name, LONGEST))
        for i, name in enumerate(names)
    ]
    with style():
        figure.legend(handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=8.2)


def _write_key(figure: Figure, key: str) -> None:
    """Make the figure higher, and add the meaning of its marks below."""
    _add_space_below(figure, LEGEND_LINE + 0.1)
    with style():
        figure.text(0.5, 0.02, key, ha="center", va="bottom", fontsize=8.2)


def _add_space_below(figure: Figure, below: float) -> None:
    """Make the figure higher by `below` empty inches."""
    wide, high = figure.get_size_inches()
    for axes in figure.axes:
        box = axes.get_position()
        bottom, height = (box.y0 * high + below) / (high + below), box.height * high / (high + below)
        axes.set_position((box.x0, bottom, box.width, height))
    figure.set_size_inches(wide, high + below)


def _by_day(figure: Figure) -> Figure:
    """Return the figure in the page's light colours, which replace the placeholder colours."""
    css = (shipped("reports") / "style.css").read_text("utf-8").partition("}")[0]
    values = dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6})\b", css))
    colours = {painted: values[variable] for painted, variable in COLOURS.items()}
    with style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.draw_without_rendering()  # ticks are made when they are drawn first
    for artist in figure.findobj():
        _paint(artist, colours)
    figure.patch.set(visible=True, facecolor=values["--paper"])
    return figure


def _paint(artist: Artist, colours: Mapping[str, str]) -> None:
    for name in PROPERTIES:
        read, write = getattr(artist, f"get_{name}", None), getattr(artist, f"set_{name}", None)
        value = read() if read and write else None
        if write is None or value is None or (not isinstance(value, str | tuple) and getattr(value, "ndim", 1) != 1):
            continue
        try:
            at = to_rgba(value)
        except ValueError:  # "auto", "none", several colours
            continue
        if at[3] and to_hex(at) in colours:
            write((*to_rgba(colours[to_hex(at)])[:3], at[3]))
