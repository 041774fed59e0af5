"""Forecast a suite's change from a candidate's drift, with a conformal interval.

A monotone curve is fitted to other candidates of the same base. The forecast is made before the suite is evaluated, and
decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from evalharness import fingerprint
from evalharness.analysis.drift import INPUTS as INPUTS_OF
from evalharness.analysis.drift import NEUTRAL as NEUTRAL_TEXT
from evalharness.records.comparison import Estimate
from evalharness.records.drift_table import INPUTS, KINDS, NEUTRAL, OUTPUTS, TableCandidate
from evalharness.records.results import Drift, DriftForecast, ModelRow
from evalharness.stats.monotone import ConformalCurve, conformal_curve

Floats = NDArray[np.float64]
COVERAGE = 0.9
LEAST_KL = 1e-4  # nats a token; the scale is about linear below
NO_KL = "no drift of it is known that the table has"
OF_ANOTHER = (
    "the table has no candidate of this base on the suite {}, on the same neutral texts; what another base loses at "
    "a divergence, or in another suite's margins, says nothing of this one"
)
NO_SUITE = "it is of a suite, and this run has none: name one with --suite"
FURTHER = "it drifted further than every candidate of the table, so that the loss may be larger"
OTHER_TARGET = "it was trained for {}, those of the table for {}: they may lose less, or more, at the same drift"
TARGET_UNKNOWN = "what it was trained for is not known, and the candidates of the table were trained for {}"
TOO_FEW = "the table's {} candidates of this base ({} recipes) are too few for an interval of {:.0%}"
OWN_MARGINS = "this run has margins of its own; the forecast is in those of the suite"
OWN_QUESTIONS = "this run asks otherwise ({}) than the table's candidates were asked: loss and interval may be others"


@dataclass(frozen=True, slots=True, eq=False)
class DriftCurve:
    """A curve of loss against divergence, both on logarithmic scales, from earlier candidates of the same base.

    `kinds`: the kinds of text over which a candidate's divergence is averaged. `fitted`: the curve with its intervals.
    `furthest`: the place on the curve of the candidate that drifted most. `n`: number of candidates.
    """

    kinds: tuple[str, ...]
    fitted: ConformalCurve
    furthest: float  # place of the table's candidate that drifted most
    n: int

    def change(self, kl: Mapping[str, float]) -> Estimate:
        """Forecast the suite's change in margins; it has no interval if the table is too short for one."""
        at = place(kl, self.kinds)
        value = _change(float(self.fitted.curve.at(np.array([at]))[0]))
        bounds = self.fitted.interval(at, COVERAGE)
        low, high = (None, None) if bounds is None else (_change(bounds[1]), _change(bounds[0]))
        return Estimate(value=value, low=low, high=high)


def place(kl: Mapping[str, float], kinds: Sequence[str]) -> float:
    """Return the mean of a candidate's divergences over these kinds of text, each on a scale that is 0 if nothing
    differs and logarithmic beyond LEAST_KL.
    """
    return float(np.mean([np.log1p(kl[kind] / LEAST_KL) for kind in kinds]))


def drift_curve(table: Sequence[TableCandidate], kinds: Sequence[str]) -> DriftCurve:
    """Fit a curve for every subset of these kinds of text, and return the one with the least error on left-out recipes.

    Of curves with equal errors it is the one with the fewest kinds. A recipe is left out with all its seeds.
    """
    losses, recipes = np.array([_loss(each.margins) for each in table]), [each.recipe for each in table]
    curves = []
    for size in range(1, len(kinds) + 1):
        for subset in combinations(kinds, size):
            places = np.array([place(each.kl, subset) for each in table])
            fitted = conformal_curve(places, losses, recipes)
            curves.append(DriftCurve(subset, fitted, float(places.max()), len(table)))
    return min(curves, key=lambda curve: curve.fitted.error)


def forecasts(
    drifts: Sequence[Drift],
    models: Sequence[ModelRow],
    suite: str,
    table: Sequence[TableCandidate],
    remarks: Sequence[str],
) -> tuple[DriftForecast, ...]:
    """Forecast the suite's change of every candidate whose drift was measured.

    `models`: the base first. `table`: drift and change of earlier recipes. `remarks`: differences between this run and
    the suite, which make every forecast less sure.
    """
    if not drifts or not table:
        return ()
    base, fits = models[0], dict[tuple[str, ...], DriftCurve]()
    texts = next((drift.digest for drift in drifts if drift.text == NEUTRAL_TEXT), "")
    of_base = [each for each in table if (each.base_fingerprint, each.suite) == (base.fingerprint, suite)]
    own = [each for each in of_base if fingerprint.agree(each.neutral_texts, texts)]
    digest = fingerprint.of_value([asdict(each) for each in own])

    def forecast(model: ModelRow) -> DriftForecast:
        empty, kl = DriftForecast(model=model.name, suite=suite, ci_level=COVERAGE), divergences(drifts, model)
        kinds = tuple(kind for kind in KINDS if kind in kl and all(kind in each.kl for each in own))
        if not (own and kinds):
            reason = NO_KL if own else OF_ANOTHER.format(suite) if suite else NO_SUITE
            return replace(empty, reason=reason)
        if kinds not in fits:
            fits[kinds] = drift_curve(own, kinds)
        curve = fits[kinds]
        change = curve.change(kl)
        notes = [*_notes(model, own, change), *remarks]
        notes += [FURTHER] if place(kl, curve.kinds) > curve.furthest else []
        return replace(empty, change=change, kinds=curve.kinds, n=curve.n, table=digest, notes=tuple(notes))

    return tuple(forecast(model) for model in models if model.judged)


def divergences(drifts: Sequence[Drift], model: ModelRow) -> dict[str, float]:
    """Return the model's divergence on each kind of text on which it is known, by the table's names of the kinds."""
    own = [drift for drift in drifts if drift.model == model.name and drift.kl is not None]
    return {_kind(drift.text): drift.kl.value for drift in own if drift.kl is not None}


def _notes(model: ModelRow, own: Sequence[TableCandidate], change: Estimate) -> Iterator[str]:
    targets = sorted({each.target for each in own})
    if model.target_task is None:
        yield TARGET_UNKNOWN.format(", ".join(targets))
    elif model.target_task not in targets:
        yield OTHER_TARGET.format(model.target_task, ", ".join(targets))
    if change.low is None:
        yield TOO_FEW.format(len(own), len({each.recipe for each in own}), COVERAGE)


def _kind(text: str) -> str:
    return INPUTS if text.startswith(INPUTS_OF) else NEUTRAL if text == NEUTRAL_TEXT else OUTPUTS


def _loss(margins: float) -> float:
    """Return a loss in margins on a scale that is linear around 0 and logarithmic beyond a margin, + is worse."""
    return float(-np.sign(margins) * np.log1p(abs(margins)))


def _change(loss: float) -> float:
    """Return the change in margins that has this loss."""
    return float(-np.sign(loss) * np.expm1(abs(loss))) + 0.0
