"""How much scores, and the verdict, hang on the wording in which a gate unit is asked."""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.records.comparison import Level
from evalharness.stats.enums import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstToBest:
    """The worst, the mean and the best of one number over wordings."""

    worst: float
    mean: float
    best: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WordingSpread:
    """One gate unit of one candidate over the wordings in which it was asked; it decides nothing.

    `wordings`: their names, the unit's own first, as "". `verdicts`: what the rule of verdicts gives in each of them at
    the unit's margin, with no adjustment for other units; None where the units were asked in rounds.
    """

    task: str
    level: Level
    candidate: str
    metric: str
    wordings: tuple[str, ...]
    base: WorstToBest
    candidate_score: WorstToBest
    difference: WorstToBest
    verdicts: tuple[Verdict, ...] | None = None

    @property
    def depends(self) -> bool:
        """Does the verdict depend on the wording?"""
        return len(set(self.verdicts or ())) > 1
