"""Read the numbers in an engine's options, which are texts."""

from __future__ import annotations

from evalharness.errors import UsageError
from evalharness.json_text import number_in
from evalharness.records.models import EngineSettings

MOST = 1e6  # a larger number must be a typing error


def whole_option(settings: EngineSettings, name: str) -> int | None:
    """Return an option's whole number above 0; None without the option. Raises UsageError for another text."""
    text = settings.options.get(name)
    if text is not None and not (text.isascii() and text.isdecimal() and int(text)):
        raise UsageError(f"--engine-option {name}", f"{text!r} is no whole number above 0", "2 would be right")
    return None if text is None else int(text)


def number_option(settings: EngineSettings, name: str, default: float, least: float = 1e-9) -> float:
    """Return an option's number, at least `least`; `default` without the option. Raises UsageError for another text."""
    text = settings.options.get(name)
    value = default if text is None else number_in(text)
    if text is not None and not least <= value < MOST:
        above = "of at least 0" if least == 0 else "above 0"
        raise UsageError(f"--engine-option {name}", f"{text!r} is no number {above}", "1 would be right")
    return value
