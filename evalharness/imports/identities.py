"""Identify logged answers by their question, so that two models' answers to one question are paired.

An answer's identity is its document, its prompt, and the gold answer with the choices. Answers with the same identity
are numbered in the order of the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from evalharness import fingerprint

LENGTH = 16  # characters of a digest


class Identity(NamedTuple):
    """The identity of an answer's question, with the fields that `Answer` has."""

    key: str
    document: str
    content: str


def digest(value: Any) -> str:
    """Return the beginning of a JSON value's digest."""
    return fingerprint.of_value(value)[:LENGTH]


@dataclass(slots=True)
class Identities:
    """Identify the answers of one model to one task, in the order of its log."""

    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def of(self, document: Any, prompt: Any, gold: Any, choices: Iterable[Any] = (), among: str = "") -> Identity:
        """Identify the next answer. All arguments are JSON values.

        `document` is the tool's own id of the row, or its content. `prompt` is everything that was sent, few-shot
        examples included. `gold` is the right answer. `among` is as in `key`.
        """
        prompt_digest, judged = digest(prompt), digest([gold, list(choices)])
        return Identity(
            self.key(digest(document), prompt_digest, judged, among=among),
            digest(document),
            f"{prompt_digest}-{judged}",
        )

    def key(self, *parts: str, among: str = "") -> str:
        """Join the parts of an identity and number it.

        `among` is the filter, for logs that have each answer once for every filter.
        """
        self.counts[among, *parts] += 1
        return f"{'-'.join(parts)}#{self.counts[among, *parts]}"
