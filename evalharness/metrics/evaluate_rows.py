"""Give scores of a module of `evaluate` rows, so that they can be tested: as a mean, or by the jackknife.

`has_rows` says whether an entry of a task's metrics asks for it.

`aggregation: mean` states that the module's score of all predictions is the mean of its scores of single ones, which is
checked on the predictions. `aggregation: jackknife` is for any other smooth score: it is computed again without each
unit in turn, and a unit's row is its influence. Halves of the units check that influences add up to the score; a median
or a maximum fails this check with an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evalharness.errors import TaskError
from evalharness.metrics.base import Floats, ratio
from evalharness.records.measurements import Prediction
from evalharness.stats.enums import MetricKind

MEAN, JACKKNIFE = "mean", "jackknife"
SAME = 1e-9  # allowed difference of the mean and the score of all predictions, relative above 1
MOST_UNITS = 2_000  # each costs one more computation over all others
HALVES, LEFT = 40, 0.25  # number of halves; the share of their variance that influences may leave unexplained
Rows = dict[str, tuple[float, ...]]


def has_rows(options: Mapping[str, Any]) -> bool:
    """Return whether the options of a task's entry give its module rows.

    That needs `low` or `high`: lm-eval's files have `aggregation: mean` for every module, and without a range a module
    only describes.
    """
    return options.get("aggregation") in (MEAN, JACKKNIFE) and ("low" in options or "high" in options)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleRows:
    """A module whose score is Σ row[0] / Σ row[1]. `score_of` computes its score of any predictions, or raises
    TaskError.
    """

    id: str
    kind: MetricKind
    signature: str
    low: float
    high: float
    higher_is_better: bool
    score_of: Callable[[Sequence[Prediction]], float]
    width: int = 2

    def row(self, prediction: Prediction) -> tuple[float, ...]:
        return (self.checked([prediction]), 1.0)

    def score(self, sums: Floats) -> Floats:
        return ratio(sums[..., 0], sums[..., 1])

    def checked(self, predictions: Sequence[Prediction]) -> float:
        """Return the score of these predictions. Raises TaskError if it is not in the stated range."""
        score = self.score_of(predictions)
        if not self.low - SAME <= score <= self.high + SAME:
            fix = "`low` and `high` of its entry state a range that holds every score"
            raise TaskError(f"metric {self.id}", f"{score:g} is not between {self.low:g} and {self.high:g}", fix)
        return score


class ModuleMean(ModuleRows):
    """A module whose score is a mean over predictions. A unit's row is (sum of their scores, their number)."""

    __slots__ = ()

    def unit_rows(self, predictions: Sequence[Prediction]) -> Rows:
        """Return the rows of all units. Raises TaskError unless the score of all predictions is the mean of the scores
        of single ones.
        """
        rows: Rows = {}
        for prediction in predictions:
            value, number = self.row(prediction)
            before = rows.get(prediction.example.unit, (0.0, 0.0))
            rows[prediction.example.unit] = (before[0] + value, before[1] + number)
        mean = float(self.score(np.array(list(rows.values())).reshape(-1, 2).sum(axis=0)))
        whole = self.score_of(predictions) if predictions else 0.0
        if abs(mean - whole) > SAME * max(1.0, abs(whole)):
            what = f"is no mean: all predictions score {whole:.10g}, single ones {mean:.10g} on average"
            fix = "`aggregation: jackknife`, or none, and it describes"
            raise TaskError(f"metric {self.id}", what, fix)
        return rows


class ModuleJackknife(ModuleRows):
    """A module with any smooth score, by the jackknife. A unit's row is (score + n × influence, 1)."""

    __slots__ = ()

    def unit_rows(self, predictions: Sequence[Prediction]) -> Rows:
        """Return the rows of all units. Raises TaskError for too many units, and for a score that influences do not
        explain.
        """
        units: dict[str, list[Prediction]] = {}
        for prediction in predictions:
            units.setdefault(prediction.example.unit, []).append(prediction)
        if len(units) > MOST_UNITS:
            what = f"would be computed {len(units)} times over, once without each unit"
            raise TaskError(f"metric {self.id}", what, f"--limit {MOST_UNITS} or less, or no `aggregation: jackknife`")
        whole = self.checked(predictions) if predictions else 0.0
        parts = list(units.values())
        if len(parts) < 2:
            return dict.fromkeys(units, (whole, 1.0))
        without = np.array([self._of([*parts[:at], *parts[at + 1 :]]) for at in range(len(parts))])
        values = whole + (without.mean() - without) * (len(parts) - 1)
        self._check_smooth(parts, values)
        return {unit: (float(value), 1.0) for unit, value in zip(units, values, strict=True)}

    def _of(self, parts: Sequence[Sequence[Prediction]]) -> float:
        return self.checked([prediction for part in parts for prediction in part])

    def _check_smooth(self, parts: Sequence[Sequence[Prediction]], values: Floats) -> None:
        """Compare scores of random halves (with a fixed seed) with the means of their units' values."""
        if np.ptp(values) <= SAME * max(1.0, float(np.abs(values).max())):
            values = np.full(len(values), values.mean())  # rounding
        rng = np.random.default_rng(0)
        halves = [rng.permutation(len(parts))[: max(1, len(parts) // 2)] for _ in range(HALVES)]
        computed = np.array([self._of([parts[at] for at in sorted(half)]) for half in halves])
        predicted = np.array([values[half].mean() for half in halves])
        unexplained = float(np.var(computed - predicted))
        if unexplained > LEFT * float(np.var(computed)) + SAME**2:
            what = "moves otherwise than its units say: scores of halves of them are not what their moves add up to"
            raise TaskError(f"metric {self.id}", what, "no `aggregation: jackknife`, and it describes")
