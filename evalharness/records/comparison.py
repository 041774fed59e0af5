"""The result of comparing a candidate with its base: one `Comparison` a task, group, family or suite, and its parts.

A unit is one example, or several that count as one. A gate unit is a task or group that the gate judges. An example
flips if one model answers it right and the other does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from evalharness.records import LATER
from evalharness.records.answers import AnswerCounts, UnfitShares
from evalharness.records.tasks import HumanLevel, Variant
from evalharness.stats.enums import Assumption, Verdict

MARGINS = "margins"  # the metric of rows over gate units: the mean of their differences, each divided by its margin


class Level(StrEnum):
    """What a row of the comparisons covers: a task, a group, a family or the suite."""

    TASK = "task"
    GROUP = "group"  # the rows of several tasks, pooled
    FAMILY = "family"  # the mean over one family's gate units; it gets no verdict
    SUITE = "suite"  # the mean over gate units


class Adjustment(StrEnum):
    """The correction for multiple tests by which a row's p-values were adjusted."""

    HOLM = "Holm"
    BENJAMINI_HOCHBERG = "Benjamini-Hochberg"


class Flag(StrEnum):
    """A warning on one row. docs/results.md says when each is set, and what to do."""

    SUSPECT = "suspect"
    BASE_AT_CHANCE = "base_at_chance"
    MARGIN_EXCEEDS_SKILL = "margin_exceeds_skill"
    DROP_DETECTED = "drop_detected"
    IMPROVED = "improved"
    STOPPED_EARLY = "stopped_early"
    SUITE_NOT_TESTED = "suite_not_tested"
    NO_TARGET = "no_target"
    NO_RANGE = "no_range"
    CHANCE_UNKNOWN = "chance_unknown"
    TRUNCATED = "truncated"
    UNPARSED = "unparsed"
    INCOMPLETE = "incomplete"
    PROMPTS_DIFFER = "prompts_differ"
    DECODED_DIFFERENTLY = "decoded_differently"
    REPEATED_PROMPTS = "repeated_prompts"
    CONSTANT_ANSWER = "constant_answer"
    EMPTY_ANSWERS = "empty_answers"
    CUT_OFF = "cut_off"
    ENGINE_NOISE = "engine_noise"
    MIXED_ENGINES = "mixed_engines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with the ends of its interval, `low` and `high`.

    The interval is None if the metric is one number for all answers, or if there are too few units.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, interval: tuple[float, float | None, float | None]) -> Self:
        """Return the estimate of a triple (value, low, high)."""
        value, low, high = interval
        return cls(value=value, low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipShares:
    """Shares of the compared units whose score changed (`share`), became worse (`lost`) or became better (`gained`).

    `forgotten` and `learned` are `lost` and `gained` corrected for lucky guesses. They are None if the chance of a
    lucky guess is unknown, or if fewer answers changed than luck alone would change: then the two models guess alike.
    """

    share: float
    lost: float
    gained: float
    forgotten: Estimate | None = None
    learned: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanDifference:
    """The plain mean of the differences of `units` gate units, in natural points, with its interval."""

    value: float
    low: float | None
    high: float | None
    units: int
    # units in which the base is at chance, gives one answer or writes nothing: they cannot show a loss
    unable: int = field(default=0, metadata=LATER)


def value_of(estimate: Estimate | MeanDifference | None) -> float | None:
    """Return the estimate's value; None without an estimate."""
    return None if estimate is None else estimate.value


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldDecide:
    """What would decide an undecided row: the verdict that the evidence leans to, and the units that it would take.

    With `examples` units, counted like `n`, the row gets `verdict` with probability `power`, at the row's error rate
    and if `assumption` holds. `examples` is None if it takes more than 100,000. `there`: the data set has that many.
    """

    verdict: Verdict
    assumption: Assumption
    examples: int | None
    power: float
    there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The verdict on a finite set of `population` units, a random part of which was answered.

    It holds for that set at level 1 − α and says nothing about other questions. No gate reads it. `p_forgotten` and
    `p_retained` are the p-values of its two null hypotheses.
    """

    verdict: Verdict
    population: int
    p_forgotten: float
    p_retained: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingState:
    """How far a row was evaluated in a run that stops a unit early once its verdict is certain.

    `asked` of `planned` units were answered, in `rounds` of `of` rounds; `stopped` is true if that was before the last
    round. `p_forgotten` (adjusted by e-Holm over the gate units) and `p_retained` come from the e-processes alone and
    are valid at any stopping round. They and `certificate` are None for rows that have none.
    """

    asked: int
    planned: int
    rounds: int
    of: int
    stopped: bool
    p_forgotten: float | None = None
    p_retained: float | None = None
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineNoise:
    """How much the engine alone moves a row's score, measured with a placebo (the base behind an adapter that changes
    nothing).

    `flips` of `n` units changed. `mean_change` is the mean of |change| over all of them. `widened_by` is an upper
    bound of that mean; the tests at the margin and the difference's interval are widened by it on either side. Both
    are in the metric's unit, or in margins for a mean over gate units.
    """

    n: int
    flips: int
    mean_change: float
    widened_by: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One candidate against the base on one task, group, family or suite, by one metric: a row of results.json.

    `difference` is oriented so that + is better. `base`, `candidate_score`, `difference`, counts and p-values are None
    if no unit was measured for both models (then `n` is 0); a row over gate units may have a difference and no scores.
    `n` counts units, `lost` and `gained` those that became worse and better (None for metrics of the whole corpus).
    `unit` is true if this row is a gate unit. `ci_level` is the coverage of the intervals. `p_forgotten` tests that
    the difference is at least −margin, `p_retained` that it is at most −margin, `p_difference` that it is 0.
    `verdict`, `margin` and the p-values at the margin are None on rows that only describe (their metric is not
    `primary`). `would_decide` is None if the row is decided, or if no sample size could give the verdict that it leans
    to (`flags` say why). `available` counts the units of the whole split. Fields after `available` describe and decide
    nothing.
    """

    task: str
    family: str
    level: Level
    unit: bool
    metric: str
    primary: bool
    candidate: str
    n: int
    base: Estimate | None
    candidate_score: Estimate | None
    difference: Estimate | None
    ci_level: float
    lost: int | None = None
    gained: int | None = None
    p_forgotten: float | None = None
    p_forgotten_adjusted: float | None = None
    p_retained: float | None = None
    p_difference: float | None = None
    margin: float | None = None
    verdict: Verdict | None = None
    flags: tuple[Flag, ...] = ()
    would_decide: WouldDecide | None = None
    available: int
    points: bool = False  # scored from 0 to 1, 1 being the best
    # of a task or group: the width of the metric's range, which is the largest possible loss; None: unbounded
    span: float | None = field(default=None, metadata=LATER)
    # the share of the base's score over chance that remains; None where that score is not significant
    retention: Estimate | None = None
    flips: FlipShares | None = None
    # Holm: p_forgotten_adjusted (gate units); Benjamini and Hochberg: q_* (drill-downs)
    adjustment: Adjustment | None = None
    q_forgotten: float | None = None
    q_difference: float | None = None
    # of the suite: over gate units scored from 0 to 1 that the candidate was not trained on
    general: MeanDifference | None = None
    capped: float | None = None  # of the suite: the difference that tests “retained”, with capped gains
    median: float | None = None  # of the suite: the median gate unit's difference in margins
    stopping: StoppingState | None = None  # None: the run had no rounds
    variant: Variant | None = None  # if the task or group is one
    examples: int = field(default=0, metadata=LATER)  # in the units compared, each of which is one or several
    repeated: int = field(default=0, metadata=LATER)  # examples that repeat another's question, and share its unit
    left_out: int = field(default=0, metadata=LATER)  # examples that were evaluated on no model: they do not fit
    # where at least a tenth of either model's answers is unusual, or one answer is given to all rows
    base_answers: AnswerCounts | None = field(default=None, metadata=LATER)
    candidate_answers: AnswerCounts | None = field(default=None, metadata=LATER)
    unfit: UnfitShares | None = field(default=None, metadata=LATER)  # of gate units
    # of a metric that has parts: the scores' parts by name
    base_parts: Mapping[str, float] = field(default_factory=dict, hash=False, metadata=LATER)
    candidate_parts: Mapping[str, float] = field(default_factory=dict, hash=False, metadata=LATER)
    human: HumanLevel | None = field(default=None, metadata=LATER)  # what people score by this metric, if stated
    engine_noise: EngineNoise | None = field(default=None, metadata=LATER)  # None where no placebo was measured

    @property
    def is_gate_unit(self) -> bool:
        """Return whether this row is a gate unit: a task or group that the gate judges (and not the suite)."""
        return self.unit and self.level != Level.SUITE


def base_of(rows: Iterable[Comparison]) -> Estimate | None:
    """Return the base's score, from the first of these comparisons that has one."""
    return next((c.base for c in rows if c.base is not None), None)
