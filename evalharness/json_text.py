"""Parse a user's JSON: every error in it is a ValueError, numbers that are not finite included."""

from __future__ import annotations

import json
import math
import re
from typing import Any

TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?|[{}]')  # a text or key, and the ends of objects


class NotFiniteError(ValueError):
    """The error that a number in JSON is not finite, or beyond the range of a float."""


class RepeatedKeyError(ValueError):
    """The error that a key appears twice in one object. JSON parsers keep the last one."""


def parse_json(text: str | bytes, finite: bool = True, distinct: bool = False) -> Any:
    """Return the value of a JSON text. Raises ValueError for a text that is not JSON or is nested too deeply.

    `finite`: raise NotFiniteError, with its key, for NaN, infinity and numbers beyond the range of a float. `distinct`:
    raise RepeatedKeyError for a key that appears twice in one object.
    """
    pairs = _distinct if distinct else None
    try:
        if not finite:
            return json.loads(text, object_pairs_hook=pairs)
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=pairs)
    except NotFiniteError as error:
        place = _place_of_infinite(parse_json(text, finite=False))
        raise NotFiniteError(f"{place}: {error}" if place else str(error)) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def number_in(value: Any) -> float:
    """Return a text or JSON value as a number; NaN if it is no number."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def line_of_repeated(text: str) -> int:
    """Return the line, from 1, of the first key that appears for the second time in its object."""
    keys: list[set[str]] = []
    for token in TOKEN.finditer(text):
        if token[0] == "{":
            keys.append(set())
        elif token[0] == "}":
            keys.pop()
        elif token[2] and keys:
            if (key := str(json.loads(f'"{token[1]}"', strict=False))) in keys[-1]:
                return text.count("\n", 0, token.start()) + 1
            keys[-1].add(key)
    return 1


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in values if keys.count(key) > 1)
        raise RepeatedKeyError(f"the key {twice[:60]!r} appears more than once in an object")
    return values


def _refuse(text: str) -> None:
    raise NotFiniteError(f"{text} is no number")


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise NotFiniteError(f"{text} is beyond all numbers")
    return number


def _place_of_infinite(document: object) -> str:
    """Return the path of a number that is not finite, such as models[2].seconds; "" for the document itself."""
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
