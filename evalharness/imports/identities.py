"""Identify the answers of a log by what was asked, so that two models' answers to one question are paired.

An answer's identity is its document, the prompt as it was asked, and the gold answer with the choices; answers of
which all of these are equal are numbered in the order of the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from evalharness import fingerprint

LENGTH = 16  # characters of a digest


class Identity(NamedTuple):
    """What `Answer` holds of a question beside its unit and its value."""

    key: str
    document: str
    content: str


def digest(value: Any) -> str:
    """Shorten a JSON value to the beginning of its digest."""
    return fingerprint.of_value(value)[:LENGTH]


@dataclass(slots=True)
class Identities:
    """Identify the answers of one model to one task, in the order of its log."""

    seen: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def of(self, document: Any, prompt: Any, gold: Any, choices: Iterable[Any] = (), among: str = "") -> Identity:
        """Identify the next answer. All are JSON values. `document`: the tool's own identity of the row, or its
        content; `prompt`: whatever tells how it was asked, solved examples included; `gold`: what was right; `among`:
        as `key` takes it.
        """
        asked, judged = digest(prompt), digest([gold, list(choices)])
        return Identity(self.key(digest(document), asked, judged, among=among), digest(document), f"{asked}-{judged}")

    def key(self, *parts: str, among: str = "") -> str:
        """Join the parts of an identity and number it. `among`: the filter, where each logs the answer once."""
        self.seen[among, *parts] += 1
        return f"{'-'.join(parts)}#{self.seen[among, *parts]}"
