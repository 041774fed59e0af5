"""Record what several engines answered at once, ahead of the loop that takes one model after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalharness.records.requests import Failure


@dataclass(frozen=True, slots=True)
class AnsweredAhead:
    """What the store does not hold. `failures`: by checkpoint fingerprint and request id, requests without an answer,
    which are not sent again in this run; `counted`: model, task and first request of every block whose costs are
    recorded.
    """

    failures: dict[str, dict[str, Failure]] = field(default_factory=dict)
    counted: set[tuple[str, str, str]] = field(default_factory=set)

    def failures_of(self, model: str) -> Mapping[str, Failure]:
        """The failures of the model with this fingerprint."""
        return self.failures.get(model, {})
