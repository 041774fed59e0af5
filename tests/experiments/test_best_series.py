"""Which ranks are not separated from the best, on answers of which that is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from measured_runs import ACC, OPAQUE, ROUGE, measured, measured_run, task

from evalharness.experiments.best_series import with_best
from evalharness.records.measurements import Measurement
from evalharness.report.sweep import Choice, Sweep

N = 400
DRAW = np.random.default_rng(3)
HARD = DRAW.random(N)


def right(share: float) -> np.ndarray:
    """0/1 answers of a model that can do the easier `share`."""
    return (share > HARD).astype(float)


def sweep(*names: tuple[str, ...]) -> Sweep:
    chosen = tuple(Choice(f"lora-r{2**at}", 1e-3, 0.9, of) for at, of in enumerate(names))
    return Sweep(base="b", task="t", suite="", select="acc", rule="", rows={}, points=(), chosen=chosen)


def best(values: dict[str, np.ndarray], *names: tuple[str, ...], metric=ACC) -> Sweep:
    measurements = [measured("t", model, of, metric.id) for model, of in values.items()]
    return with_best(sweep(*names), measured_run([task("t", metric)], measurements))


def test_a_rank_that_is_surely_worse_is_not_marked_and_one_that_may_be_as_good_is() -> None:
    values = {"a": right(0.5), "b": right(0.9), "c": np.append(right(0.9)[:-1], 1 - right(0.9)[-1])}
    found = best(values, ("a",), ("b",), ("c",))
    assert set(found.best) == {"lora-r2", "lora-r4"}
    top = max(("lora-r2", "b"), ("lora-r4", "c"), key=lambda each: values[each[1]].mean())[0]
    assert found.best[0] == top
    assert found.best_rule == (
        "Marked ●: not separated from the best by acc; the 95 % interval (Bonferroni over 2 comparisons) of the "
        "difference to it, paired row by row on test rows with seeds averaged, does not lie below 0."
    )


def test_seeds_are_averaged_unit_by_unit() -> None:
    values = {"a1": right(0.9), "a2": right(0.3), "b1": right(0.7), "b2": right(0.7)}
    assert best(values, ("a1", "a2"), ("b1", "b2")).best == ("lora-r2",)
    graded = {name: np.clip(of - 0.1, 0, 1) for name, of in values.items()}
    assert best(graded, ("a1",), ("b1",), metric=ROUGE).best == ("lora-r1",)


def test_ten_answers_separate_little() -> None:
    few = {"a": np.array([1.0] * 8 + [0.0] * 2), "b": np.array([1.0] * 5 + [0.0] * 5)}
    assert best(few, ("a",), ("b",)).best == ("lora-r1", "lora-r2")


def test_paired_differences_count_not_the_spread_of_scores() -> None:
    """Scores spread by 0.8; of differences by 0.05 in turn up and down nothing is known, of a steady 0.05 all."""
    steady, turning = np.full(N, 0.05), np.where(np.arange(N) % 2, 0.05, -0.0499)
    for drop, marked in ((steady, 1), (turning, 2)):
        values = {"a": HARD * 0.8 + 0.1, "b": HARD * 0.8 + 0.1 - drop}
        assert len(best(values, ("a",), ("b",), metric=ROUGE).best) == marked


def test_where_nothing_can_be_compared_nothing_is_marked() -> None:
    values = {"a": right(0.5), "b": right(0.9)}
    assert best(values, ("a",)).best == () and best(values, ("a",)).best_rule == ""
    assert "not all were answered" in best(values, ("a",), ("absent",)).best_rule
    other = {"a": right(0.5), "b": right(0.9)[:-1]}
    assert "not all were answered" in best(other, ("a",), ("b",)).best_rule
    points = [
        Measurement(
            task="t", metric="meteor", model=model, units=("0",), sizes=(1,), rows=np.zeros((1, 0)), point=score
        )
        for model, score in (("a", 0.2), ("b", 0.9))
    ]
    run = measured_run([task("t", OPAQUE)], points)
    assert with_best(sweep(("a",), ("b",)), run).best_rule == "No series is marked: meteor has no interval."
    assert with_best(replace(sweep(("a",), ("b",)), task="u"), run).best == ()
