"""Turn answers into the rows of a store and back, each with a digest of its key and body."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from evalharness import fingerprint
from evalharness.records.requests import Generation, Profiling, Ranking, Response, Scoring

RESPONSES = {cls.__name__.lower(): cls for cls in (Generation, Profiling, Ranking, Scoring)}  # by the `kind` in a body
FIELDS = {cls: (kind, [field.name for field in fields(cls)]) for kind, cls in RESPONSES.items()}
ENCODER = json.JSONEncoder(sort_keys=True, allow_nan=False)


def digest(*parts: str) -> str:
    """Return a digest of texts: 32 hexadecimal digits."""
    return fingerprint.of_value(parts)[:32]


def row(*parts: str) -> tuple[str, ...]:
    """Return the parts of a row, followed by their digest."""
    return *parts, digest(*parts)


def intact(values: Sequence[object]) -> bool:
    """Return whether all values but the last are texts, and the last is their digest."""
    *parts, stated = values
    texts = [part for part in parts if isinstance(part, str)]
    return len(texts) == len(parts) and stated == digest(*texts)


def encode(response: Response) -> str:
    """Write an answer as JSON. Raises ValueError for numbers that are not finite."""
    kind, names = FIELDS[type(response)]
    return ENCODER.encode({"kind": kind, **{name: getattr(response, name) for name in names}})


def answer(values: Sequence[object]) -> Response | None:
    """Read the answer in a row (model, engine, request, body, digest); None if the row is damaged or of an unknown
    kind.
    """
    if not intact(values):
        return None
    try:
        fields = json.loads(str(values[3]))
        response = RESPONSES[fields.pop("kind")]
        return response(**{name: _with_tuples(value) for name, value in fields.items()})
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _with_tuples(value: Any) -> Any:
    """Turn lists into tuples, as records have them."""
    if not isinstance(value, list):
        return value
    return tuple(map(_with_tuples, value) if value and isinstance(value[0], list) else value)
