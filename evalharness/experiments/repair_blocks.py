"""Choose a λ (the part of the way from base to candidate) for each block of layers, starting from the one λ for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from evalharness.experiments.repair_rules import RepairRule, score_of
from evalharness.report.repair import PathPoint, Repair

Measure = Callable[[int, tuple[float, ...]], PathPoint]


def with_blocks(repair: Repair, measure: Measure) -> Repair:
    """Choose a λ for each block: go through the blocks once, and move the λ of each halfway to 1, else halfway to 0.

    A move is kept if the rule prefers it; there are at most two looks (measurements) a block. So by the rule, on the
    rows to choose on, the result is never worse than the single λ.

    `measure` returns the point of a look, by its number from 1 and the λ of each block.
    """
    if repair.chosen is None or repair.block_count == 1:
        return repair
    start = next(point for point in repair.points if point.scale == repair.chosen)
    best, tried = replace(start, blocks=(repair.chosen,) * repair.block_count), list[PathPoint]()
    for block in range(repair.block_count):
        for blocks in _moves(best.blocks, block):
            point = replace(measure(len(tried) + 1, blocks), scale=repair.chosen, blocks=blocks)
            tried.append(point)
            if _better(RepairRule(repair.rule), repair.points, point, best):
                best = point
                break
    return replace(repair, block_points=tuple(tried), chosen_blocks=best.blocks)


def _moves(blocks: Sequence[float], block: int) -> Iterator[tuple[float, ...]]:
    for scale in ((blocks[block] + 1) / 2, blocks[block] / 2):
        yield (*blocks[:block], scale, *blocks[block + 1 :])


def _better(rule: RepairRule, points: Sequence[PathPoint], point: PathPoint, best: PathPoint) -> bool:
    """Return whether the rule prefers the point; of equal points the one that lost less over the suite."""
    score = score_of(rule, points)
    own, other = score(point), score(best)
    if own is None or other is None or point.suite is None or best.suite is None:
        return False
    return (own, point.suite.value) > (other, best.suite.value)
