"""Record what several engines answered at once, ahead of the loop that takes one model after another.

A block is a part of one task's requests to one model, at most 128, which an engine answers as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalharness.records.requests import Failure


@dataclass(frozen=True, slots=True)
class AnsweredAhead:
    """What is known of the blocks that were answered ahead, besides their answers, which are in the store.

    `failures`: checkpoint fingerprint -> request id -> the failure; such requests are not sent again in this run.
    `counted`: (model, task, first request) of every block whose costs are recorded.
    """

    failures: dict[str, dict[str, Failure]] = field(default_factory=dict)
    counted: set[tuple[str, str, str]] = field(default_factory=set)

    def failures_of(self, model: str) -> Mapping[str, Failure]:
        """Return the failures of the model with this fingerprint."""
        return self.failures.get(model, {})
