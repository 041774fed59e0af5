"""Format scores, differences and coverages alike in every output."""

from __future__ import annotations

import math

MINUS, NONE = "\N{MINUS SIGN}", "–"


def plain(value: float | None, places: int = 3) -> str:
    """Return a score as text; "–" if there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:.{places}f}".replace("-", MINUS) if round(value, places) else f"{0:.{places}f}"


def signed(value: float | None, places: int = 3) -> str:
    """Return a difference as text, with its sign; zero has none."""
    text = plain(value, places)
    return f"+{text}" if value is not None and math.isfinite(value) and round(value, places) > 0 else text


def coverage(level: float) -> str:
    """Return the coverage of an interval in percent, "90 %"; never "100 %" for one below 1."""
    texts = (f"{100 * level:.{digits}g} %" for digits in range(4, 18))
    return next((text for text in texts if level >= 1 or text != "100 %"), f"{100 * level:g} %")
