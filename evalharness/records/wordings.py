"""How much the scores and the verdict of a gate unit (a task or group that the gate judges) depend on the prompt's
wording.
"""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.records.comparison import Level
from evalharness.stats.enums import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstToBest:
    """The worst, the mean and the best value of one number over several wordings."""

    worst: float
    mean: float
    best: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WordingSpread:
    """One gate unit of one candidate over several wordings. It decides nothing.

    `wordings` are their names, the unit's own first, as "". `verdicts` are those of each wording alone, at the unit's
    margin, not adjusted for other units; None in a run with rounds.
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
        """Return whether the verdict depends on the wording."""
        return len(set(self.verdicts or ())) > 1
