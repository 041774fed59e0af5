"""Define the records of a forecast: what a comparison could decide, for each gate unit and for the gate.

A gate unit is a task or group that the gate judges: retained, forgotten or inconclusive, by its margin.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from evalharness.experiments.cost import TaskCost
from evalharness.stats.gate_forecast import GateOdds


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastRow:
    """The decisions that a comparison could make about one gate unit; None means that a number is not known.

    Size. `available`: rows of its data. `units`: groups of rows that belong together. `examples`: those that are asked.
    `effective`: how many independent units the rows are worth.

    Assumptions. `flips`: the share of answers that change from base to candidate. `base`: the base's score in an
    earlier run. `how`: the source of these: assumed | known (flips, enumerated) | simulated (from an earlier run's
    rows) | unknown.

    Limits. `margin`: the most that the score may fall. `base_needed`: the base's score from which on the margin is
    small against its skill (its score above chance). `largest_margin`: the largest margin that is; if the base's score
    is not known, for a perfect base. `reason`: why the unit can never be judged retained, None if it can.

    Outlook. `certifiable`: the smallest margin within which the unit is judged retained if nothing is lost.
    `detectable`: the smallest loss that is judged forgotten. `needed`: how many units certify the margin. `retained`,
    `forgotten`: the probability of each verdict if nothing is lost. `draws`: how many comparisons were simulated, 0 if
    they were enumerated. `expected`: the most probable verdict.
    """

    name: str
    level: str
    family: str
    metric: str
    kind: str
    available: int
    units: int
    examples: int
    effective: float
    margin: float
    how: str
    flips: float | None
    base: float | None
    base_needed: float | None
    largest_margin: float | None
    reason: str | None
    certifiable: float | None = None
    detectable: float | None = None
    needed: int | None = None
    retained: float | None = None
    forgotten: float | None = None
    draws: int = 0
    expected: str = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The decisions that a comparison could make.

    `alpha`: its error rate. `power`: the probability with which a claim should come out. `tests`: how many gate units
    are tested. `flips`, `skill`: the assumptions on changed answers, and on the base's share of the possible score
    above chance. `earlier`: the run that they come from. `describing`: the tasks that are not judged. `gate`: the odds
    of the gate over the units in `gate_over`. `without`: the units whose rows are not known. `work`: the cost of each
    task. `loading`: the seconds of loading the base.
    """

    suite: str
    alpha: float
    power: float
    tests: int
    flips: float
    skill: float
    earlier: str | None
    rows: tuple[ForecastRow, ...]
    describing: tuple[str, ...]
    gate: GateOdds | None
    gate_over: tuple[str, ...]
    without: tuple[str, ...]
    work: tuple[TaskCost, ...] = ()
    loading: float | None = None
    notices: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the forecast in the form of plan.json."""
        return asdict(self)
