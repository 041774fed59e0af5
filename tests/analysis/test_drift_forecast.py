"""Forecasts of a suite from drift: what they rest on, where there is none, and how well the shipped table forecasts the
seed that it is not fitted on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evalharness.analysis.drift import NEUTRAL as NEUTRAL_TEXT
from evalharness.analysis.drift import OWN
from evalharness.analysis.drift_forecast import (
    COVERAGE,
    FURTHER,
    NO_KL,
    NO_SUITE,
    OF_ANOTHER,
    OWN_MARGINS,
    drift_curve,
    forecasts,
    place,
)
from evalharness.records.comparison import Estimate
from evalharness.records.drift_table import NEUTRAL, OUTPUTS, TableCandidate
from evalharness.records.models import ModelKind
from evalharness.records.results import Drift, DriftForecast, ModelRow

TEXTS = "d" * 64


def candidate(kl: dict[str, float], margins: float, rate: float = 1e-3, **changes: object) -> TableCandidate:
    fields = {
        "base": "base", "base_fingerprint": "b" * 64, "suite": "demo", "target": "topics", "method": "full",
        "rate": rate, "replay": 0.0, "seed": 1, "neutral_texts": TEXTS, "kl": kl, "margins": margins, "ability": None,
        "run": "r",
    }  # fmt: skip
    return TableCandidate(**{**fields, **changes})  # type: ignore[arg-type]


def drawn(n: int = 20) -> list[TableCandidate]:
    """Candidates whose loss follows the drift on the base's outputs, and on neutral text nothing."""
    rng = np.random.default_rng(1)
    kls = np.exp(rng.uniform(-5, 1, n))
    return [
        candidate({NEUTRAL: float(rng.uniform(1, 2)), OUTPUTS: float(kl)}, -10 * float(kl), rate=float(i + 1))
        for i, kl in enumerate(kls)
    ]


def model(name: str, **changes: object) -> ModelRow:
    row = ModelRow(
        name=name, kind=ModelKind.FULL, fingerprint="f", base="base", parameters=1, trainable=1, trainable_share=1.0,
        bytes=1, target_task="topics",
    )  # fmt: skip
    return replace(row, **changes)


BASE = model("base", kind=ModelKind.BASE, base=None, fingerprint="b" * 64, target_task=None)


def drift(name: str, text: str, kl: float | None) -> Drift:
    known = None if kl is None else Estimate(value=kl)
    return Drift(model=name, text=text, digest=TEXTS, top_k=64, ci_level=0.9, kl=known)


def forecast(
    kl: dict[str, float | None], table: list[TableCandidate], suite: str = "demo", own: bool = False, **changes: object
) -> DriftForecast:
    drifts = [drift("c", {NEUTRAL: NEUTRAL_TEXT, OUTPUTS: OWN}[kind], value) for kind, value in kl.items()]
    (one,) = forecasts(drifts, (BASE, model("c", **changes)), suite, table, [OWN_MARGINS] * own)
    return one


def test_the_kind_of_text_is_chosen_by_recipes_left_out() -> None:
    curve = drift_curve(drawn(), (NEUTRAL, OUTPUTS))
    assert curve.kinds == (OUTPUTS,) and curve.n == 20


def test_more_drift_is_never_forecast_to_lose_less() -> None:
    curve = drift_curve(drawn(), (NEUTRAL, OUTPUTS))
    changes = [curve.change({NEUTRAL: 1.0, OUTPUTS: kl}).value for kl in np.geomspace(1e-6, 100, 60)]
    assert changes == sorted(changes, reverse=True) and changes[-1] < -5


def test_no_drift_is_no_loss() -> None:
    none = forecast({NEUTRAL: 0.0, OUTPUTS: 0.0}, drawn())
    assert none.change is not None and none.change.value == 0 and place({NEUTRAL: 0.0}, (NEUTRAL,)) == 0
    assert none.change.low is not None and none.change.high is not None and none.change.low <= 0 <= none.change.high
    assert none.notes == () and (none.n, none.kinds, none.ci_level) == (20, (OUTPUTS,), COVERAGE)


def test_of_what_the_table_does_not_hold_there_is_no_forecast_and_it_is_said() -> None:
    kl = {NEUTRAL: 1.5, OUTPUTS: 0.1}
    other = [replace(each, base_fingerprint="o" * 64) for each in drawn()]
    for table, suite in (
        (other, "demo"),
        (drawn(), "glue"),
        ([replace(e, neutral_texts="x" * 64) for e in drawn()], "demo"),
    ):
        none = forecast(kl, table, suite)
        assert none.change is None and none.reason == OF_ANOTHER.format(suite)
    assert forecast(kl, drawn(), "").reason == NO_SUITE
    assert forecast({NEUTRAL: None, OUTPUTS: None}, drawn()).reason == NO_KL
    assert forecasts([], (BASE, model("c")), "demo", drawn(), ()) == ()
    assert forecasts([drift("c", OWN, 1.0)], (BASE, model("c")), "demo", (), ()) == ()


def test_what_makes_it_less_sure_is_said() -> None:
    far = forecast({NEUTRAL: 1.5, OUTPUTS: 50.0}, drawn(), own=True, target_task="sst2")
    assert (
        FURTHER in far.notes
        and OWN_MARGINS in far.notes
        and "trained for sst2, those of the table for topics" in far.notes[0]
    )
    assert "not known" in forecast({NEUTRAL: 1.5, OUTPUTS: 0.1}, drawn(), target_task=None).notes[0]
    few = forecast({NEUTRAL: 1.5, OUTPUTS: 0.1}, drawn(8))
    assert few.change is not None and (few.change.low, few.change.high) == (None, None)
    assert few.notes == ("the table's 8 candidates of this base (8 recipes) are too few for an interval of 90%",)
    seeds = forecast({NEUTRAL: 1.5, OUTPUTS: 0.1}, [replace(each, rate=1.0) for each in drawn()])
    assert seeds.change is not None and seeds.change.low is None and "20 candidates" in seeds.notes[0]


def test_a_kind_of_text_that_is_not_known_of_the_candidate_is_done_without() -> None:
    alone = forecast({NEUTRAL: 1.5, OUTPUTS: None}, drawn())
    assert alone.kinds == (NEUTRAL,) and alone.change is not None
