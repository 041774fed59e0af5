"""The diagnosis of a lost choice task: did the candidate lose knowledge, or the format of the answer?"""

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
    """One number of base and candidate, by a metric of a task; `difference` as in a Comparison."""

    name: str  # choosing, written, strict, unparsed, repetition, empty, length, cut, selection_bias, ece, brier_score
    task: str
    metric: str
    base: Estimate
    candidate: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFlips:
    """How written answers that are no longer right changed (to an unreadable or a wrong text), and the reverse.

    Counts are of `answers`, net within a unit. `unreadable`, `wrong`: (gained − lost) / answers of each kind, which add
    up to the difference of the written score. `balance`: the first minus the second; below 0, most of the loss is to
    unreadable texts.
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
    """The choice that a model overpicks most: how often it is picked and is right, as shares of the examples."""

    choice: str
    picked: float
    right: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What a candidate lost on a choice task, or a group of them: knowledge, or the format of the answer.

    The same questions were also put so that the answer is written; `twin`: the task of these answers. `says`: the
    conclusion and its reasons in words. It decides nothing.
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
