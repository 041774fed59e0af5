"""Define the records of a forecast: what a comparison could decide, for each unit and for the gate."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from evalharness.experiments.cost import TaskCost
from evalharness.stats.gate_forecast import GateOdds


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastRow:
    """What one gate unit could decide. `effective`: the independent units that its rows are worth; `flips`: the share
    of answers that change; `base`: its score in an earlier run; `how`: assumed | known (flips, enumerated) | simulated
    (from an earlier run's rows) | unknown (no numbers). `needed`: units that certify the margin; `base_needed`: the
    base's score from which on the margin is small against its skill; `largest_margin`: the largest margin that is (for
    a perfect base if its score is not known); both None if chance is unknown. `reason`: why the unit can never be
    retained.
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
    """What a comparison could decide. `gate`: its odds over the units in `gate_over`; `without`: the units whose rows
    are not known; `work`: the cost of each task; `loading`: seconds of loading the base.
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
        """Return the forecast for JSON."""
        return asdict(self)
