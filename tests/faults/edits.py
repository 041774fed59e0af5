"""Edit JSON as a hostile person does: one value of another kind, beyond its range, or gone."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

ODD = (None, True, 0, -1, -5, 5, 2**63, 10**30, 1e308, -0.5, "", "x", "a\nb", "../../x", "suite", [], {}, ["x"], [{}])


def edits(document: dict[str, Any], rng: random.Random, count: int) -> Iterator[dict[str, Any]]:
    """`count` copies of a document, without the digest that would give them away, each with one edit."""
    text = json.dumps({key: value for key, value in document.items() if key != "digest"})
    for _ in range(count):
        inner = edited = json.loads(text)
        while True:
            key = rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            if not isinstance(inner[key], dict | list) or not inner[key] or rng.random() < 0.1:
                break
            inner = inner[key]
        if rng.random() < 0.2:
            del inner[key]
        else:
            inner[key] = rng.choice(ODD)
        yield edited
