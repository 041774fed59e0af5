"""The plan of a comparison: base, candidates, groups, margins and error rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from evalharness.errors import UsageError
from evalharness.records.tasks import Average, Group
from evalharness.stats.enums import EARLY

UNNAMED = "suite"  # the suite unit of tasks that no suite names


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparePlan:
    """Which candidates are compared with which base, and by which rules.

    `groups` are the groups of tasks that get a row of their own. `targets` maps a candidate to the task that it was
    trained on. `margins` maps a task or group to a margin that replaces its own. `seed` is that of all random draws.
    Raises UsageError for an alpha outside (0, .5) or a margin that is not a number above 0.
    """

    base: str
    candidates: tuple[str, ...]
    groups: tuple[Group, ...] = ()
    suite_name: str | None = None
    margins: Mapping[str, float] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)
    alpha: float = 0.05
    seed: int = 1234
    # tasks and groups that get rows and no verdict: variants of other tasks
    describing: tuple[str, ...] = ()
    average: Average | None = None  # the suite's published one
    references: tuple[str, ...] = ()  # models that are compared like candidates and never judged
    # evaluate in rounds, and stop a gate unit once its verdict is certain (stats/early_stopping.py)
    until_decided: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise UsageError("alpha", f"{self.alpha} is no error rate", "a number between 0 and 0.5, such as 0.05")
        for name, margin in self.margins.items():
            if not (math.isfinite(margin) and margin > 0):
                fix = "a number above 0: no number of examples can show that nothing at all was lost"
                raise UsageError("margin", f"{margin} of {name} is no acceptable loss", fix)

    @property
    def level(self) -> float:
        """Return the coverage of the intervals. Each of their ends is a one-sided bound at level 1 − alpha."""
        return 1 - 2 * self.alpha

    @property
    def final_alpha(self) -> float:
        """Return the error rate of a gate unit (a task or group that the gate judges) once its whole sample is
        evaluated: alpha less the share that early verdicts spend.
        """
        return self.alpha * (1 - EARLY) if self.until_decided else self.alpha

    @property
    def final_level(self) -> float:
        """Return the coverage of the interval of a gate unit once its whole sample is evaluated."""
        return 1 - 2 * self.final_alpha

    @property
    def order_seed(self) -> int | None:
        """Return the seed that assigns units to rounds; None if the run has no rounds."""
        return self.seed if self.until_decided else None
