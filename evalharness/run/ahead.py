"""Keep what a run's engines answered side by side, ahead of the loop that reads one model after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalharness.records.requests import Failure


@dataclass(frozen=True, slots=True)
class AnsweredAhead:
    """What is known beside the store. `failures`: by checkpoint fingerprint and request id, what got no answer, which
    is not asked again in this run; `counted`: model, task and first request of every block whose costs are written
    down.
    """

    failures: dict[str, dict[str, Failure]] = field(default_factory=dict)
    counted: set[tuple[str, str, str]] = field(default_factory=set)

    def of(self, model: str) -> Mapping[str, Failure]:
        """The failures of the model with this fingerprint."""
        return self.failures.get(model, {})
