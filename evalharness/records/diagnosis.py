"""The diagnosis of a choice task on which a candidate lost: did it lose knowledge, or the format of the answer?"""

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
    """The scores of base and candidate by one metric of a task. `difference` is oriented as in a Comparison."""

    name: str  # choosing, written, strict, unparsed, repetition, empty, length, cut, selection_bias, ece, brier_score
    task: str
    metric: str
    base: Estimate
    candidate: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFlips:
    """How written answers changed between right and unreadable, and between right and wrong.

    Counts are out of `answers` written answers, net within a unit: `lost_unreadable` and `lost_wrong` were right with
    the base, `gained_unreadable` and `gained_wrong` became right. `unreadable` and `wrong` are (gained − lost) /
    answers of each kind; they add up to the difference of the written score. `balance` is `unreadable` minus `wrong`:
    below 0, most of the loss is to unreadable texts.
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
    """The choice that a model picks too often: how often it is picked and how often it is right, as shares of the
    examples.
    """

    choice: str
    picked: float
    right: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What a candidate lost on a choice task, or a group of them: knowledge, or the format of the answer. It decides
    nothing.

    The same questions were also asked so that the model writes its answer; `twin` is the task of these answers. `says`
    is the conclusion and its reasons in words.
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
