"""Choose which checkpoint to look at next for the first that forgot, and conclude from the looks: pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from evalharness.stats.enums import Verdict

Verdicts = Mapping[str, Verdict | None]  # of one checkpoint, by gate unit
Course = Mapping[int, Verdicts]  # by the checkpoint's place in the training, from 0
BASE = -1  # its place, before the first checkpoint's


class BisectOutcome(StrEnum):
    """What a search ends with."""

    NOTHING = "nothing_forgotten"  # not shown of the last checkpoint
    FOUND = "found"
    NOT_MONOTONE = "not_monotone"  # a unit was forgotten, and retained at a later checkpoint
    UNDECIDED = "undecided"  # a check before what the search found is forgotten, and nothing between is retained


@dataclass(frozen=True, slots=True)
class UnitReturn:
    """A gate unit that was forgotten at one place and retained at a later one."""

    unit: str
    forgotten: int
    retained: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """What follows from the looks. `first`: what the search by halves found; `before`: the place before it, BASE where
    there is none; `earlier`: an earlier one that a check showed to have forgotten. None where there is none.
    """

    outcome: BisectOutcome
    first: int | None = None
    before: int | None = None
    earlier: int | None = None
    returns: tuple[UnitReturn, ...] = ()


def most_looks(checkpoints: int) -> int:
    """⌈log2 N⌉ + 2: the last checkpoint, the search below it, and one that checks what the search takes for granted."""
    return (checkpoints - 1).bit_length() + 2


def next_look(checkpoints: int, course: Course) -> int | None:
    """Where to look next; None at the end. The last checkpoint comes first, then halves of what is left of the way to
    the earliest that forgot; looks that remain go to the middle of the widest stretch that none has been at, for a
    search by halves never sees of itself that a course goes back. Such a check can withdraw what the search found,
    never move it: else where it looks would depend on too much for the correction.
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
    """What the looks of a whole search say."""
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
    """How far the search by halves has come: the place before, the one that forgot, and where to look between them."""
    before, first = BASE, checkpoints - 1
    while first - before > 1:
        middle = (before + first) // 2
        if middle not in course:
            return before, first, middle
        before, first = (before, middle) if _forgot(course[middle]) else (middle, first)
    return before, first, None


def _returns(course: Course) -> Iterator[UnitReturn]:
    """Each unit that was forgotten and later retained, at the first of such places."""
    for unit in sorted({unit for verdicts in course.values() for unit in verdicts}):
        by_place = [(place, course[place].get(unit)) for place in sorted(course)]
        first = next((place for place, verdict in by_place if verdict == Verdict.FORGOTTEN), None)
        if first is None:
            continue
        later = (place for place, verdict in by_place if place > first and verdict == Verdict.RETAINED)
        yield from (UnitReturn(unit, first, place) for place in [*later][:1])
