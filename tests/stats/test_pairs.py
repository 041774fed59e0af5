"""Pairing of units by id; pooling by rows and by tasks, against the means of each task computed by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evalharness.metrics.base import ratio
from evalharness.stats.pairs import Pairs, match_units, net_changes, pool_pairs


def pairs(base: list[int], candidate: list[int], chance: float) -> Pairs:
    rows = [np.array([[value, 1.0] for value in values]).reshape(-1, 2) for values in (base, candidate)]
    return Pairs(
        *rows, np.ones(len(base)), lambda sums: ratio(sums[..., 0], sums[..., 1]), "binary", 0.0, 1.0, 1.0, chance, None
    )


SMALL, LARGE = pairs([1, 0], [0, 0], 0.5), pairs([1, 1, 1, 0, 1, 0], [1, 1, 0, 0, 1, 1], 0.25)


def scores(found: Pairs) -> tuple[float, float]:
    return float(found.score(found.base.sum(axis=0))), float(found.score(found.candidate.sum(axis=0)))


def test_by_rows_every_example_counts_the_same() -> None:
    found = pool_pairs([SMALL, LARGE], 0.02)
    assert scores(found) == pytest.approx((5 / 8, 4 / 8))
    assert (found.kind, found.margin, found.chance) == ("binary", 0.02, pytest.approx((2 * 0.5 + 6 * 0.25) / 8))


def test_by_tasks_every_task_counts_the_same() -> None:
    found = pool_pairs([SMALL, LARGE], 0.02, macro=True)
    assert scores(found) == pytest.approx(((1 / 2 + 4 / 6) / 2, (0 + 4 / 6) / 2))
    assert (found.kind, found.chance) == ("graded", pytest.approx(0.375))
    assert found.sizes.sum() == pytest.approx(8) and found.sizes[:2].sum() == pytest.approx(4)
    assert len(found.base) == 8


def test_tasks_without_units_are_left_out() -> None:
    empty = pairs([], [], 0.9)
    for macro in (False, True):
        assert scores(pool_pairs([empty, SMALL], None, macro)) == scores(SMALL)
        assert pool_pairs([empty, SMALL], None, macro).chance == 0.5
        assert len(pool_pairs([empty, empty], None, macro).base) == 0


def test_pooled_chance_is_unknown_where_that_of_one_member_is() -> None:
    assert pool_pairs([SMALL, replace(LARGE, chance=None)], None).chance is None
    assert SMALL.skill(0.75) == 0.25 and replace(SMALL, chance=None).skill(0.75) is None


def test_changes_below_a_billionth_of_the_range_are_none() -> None:
    """Of the unit's own range, where it has many rows; of the values, where there is none."""
    sizes = np.array([1.0, 1.0, 50.0, 50.0])
    base = np.column_stack([np.array([0.5, 0.5, 20.0, 20.0]), sizes])
    other = base + np.column_stack([[0.9e-9, -1.1e-9, 49e-9, -51e-9], np.zeros(4)])
    unit = replace(SMALL, base=base, candidate=other, sizes=sizes, kind="graded")
    assert net_changes(unit) == pytest.approx([0, -1.1e-9, 0, -51e-9], rel=1e-5, abs=1e-12)
    assert net_changes(replace(unit, sign=-1.0)) == pytest.approx([0, 1.1e-9, 0, 51e-9], rel=1e-5, abs=1e-12)
    endless = replace(
        unit, high=np.inf, base=1e9 * base, candidate=1e9 * base + np.array([[0.5], [2], [30], [50]]) * [1, 0]
    )
    assert net_changes(endless) == pytest.approx([0, 2, 0, 50])


def test_units_are_paired_by_id_and_what_cannot_be_paired_is_counted():
    found = match_units(["a", "b", "c", "d"], [1, 2, 1, 1], ["c", "b", "a", "e", "f"], [1, 1, 1, 1, 1])
    assert found.first.tolist() == [0, 2] and found.second.tolist() == [2, 0]
    assert (found.first_lacks, found.second_lacks, found.uneven) == (2, 1, 1)


def test_nothing_in_common():
    assert len(match_units([], [], ["a"], [1]).first) == 0


def test_a_doubled_id_is_refused():
    with pytest.raises(ValueError, match="twice"):
        match_units(["a", "a"], [1, 1], ["a"], [1])
