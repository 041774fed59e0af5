"""Write the scores and losses of a row in points if it is scored from 0 to 1, else in its metric's unit."""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.analysis.number_text import NONE, plain, signed
from evalharness.records.comparison import Comparison, Estimate


@dataclass(frozen=True, slots=True)
class MetricUnit:
    """The unit that a row is written in. `factor`: by which a score is multiplied. `places`: decimals. `name`: the unit
    in words.
    """

    factor: float
    places: int
    name: str

    def score(self, value: float | None) -> str:
        return NONE if value is None else plain(self.factor * value, self.places)

    def change(self, value: float | None) -> str:
        """Return a difference as text, with its sign."""
        return NONE if value is None else signed(self.factor * value, self.places)

    def interval(self, estimate: Estimate | None, sign: bool = True) -> str:
        """Return an interval as text, such as "[−1.0, +0.2]"; empty if there is none."""
        if estimate is None or estimate.low is None or estimate.high is None:
            return ""
        write = self.change if sign else self.score
        return f"[{write(estimate.low)}, {write(estimate.high)}]"

    def amount(self, loss: float) -> str:
        """Return a loss as text, without a sign, with its unit."""
        return f"{plain(abs(self.factor * loss), self.places)} {self.name}"


def metric_unit(row: Comparison) -> MetricUnit:
    """Return the unit of a row's own metric."""
    if row.points:
        return MetricUnit(100, 1, "points")
    wide = row.span is not None and row.span > 2  # BLEU from 0 to 100, not a correlation from −1 to 1
    return MetricUnit(1, 1 if wide else 2, row.metric)
