"""Write a matplotlib figure as an inline SVG element.

It is byte-identical every time, has unique ids, and uses the page's colours and font.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from xml.etree import ElementTree

from matplotlib import rc_context
from matplotlib.figure import Figure

from evalharness.report import wording

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)

PROPERTIES = ("ink", "muted", "line", "paper", "band", "forgotten", "retained", "inconclusive")
COLOURS = {  # placeholder colours in figures, and the custom properties of style.css that replace them
    **{f"#{i:02x}{i:02x}{i:02x}": f"--{name}" for i, name in enumerate(PROPERTIES, 1)},
    **{f"#1000{i:02x}": f"--c{i}" for i in range(8)},
}
NAMES = {variable.removeprefix("--"): colour for colour, variable in COLOURS.items()}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure with its texts. `tips`: tooltips by group id. `key`: what its marks mean; the page shows that in the
    caption.
    """

    figure: Figure
    name: str
    title: str
    description: str
    tips: Mapping[str, str] = field(default_factory=dict)
    key: str = ""


def style() -> AbstractContextManager[None]:
    """Return a context in which figures are built and written; it restores matplotlib's settings at its end."""
    return rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "evalharness",
            "text.parse_math": False,
            "text.usetex": False,
            "font.family": "DejaVu Sans",
            "font.size": 9,
            "axes.unicode_minus": True,
            "axes.edgecolor": NAMES["line"],
            "axes.labelcolor": NAMES["ink"],
            "text.color": NAMES["ink"],
            "xtick.color": NAMES["muted"],
            "ytick.color": NAMES["ink"],
        }
    )


def inline(drawing: Drawing) -> str:
    """Return the SVG element, with ids prefixed by the figure's name, role="img", title and description."""
    file = io.StringIO()
    with style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the browser has its own fonts
        drawing.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    root = ElementTree.fromstring(file.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        _adopt(element, drawing.name, drawing.tips)
    _label(root, drawing)
    return ElementTree.tostring(root, encoding="unicode")


def _adopt(element: ElementTree.Element, prefix: str, tips: Mapping[str, str]) -> None:
    for key, value in list(element.attrib.items()):
        if key == "id":
            if value in tips:
                tip = ElementTree.Element(f"{{{SVG}}}title")
                tip.text = wording.one_line(tips[value])
                element.insert(0, tip)
            element.set(key, f"{prefix}-{value}")
        elif key == f"{{{XLINK}}}href":
            element.set(key, f"#{prefix}-{value[1:]}")
        elif key == "clip-path":
            element.set(key, value.replace("url(#", f"url(#{prefix}-"))
        elif key == "style":
            value = re.sub("#[0-9a-f]{6}", lambda match: _in_page_colours(match[0]), value)
            element.set(key, re.sub(r"font-family: [^;]*", "font-family: var(--sans)", value))


def _in_page_colours(colour: str) -> str:
    return f"var({COLOURS[colour]})" if colour in COLOURS else colour


def _label(root: ElementTree.Element, drawing: Drawing) -> None:
    title, description = f"{drawing.name}-title", f"{drawing.name}-description"
    for tag, key, text in (("desc", description, drawing.description), ("title", title, drawing.title)):
        child = ElementTree.Element(f"{{{SVG}}}{tag}", {"id": key})
        child.text = wording.one_line(text)
        root.insert(0, child)
    for key in ("width", "height"):
        root.attrib.pop(key, None)
    root.set("class", "figure")
    root.set("role", "img")
    root.set("aria-labelledby", f"{title} {description}")
