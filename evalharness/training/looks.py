"""Read from a training's history the looks: the evaluations, during the training, of what it has forgotten so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PREFIX = "forgetting"  # of all entries of a look in the log
FORGOTTEN = f"{PREFIX}/forgotten"
DIFFERENCE = "/difference"


def look_of(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read one entry of the history; return None if it is no look.

    A look has the suite's mean in margins (None: not measured), the number of forgotten gate units (tasks or groups
    that the gate judges), the number of examples without an answer, and the difference of each unit to the base.
    """
    if FORGOTTEN not in entry:
        return None
    logged = {key.removeprefix(f"{PREFIX}/"): value for key, value in entry.items() if key.startswith(f"{PREFIX}/")}
    units = {key.removesuffix(DIFFERENCE): value for key, value in logged.items() if key.endswith(DIFFERENCE)}
    suite = logged.get("suite")
    return {
        "suite": None if suite is None else round(suite, 6),
        "forgotten": round(logged["forgotten"]),
        "unanswered": round(logged["unanswered"]),
        "differences": {unit: round(value, 6) for unit, value in units.items()},
    }


def looks_of(history: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Read every look in order, each with its step."""
    looks = ((int(entry["step"]), look_of(entry)) for entry in history if "step" in entry)
    return tuple({"step": step, **look} for step, look in looks if look is not None)


def look_text(look: Mapping[str, Any]) -> str:
    """Summarise a look in a few words."""
    suite = "the suite not measured" if look["suite"] is None else f"suite {look['suite']:+.2f} margins"
    unanswered = f", {look['unanswered']} examples without an answer" if look["unanswered"] else ""
    return f"{suite}, {look['forgotten']} of {len(look['differences'])} units forgotten{unanswered}"
