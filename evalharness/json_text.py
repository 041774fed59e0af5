"""Parse JSON that a user hands in: whatever is wrong with it is a ValueError, also where numbers are not finite."""

from __future__ import annotations

import json
import math
from typing import Any


class NotFiniteError(ValueError):
    """A number in JSON that no finite float holds."""


def parse_json(text: str | bytes, finite: bool = True) -> Any:
    """The value of a JSON text. Raises ValueError for what is not JSON or nested too deeply and, where all numbers are
    to be `finite`, for NaN, infinity and numbers beyond the range of a float, with the key under which one stands.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite) if finite else json.loads(text)
    except NotFiniteError as error:
        place = _place_of_infinite(parse_json(text, finite=False))
        raise NotFiniteError(f"{place}: {error}" if place else str(error)) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(text: str) -> None:
    raise NotFiniteError(f"{text} is no number")


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise NotFiniteError(f"{text} is beyond all numbers")
    return number


def _place_of_infinite(document: object) -> str:
    """The keys that lead to a number that is not finite, such as models[2].seconds; empty where it stands alone."""
    pending: list[tuple[str, object]] = [("", document)]
    while pending:
        place, value = pending.pop()
        if isinstance(value, float) and not math.isfinite(value):
            return place.removeprefix(".")
        if isinstance(value, dict):
            pending += [(f"{place}.{key}", each) for key, each in value.items()]
        elif isinstance(value, list):
            pending += [(f"{place}[{index}]", each) for index, each in enumerate(value)]
    return ""
