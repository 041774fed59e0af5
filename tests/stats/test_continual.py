"""Measures of continual learning against matrices worked out by hand, and their intervals against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from evalharness.stats.continual import ContinualDesign, Floats, measures, with_intervals

# Three tasks learned one after another; row 0 is the base.
SCORES = np.array([[0.3, 0.2, 0.1], [0.9, 0.4, 0.2], [0.7, 0.8, 0.3], [0.8, 0.6, 0.9]])


def mean(sums: Floats) -> Floats:
    return sums[..., 0] / sums[..., 1]


def values(design: ContinualDesign, scores: Floats = SCORES) -> dict[str, float]:
    return {name: float(measure(scores)) for name, measure in measures(design, len(scores)).items()}


def test_by_hand() -> None:
    found = values(ContinualDesign(learned=(1, 2, 3), joint=(0.95, 0.9, 0.9)))
    assert found == pytest.approx(
        {
            "accuracy": (0.8 + 0.6 + 0.9) / 3,
            "backward_transfer": ((0.8 - 0.9) + (0.6 - 0.8)) / 2,
            "forward_transfer": ((0.4 - 0.2) + (0.3 - 0.1)) / 2,
            "forgetting": ((0.9 - 0.8) + (0.8 - 0.6)) / 2,
            "intransigence": ((0.95 - 0.9) + (0.9 - 0.8) + (0.9 - 0.9)) / 3,
        }
    )


def test_forgetting_is_from_the_best_and_backward_transfer_from_the_first() -> None:
    scores = np.array([[0.1], [0.5], [0.9], [0.7]])
    found = values(ContinualDesign(learned=(1,)), scores)
    assert found["forgetting"] == pytest.approx(0.2) and found["backward_transfer"] == pytest.approx(0.2)


def test_a_general_ability_is_compared_with_the_base() -> None:
    """With every task known to the base, backward transfer is the mean change since: what TRACE calls the general
    ability delta.
    """
    found = values(ContinualDesign(learned=(0, 0, 0)))
    assert found["backward_transfer"] == pytest.approx((SCORES[3] - SCORES[0]).mean())
    assert "forward_transfer" not in found and "intransigence" not in found


def test_scores_of_a_model_that_learned_nothing() -> None:
    assert values(ContinualDesign(learned=(1, 2, 3), fresh=(0.0, 0.1, 0.25)))["forward_transfer"] == pytest.approx(
        ((0.4 - 0.1) + (0.3 - 0.25)) / 2
    )


def by_loops(scores: Floats, stages: int, learned: list[int], fresh: Floats, joint: Floats) -> dict[str, float]:
    """The definitions of Lopez-Paz and Ranzato and of Chaudhry et al., one task at a time."""
    last, found = stages - 1, dict[str, list[float]]()
    for j, when in enumerate(learned):
        found.setdefault("accuracy", []).append(scores[last][j])
        if when < last:
            found.setdefault("backward_transfer", []).append(scores[last][j] - scores[when][j])
            found.setdefault("forgetting", []).append(max(scores[i][j] for i in range(when, last)) - scores[last][j])
        if when > 1:
            found.setdefault("forward_transfer", []).append(scores[when - 1][j] - fresh[j])
        if when > 0:
            found.setdefault("intransigence", []).append(joint[j] - scores[when][j])
    return {name: sum(values) / len(values) for name, values in found.items()}


@pytest.mark.parametrize("seed", range(20))
def test_against_loops_over_random_matrices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stages, tasks = int(rng.integers(1, 6)), int(rng.integers(1, 7))
    scores, learned = rng.random((stages + 2, tasks)), rng.integers(0, stages, tasks).tolist()
    fresh, joint = scores[stages], scores[stages + 1]
    expected = by_loops(scores, stages, learned, fresh, joint)
    known = ContinualDesign(learned=tuple(learned), fresh=tuple(fresh), joint=tuple(joint))
    assert values(known, scores[:stages]) == pytest.approx(expected)
    beside = measures(ContinualDesign(learned=tuple(learned), fresh=stages, joint=stages + 1), stages)
    assert {name: float(measure(scores)) for name, measure in beside.items()} == pytest.approx(expected)
    stacked = np.stack([scores, scores[:, ::-1] * 0.5])
    assert all(
        measure(stacked).shape == (2,) and measure(stacked)[0] == pytest.approx(expected[name])
        for name, measure in beside.items()
    )


def test_one_stage_has_only_an_accuracy() -> None:
    assert values(ContinualDesign(learned=(0, 0)), SCORES[:1, :2]) == pytest.approx({"accuracy": 0.25})
    assert measures(ContinualDesign(learned=()), 3) == {}


@pytest.mark.parametrize(
    "design",
    [
        lambda: ContinualDesign(learned=(-1,)),
        lambda: ContinualDesign(learned=(1, 2), joint=(0.5,)),
        lambda: measures(ContinualDesign(learned=(4,)), 4),
        lambda: measures(ContinualDesign(learned=(1,), joint=3), 4),
    ],
)
def test_what_cannot_be(design) -> None:
    with pytest.raises(ValueError):
        design()


def draw(rng: np.random.Generator, units: int, scores: Floats, size: int = 1) -> list[Floats]:
    """Rows (right, asked) of units that are harder or easier at all stages alike."""
    tasks = []
    for chances in scores.T:
        hard = rng.normal(0, 0.5, (units, 1, 1))
        right = (rng.normal(0, 1, (units, len(chances), size)) + hard < np.sqrt(1.25) * ndtri(chances)[:, None]).sum(
            axis=-1
        )
        tasks.append(np.stack([right, np.full_like(right, size)], axis=-1).astype(float))
    return tasks


@pytest.mark.parametrize("size", [1, 4])
def test_intervals_cover(size: int) -> None:
    design, rng = ContinualDesign(learned=(1, 2, 3), joint=(0.95, 0.9, 0.9)), np.random.default_rng(0)
    truth = values(design)
    hits = dict.fromkeys(truth, 0)
    for _ in range(100):
        found = with_intervals(draw(rng, 60, SCORES, size), [mean] * 3, design, 0.9)
        for name, interval in found.items():
            hits[name] += interval.low <= truth[name] <= interval.high
    assert all(0.84 <= hit / 100 <= 0.98 for hit in hits.values()), hits


def test_a_measured_joint_model_is_as_uncertain_as_it_is() -> None:
    """Its answers vary with the units, and with the stages' answers to them: taken as known, the interval is too
    narrow.
    """
    whole, rng = np.vstack([SCORES, [0.95, 0.9, 0.9]]), np.random.default_rng(1)
    measured, truth = (
        ContinualDesign(learned=(1, 2, 3), joint=4),
        values(ContinualDesign(learned=(1, 2, 3), joint=(0.95, 0.9, 0.9)))["intransigence"],
    )
    hits, wider = 0, 0
    for _ in range(100):
        rows = draw(rng, 60, whole)
        found = with_intervals(rows, [mean] * 3, measured, 0.9)["intransigence"]
        hits += found.low <= truth <= found.high
        held = tuple(float(mean(each[:, 4].sum(axis=0))) for each in rows)
        known = with_intervals(
            [each[:, :4] for each in rows], [mean] * 3, ContinualDesign(learned=(1, 2, 3), joint=held), 0.9
        )
        assert known["intransigence"].value == pytest.approx(found.value)
        wider += found.high - found.low > known["intransigence"].high - known["intransigence"].low
    assert 0.84 <= hits / 100 <= 0.98 and wider > 75, (hits, wider)


def test_nothing_that_varies() -> None:
    rows = [np.ones((5, 3, 2)), np.ones((7, 3, 2))]
    found = with_intervals(rows, [mean] * 2, ContinualDesign(learned=(0, 1)), 0.9)
    assert found["accuracy"] == (1.0, 1.0, 1.0) and found["forgetting"] == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="two units"):
        with_intervals([np.ones((1, 3, 2))], [mean], ContinualDesign(learned=(0,)), 0.9)
