"""What the engine alone moves widens what may be called decided, and nothing else moves a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from measured_runs import ACC, MCC, ROUGE, by_task, plan, scored, task

from evalharness.analysis.comparison import compare
from evalharness.analysis.gate_text import suspect
from evalharness.analysis.pairing import pairs_of
from evalharness.records.comparison import Comparison
from evalharness.records.measurements import Measurement, MetricFacts
from evalharness.stats.early_stopping import anytime_interval, anytime_p, evidence_path, sequential_unit, verdict_on_set
from evalharness.stats.engine_noise import garwood

PLACEBO = "placebo"


def column(name: str, model: str, right: Sequence[float], metric: MetricFacts = ACC) -> Measurement:
    rows = np.column_stack([np.asarray(right, dtype=np.float64), np.ones(len(right))])
    units = tuple(map(str, range(len(right))))
    return Measurement(task=name, metric=metric.id, model=model, units=units, sizes=(1,) * len(right), rows=rows)


def compared(base: Sequence[float], candidate: Sequence[float], placebo: Sequence[float] | None, **of: object) -> dict:
    """The rows of one candidate on task t, by task."""
    models = {"base": base, "lora": candidate, **({} if placebo is None else {PLACEBO: placebo})}
    measurements = [column("t", model, right) for model, right in models.items()]
    asked = plan(references=() if placebo is None else (PLACEBO,), **of)
    rows = compare([task("t")], measurements, asked, None if placebo is None else PLACEBO)
    return by_task([row for row in rows if row.candidate == "lora"])


def flipped(right: np.ndarray, places: Sequence[int]) -> np.ndarray:
    out = right.copy()
    out[list(places)] = 1 - out[list(places)]
    return out


BASE = np.repeat([1.0, 0.0], [800, 200])


def test_no_noise_moves_nothing_but_is_stated() -> None:
    candidate = flipped(BASE, [*range(10), *range(990, 1000)])
    without, quiet = compared(BASE, candidate, None), compared(BASE, candidate, BASE)
    for name, row in quiet.items():
        assert row.engine_noise is not None and (row.engine_noise.flips, row.engine_noise.widened_by) == (0, 0.0)
        assert replace(row, engine_noise=None) == without[name]
    assert without["t"].engine_noise is None and without["t"].verdict == "retained"


def test_noise_widens_tests_and_interval_on_either_side() -> None:
    candidate = flipped(BASE, [*range(10), *range(990, 1000)])
    without = compared(BASE, candidate, None)["t"]
    noisy = compared(BASE, candidate, flipped(BASE, [20, 21, 970, 971]))["t"]
    noise = noisy.engine_noise
    assert noise is not None and (noise.n, noise.flips, noise.mean_change) == (1000, 4, pytest.approx(0.004))
    assert noise.widened_by == pytest.approx(9.154 / 1000, abs=1e-6)  # Garwood's bound of 4 is 9.154 (his table)
    assert noisy.difference.low == pytest.approx(without.difference.low - noise.widened_by)
    assert noisy.difference.high == pytest.approx(without.difference.high + noise.widened_by)
    assert noisy.p_retained > without.p_retained and noisy.p_forgotten >= without.p_forgotten
    at = compared(BASE, candidate, None, margins={"t": 0.02 - noise.widened_by})["t"]
    assert noisy.p_retained == pytest.approx(at.p_retained) and "engine_noise" in noisy.flags
    assert (noisy.margin, noisy.p_difference) == (0.02, without.p_difference)


def test_noise_as_large_as_the_margin_retains_nothing_and_says_what_would_decide_nowhere() -> None:
    noisy = compared(BASE, BASE, flipped(BASE, [*range(20), *range(980, 1000)]))
    assert noisy["t"].verdict == "inconclusive" and noisy["t"].p_retained == 1.0 and noisy["t"].would_decide is None
    assert noisy["suite"].verdict == "inconclusive" and noisy["suite"].engine_noise.widened_by > 1


def test_a_loss_that_noise_may_have_made_is_not_forgotten() -> None:
    candidate = flipped(BASE, range(45))
    assert compared(BASE, candidate, None)["t"].verdict == "forgotten"
    noisy = compared(BASE, candidate, flipped(BASE, [*range(100, 110), *range(900, 910)]))["t"]
    assert noisy.verdict == "inconclusive"
    assert compared(BASE, flipped(BASE, range(200)), flipped(BASE, [1, 999]))["t"].verdict == "forgotten"


@pytest.mark.parametrize("in_rounds", [False, True])
def test_noise_takes_no_suspicion_away(in_rounds: bool) -> None:
    candidate, placebo = flipped(BASE, range(45)), flipped(BASE, [*range(100, 110), *range(900, 910)])
    noisy = compared(BASE, candidate, placebo, until_decided=in_rounds)["t"]
    assert noisy.p_forgotten > 0.05 and "suspect" in noisy.flags
    assert "without the engine's noise, alone it would count as forgotten" in suspect(noisy)


def test_the_suite_of_one_unit_says_what_the_unit_says() -> None:
    rows = compared(BASE, flipped(BASE, [5, 6, 990]), flipped(BASE, [1, 999]))
    unit, suite = rows["t"], rows["suite"]
    assert (suite.p_forgotten, suite.p_retained) == (unit.p_forgotten, unit.p_retained)
    assert suite.difference.low == pytest.approx(unit.difference.low / unit.margin)
    assert suite.engine_noise.widened_by == pytest.approx(unit.engine_noise.widened_by / unit.margin)


def test_a_placebo_that_was_asked_less_is_no_measure() -> None:
    rows = compare([task("t")], [column("t", "base", BASE), column("t", "lora", BASE)], plan(), PLACEBO)
    assert all(row.engine_noise is None for row in rows)


@pytest.mark.parametrize("metric", [ROUGE, MCC], ids=lambda metric: metric.id)
def test_graded_and_corpus_scores_have_noise_of_their_own_unit(metric: MetricFacts) -> None:
    base, lora = (scored(metric, model, BASE[700:900]) for model in ("base", "lora"))
    other = replace(base, model=PLACEBO, rows=base.rows.copy())
    other.rows[0] = scored(metric, PLACEBO, 1 - BASE[700:900]).rows[0]
    asked = plan(references=(PLACEBO,))
    rows = compare([task("t", metric)], [base, lora, other], asked, PLACEBO)
    noise = by_task([row for row in rows if row.candidate == "lora"])["t"].engine_noise
    assert noise is not None and noise.flips == 1 and 0 < noise.mean_change < noise.widened_by
    assert noise.widened_by == pytest.approx(noise.mean_change * garwood(1.0, 0.05))


def test_e_processes_are_widened_alike() -> None:
    rows = [np.column_stack([right, np.ones(1000)]) for right in (BASE, flipped(BASE, range(990, 1000)))]
    metric = (task("t"), ACC)
    of = replace(pairs_of(metric, *rows, np.ones(1000)), margin=0.02)
    order = np.arange(1000) / 1000
    found = [sequential_unit(of, order, 1.0, noise) for noise in (0.0, 0.005, 0.02)]
    units = [unit for unit in found if unit is not None]
    p_values = [anytime_p(evidence_path(unit, 20)) for unit in units]
    retained = [p for _, p in p_values]
    assert retained[0] < retained[1] < retained[2] == 1.0
    assert p_values[0][0] <= p_values[1][0] <= p_values[2][0]
    low, high = anytime_interval(units[0], 0.05)
    assert anytime_interval(units[1], 0.05) == pytest.approx((low - 0.005, high + 0.005))
    assert verdict_on_set(units[2], 1000, 0.05)[0] != "retained" == verdict_on_set(units[0], 1000, 0.05)[0]


# ---- how often it errs


DRAWS, UNITS, MARGIN, RATE = 400, 600, 0.05, 0.03


def verdicts(shift: float, towards: float | None, seed: int) -> dict[str, float]:
    """The shares of the verdicts on a candidate whose true difference is `shift`. The engine flips a share RATE of all
    answers: `towards` None: those of base, candidate and placebo alike; else the candidate's answers alone, all of them
    to right (1) or wrong (0), and of the placebo's as many, either way.
    """
    rng, count = np.random.default_rng(seed), {"forgotten": 0, "retained": 0, "inconclusive": 0}
    for _ in range(DRAWS):
        true = (rng.random(UNITS) < 0.7).astype(float)
        lost = true * (rng.random(UNITS) < -shift / 0.7)
        sides = [true, true - lost, true]
        hit = [rng.random(UNITS) < RATE for _ in sides]
        if towards is None:
            base, candidate, placebo = (np.where(h, 1 - side, side) for side, h in zip(sides, hit, strict=True))
        else:
            can = sides[1] != towards
            share = RATE / max(can.mean(), 1e-9)
            candidate = np.where(can & (rng.random(UNITS) < share), towards, sides[1])
            base, placebo = true, np.where(hit[2], 1 - true, true)
        count[str(verdict(base, candidate, placebo))] += 1
    return {name: number / DRAWS for name, number in count.items()}


def verdict(base: np.ndarray, candidate: np.ndarray, placebo: np.ndarray) -> object:
    row: Comparison = compared(base, candidate, placebo, margins={"t": MARGIN})["t"]
    return row.verdict


@pytest.mark.slow
@pytest.mark.parametrize("towards", [None, 0.0, 1.0], ids=["either way", "all to wrong", "all to right"])
def test_noise_makes_no_wrong_verdict_more_often_than_alpha(towards: float | None) -> None:
    """At the margin both claims are wrong, and of a copy of the base “forgotten” is; 0.05 + three standard errors."""
    most = 0.05 + 3 * (0.05 * 0.95 / DRAWS) ** 0.5
    at_margin = verdicts(-MARGIN, towards, 1)
    assert at_margin["forgotten"] <= most and at_margin["retained"] <= most, at_margin
    assert verdicts(0.0, towards, 2)["forgotten"] <= most
