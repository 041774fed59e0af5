"""λ of blocks from a single λ, on surfaces of gain and loss that are known: never worse by the rule, in few looks."""

from __future__ import annotations

import pytest

from evalharness.experiments.repair_blocks import with_blocks
from evalharness.experiments.repair_rules import RepairRule, score_of
from evalharness.records.comparison import Estimate
from evalharness.report.repair import PathPoint, Repair

GAINS, LOSSES = (1.0, 0.0, 1.0), (0.2, 4.0, 0.8)  # of three blocks, at λ = 1


def point(scale: float, blocks: tuple[float, ...]) -> PathPoint:
    gain = sum(of * part for of, part in zip(GAINS, blocks, strict=True))
    loss = sum(of * part**2 for of, part in zip(LOSSES, blocks, strict=True))
    suite = Estimate(value=-loss, low=-loss - 0.1, high=-loss + 0.1)
    return PathPoint(scale=scale, gain=Estimate(value=gain), suite=suite, fingerprint="", blocks=blocks)


def repair(rule: RepairRule, chosen: float | None, count: int = 3) -> Repair:
    from_one = [point(scale, (scale,) * 3) for scale in (0.0, 0.125, 0.25, 0.5, 0.75, 1.0)]
    points = tuple(PathPoint(scale=p.scale, gain=p.gain, suite=p.suite, fingerprint="") for p in from_one)
    return Repair(
        candidate="c", candidate_fingerprint="", base="b", base_fingerprint="", target="t", suite="s", seed=1,
        limit=None,
        rule=rule, rule_words="", rows_a=1, rows_b=1, points=points, chosen=chosen, block_count=count,
    )  # fmt: skip


@pytest.mark.parametrize("rule", RepairRule)
def test_the_block_that_only_forgets_goes_back_and_those_that_learn_go_on(rule: RepairRule) -> None:
    found = with_blocks(repair(rule, 0.125), lambda number, blocks: point(0.125, blocks))
    score = score_of(rule, found.points)
    single, own = score(found.points[1]), score(point(0.125, found.chosen_blocks))
    assert single is not None and own is not None and own > single
    assert found.chosen_blocks[1] < 0.125 < found.chosen_blocks[0] and len(found.block_points) <= 6
    assert sum(found.is_chosen(each) for each in (*found.points, *found.block_points)) == 1


def test_where_no_move_is_better_the_single_one_stays() -> None:
    bad = PathPoint(scale=0.125, gain=Estimate(value=-1.0), suite=Estimate(value=-9.0, low=-9.0), fingerprint="")
    numbers = list[int]()
    found = with_blocks(repair(RepairRule.KNEE, 0.125), lambda number, _: numbers.append(number) or bad)
    assert found.chosen_blocks == (0.125,) * 3 and numbers == [1, 2, 3, 4, 5, 6]
    assert [each.scale for each in found.points if found.is_chosen(each)] == [0.125]
    assert not any(map(found.is_chosen, found.block_points))


@pytest.mark.parametrize("without", [repair(RepairRule.KNEE, None), repair(RepairRule.KNEE, 0.5, count=1)])
def test_without_a_choice_or_blocks_nothing_is_measured(without: Repair) -> None:
    assert with_blocks(without, lambda number, blocks: pytest.fail("measured")) is without
