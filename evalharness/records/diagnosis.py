"""What a diagnosis of a lost choice task holds: did the candidate lose knowledge, or the format of the answer?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from evalharness.records.comparison import Estimate, Level


class Conclusion(StrEnum):
    """What a candidate seems to have lost."""

    KNOWLEDGE = "knowledge"
    FORMAT = "format"
    BOTH = "both"
    CONSTANT = "constant"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number of base and candidate, by `metric` of the task that was asked. `difference` as in a Comparison."""

    name: str  # choosing, written, strict, unparsed, repetition, empty, length, cut, selection_bias, ece, brier_score
    task: str
    metric: str
    base: Estimate
    candidate: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFlips:
    """Where the written answers that are no longer right went, and where those that now are came from.

    Counts are of `answers`, net within a unit. `unreadable`, `wrong`: the parts of the written score's difference,
    (gained − lost) / answers each, which add up to it. `balance`: the first minus the second, below 0 where most of a
    loss is to texts that no answer can be read from.
    """

    answers: int
    lost_unreadable: int
    lost_wrong: int
    gained_unreadable: int
    gained_wrong: int
    unreadable: Estimate
    wrong: Estimate
    balance: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceBias:
    """The choice that a model picks most beyond how often it is right: shares of the examples."""

    choice: str
    picked: float
    right: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What a candidate lost on a choice task, or a group of them: knowledge, or the format of the answer.

    The answers were also asked to be written. `twin`: under which name the written answers are compared. `says`: the
    conclusion and what it rests on, in words. It decides nothing.
    """

    task: str
    level: Level
    candidate: str
    twin: str
    n: int
    ci_level: float
    conclusion: Conclusion
    says: str
    measures: tuple[Measure, ...]
    flips: WrittenFlips
    # "base" and "candidate", where choices are the same for all examples
    leaning: Mapping[str, ChoiceBias] | None = None
