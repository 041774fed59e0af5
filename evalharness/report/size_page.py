"""Render a comparison by base size as one self-contained HTML page without network and script."""

from __future__ import annotations

from markupsafe import Markup

from evalharness.paths import shipped
from evalharness.report import wording
from evalharness.report.page import environment
from evalharness.report.size_curves import size_curves
from evalharness.report.size_table import in_count, size_table
from evalharness.report.sizes import Sizes


def size_page(sizes: Sizes) -> str:
    """Return the page as text."""
    folder = shipped("reports")
    return (
        environment(folder)
        .get_template("sizes.html.jinja")
        .render(
            style=Markup((folder / "style.css").read_text("utf-8")),
            say=wording,
            sizes=sizes,
            span=" to ".join(in_count(base.parameters) for base in (sizes.bases[0], sizes.bases[-1])),
            figure=Markup(size_curves(sizes)),
            table=size_table(sizes),
        )
    )
