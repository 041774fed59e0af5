"""Choose the next checkpoint of a search for the first that forgot, and draw the conclusion (pure functions).

A place is a checkpoint's number, from 0. A look is a test of one checkpoint. A gate unit is a task or group that the
gate judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from evalharness.stats.enums import Verdict

Verdicts = Mapping[str, Verdict | None]  # of one checkpoint, by gate unit
Course = Mapping[int, Verdicts]  # by the checkpoint's place in the training, from 0
BASE = -1  # the base's place, before the first checkpoint


class BisectOutcome(StrEnum):
    """The possible outcomes of a search."""

    NOTHING = "nothing_forgotten"  # forgetting is not shown for the last checkpoint
    FOUND = "found"
    NOT_MONOTONE = "not_monotone"  # a unit was forgotten, and retained at a later checkpoint
    UNDECIDED = "undecided"  # a check found an earlier checkpoint that forgot, and nothing between is retained


@dataclass(frozen=True, slots=True)
class UnitReturn:
    """A gate unit that was forgotten at the place `forgotten`, and retained at the later place `retained`."""

    unit: str
    forgotten: int
    retained: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """The conclusion from the looks; a place is None if there is no such place.

    `first`: the first place that forgot, by the search by halves. `before`: the tested place before it, BASE if there
    is none. `earlier`: an earlier place that a later check showed to have forgotten. `returns`: the units that came
    back.
    """

    outcome: BisectOutcome
    first: int | None = None
    before: int | None = None
    earlier: int | None = None
    returns: tuple[UnitReturn, ...] = ()


def most_looks(checkpoints: int) -> int:
    """Return the most looks that a search needs, ⌈log2 N⌉ + 2: the last checkpoint, the search below it, and a check of
    the search's assumption.
    """
    return (checkpoints - 1).bit_length() + 2


def next_look(checkpoints: int, course: Course) -> int | None:
    """Return the place to test next; None at the end.

    The last checkpoint comes first, then halves of the interval before the earliest that forgot. Remaining looks go to
    the middle of the widest untested interval, because a search by halves does not notice a unit that comes back. Such
    a check can withdraw the result, but not move it: otherwise the places of the looks would depend on too much for the
    correction for multiple looks.
    """
    if checkpoints - 1 not in course:
        return checkpoints - 1
    if not _forgot(course[checkpoints - 1]):
        return None
    _, _, middle = _bracket(checkpoints, course)
    if middle is not None:
        return middle
    if len(course) >= most_looks(checkpoints) or conclude(checkpoints, course).outcome != BisectOutcome.FOUND:
        return None
    before, after = max(pairwise((BASE, *sorted(course))), key=lambda gap: (gap[1] - gap[0], -gap[0]))
    return (before + after) // 2 if after - before > 1 else None


def conclude(checkpoints: int, course: Course) -> Bracket:
    """Draw the conclusion from the looks of a whole search."""
    if not _forgot(course[checkpoints - 1]):
        return Bracket(outcome=BisectOutcome.NOTHING)
    before, first, _ = _bracket(checkpoints, course)
    earlier = min((place for place, verdicts in course.items() if place < first and _forgot(verdicts)), default=None)
    returns = tuple(_returns(course))
    outcome = BisectOutcome.FOUND if earlier is None else BisectOutcome.UNDECIDED
    outcome = BisectOutcome.NOT_MONOTONE if returns else outcome
    return Bracket(outcome=outcome, first=first, before=before, earlier=earlier, returns=returns)


def _forgot(verdicts: Verdicts) -> bool:
    return Verdict.FORGOTTEN in verdicts.values()


def _bracket(checkpoints: int, course: Course) -> tuple[int, int, int | None]:
    """Return the interval of the search by halves: the place before, the one that forgot, and the next one between."""
    before, first = BASE, checkpoints - 1
    while first - before > 1:
        middle = (before + first) // 2
        if middle not in course:
            return before, first, middle
        before, first = (before, middle) if _forgot(course[middle]) else (middle, first)
    return before, first, None


def _returns(course: Course) -> Iterator[UnitReturn]:
    """Yield each unit that was forgotten and later retained, with the first such places."""
    for unit in sorted({unit for verdicts in course.values() for unit in verdicts}):
        by_place = [(place, course[place].get(unit)) for place in sorted(course)]
        first = next((place for place, verdict in by_place if verdict == Verdict.FORGOTTEN), None)
        if first is None:
            continue
        later = (place for place, verdict in by_place if place > first and verdict == Verdict.RETAINED)
        yield from (UnitReturn(unit, first, place) for place in [*later][:1])
