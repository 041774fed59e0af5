"""The search for the first checkpoint that forgot, against a scan of all; what courses that go back give."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from evalharness.experiments.bisect_search import (
    BASE,
    BisectOutcome,
    Bracket,
    UnitReturn,
    conclude,
    most_looks,
    next_look,
)
from evalharness.stats.enums import Verdict

FORGOTTEN, RETAINED, OPEN = Verdict.FORGOTTEN, Verdict.RETAINED, Verdict.INCONCLUSIVE


def searched(course: Sequence[dict[str, Verdict]]) -> tuple[Bracket, dict[int, dict[str, Verdict]]]:
    """The conclusion of a whole search, and what was looked at, in order."""
    looks: dict[int, dict[str, Verdict]] = {}
    while (place := next_look(len(course), looks)) is not None:
        assert place not in looks
        looks[place] = course[place]
    return conclude(len(course), looks), looks


@pytest.mark.parametrize("earlier", [RETAINED, OPEN])
def test_every_monotone_course_of_at_most_40_checkpoints(earlier: Verdict) -> None:
    for count in range(1, 41):
        assert most_looks(count) == math.ceil(math.log2(count)) + 2
        for begins in range(count + 1):
            course = [{"a": earlier if place < begins else FORGOTTEN} for place in range(count)]
            scanned = next((place for place, of in enumerate(course) if of["a"] == FORGOTTEN), None)
            found, looks = searched(course)
            if scanned is None:
                assert found == Bracket(outcome=BisectOutcome.NOTHING) and [*looks] == [count - 1]
            else:
                assert (found.outcome, found.first, found.before) == (BisectOutcome.FOUND, scanned, scanned - 1)
                assert len(looks) <= most_looks(count) and found.before in (BASE, *looks)


def test_what_is_said_of_any_course_is_true_of_it() -> None:
    draw = random.Random(3)
    outcomes = set()
    for _ in range(3000):
        course = [{unit: draw.choice([FORGOTTEN, RETAINED, OPEN]) for unit in "ab"} for _ in range(draw.randint(1, 40))]
        found, looks = searched(course)
        outcomes.add(found.outcome)
        assert len(looks) <= most_looks(len(course)) and next(iter(looks)) == len(course) - 1
        if found.outcome == BisectOutcome.NOTHING:
            assert FORGOTTEN not in course[-1].values() and len(looks) == 1
            continue
        assert found.first is not None and found.before is not None and found.earlier in (None, *looks)
        assert FORGOTTEN in course[found.first].values()
        assert found.before == BASE or FORGOTTEN not in course[found.before].values()
        assert (found.outcome == BisectOutcome.NOT_MONOTONE) == bool(found.returns)
        assert all(course[of.forgotten][of.unit] == FORGOTTEN for of in found.returns)
        assert all(course[of.retained][of.unit] == RETAINED and of.forgotten < of.retained for of in found.returns)
        assert found.first - found.before == 1 and (
            found.outcome != BisectOutcome.UNDECIDED or found.earlier is not None
        )
    assert outcomes == {*BisectOutcome}


def test_a_unit_that_comes_back_is_reported_with_its_places() -> None:
    course = [{"a": RETAINED, "b": RETAINED}] * 4 + [{"a": FORGOTTEN, "b": OPEN}] * 4
    found, _ = searched([*course[:7], {"a": RETAINED, "b": FORGOTTEN}])
    assert found.outcome == BisectOutcome.NOT_MONOTONE and [each.unit for each in found.returns] == ["a"]
    assert found.returns[0].retained == 7


def test_the_looks_that_remain_see_a_course_that_goes_back() -> None:
    course = [{"a": verdict} for verdict in [RETAINED, *[FORGOTTEN] * 6, *[RETAINED] * 8, FORGOTTEN]]
    found, looks = searched(course)
    assert [*looks] == [15, 7, 11, 13, 14, 3] and found.outcome == BisectOutcome.NOT_MONOTONE
    assert found.returns == (UnitReturn("a", 3, 7),)
