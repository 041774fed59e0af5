"""What comparing a candidate with its base gives: estimates, flips, how far a row was asked, and the comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from evalharness.records import LATER
from evalharness.records.answers import AnswerCounts, UnfitShares
from evalharness.records.tasks import HumanLevel, Variant
from evalharness.stats.enums import Assumption, Verdict

MARGINS = "margins"  # the metric of rows over gate units: a mean of differences, each in units of its unit's margin


class Level(StrEnum):
    """Over what a row of the comparisons is."""

    TASK = "task"
    GROUP = "group"  # the rows of several tasks, pooled
    FAMILY = "family"  # the mean over one family's gate units, which describes
    SUITE = "suite"  # the mean over gate units


class Adjustment(StrEnum):
    """By which correction for many tests a row was adjusted."""

    HOLM = "Holm"
    BENJAMINI_HOCHBERG = "Benjamini-Hochberg"


class Flag(StrEnum):
    """What a reader of a row must know beside its verdict; docs/results.md says when each is set, and what to do."""

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
    """A value with its interval; no interval (None) where the metric is opaque or there are too few units."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, interval: tuple[float, float | None, float | None]) -> Self:
        """The estimate that a test gave as (value, low, high)."""
        value, low, high = interval
        return cls(value=value, low=low, high=high)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipShares:
    """Shares of the compared units: that changed, got worse, got better.

    `forgotten`, `learned`: the same of answers that were known, lucky guesses taken out. They are None where it is not
    known how likely a lucky guess is, and where fewer flipped than luck alone would make: the two models guess alike.
    """

    share: float
    lost: float
    gained: float
    forgotten: Estimate | None = None
    learned: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanDifference:
    """The plain mean of the differences of so many gate units, in natural points, with its interval."""

    value: float
    low: float | None
    high: float | None
    units: int
    # of which the base is at chance, gives one answer or writes nothing: they cannot show what it can do
    unable: int = field(default=0, metadata=LATER)


def value_of(estimate: Estimate | MeanDifference | None) -> float | None:
    """The estimate's value; None where nothing was measured."""
    return None if estimate is None else estimate.value


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldDecide:
    """What would decide an undecided row: the verdict that the evidence leans to, and how many units would give it with
    probability `power` if the assumption holds, at the error rate that this row has.

    `examples`: a number of units, as `n` is; None where more than 100,000 would be needed. `there`: are so many in the
    set?
    """

    verdict: Verdict
    assumption: Assumption
    examples: int | None
    power: float
    there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a set of `population` units, of which a random part was answered, would show had all of it been.

    The verdict on that very set is certain at level 1 − α; the p-values are of its two nulls. It says nothing of other
    questions, and no gate looks at it.
    """

    verdict: Verdict
    population: int
    p_forgotten: float
    p_retained: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingState:
    """How far a row's units were asked, where they are asked in rounds and no longer once a verdict is certain.

    `asked` of `planned` units, in `rounds` of `of` rounds; `stopped`: before the last. `p_forgotten` (adjusted by
    e-Holm over the gate units) and `p_retained` are of the e-processes alone, valid at whatever round one stops; they
    are None, like `certificate`, of rows that have none.
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
    """What the engine alone moves of a row's score, as a placebo shows it: of `n` units `flips` changed; `mean_change`:
    the mean of |change| over them, `widened_by`: its upper bound, by which the tests at the margin and the difference's
    interval are widened on either side; in the metric's unit, of a mean over gate units in margins.
    """

    n: int
    flips: int
    mean_change: float
    widened_by: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Candidate against base on one task, group, family or suite, by one metric; a row of results.json.

    Differences are oriented so that + is better. `base`, `candidate_score`, `difference`, counts and p-values are None
    where no unit was measured of both (`n` is 0); a row over gate units may have a difference and no scores. `unit`:
    this row is a gate unit. `verdict`, `margin` and the margin's
    p-values are None on rows that only describe (metrics that are not primary). `would_decide` is None
    where the verdict is decided, and where the one that it leans to cannot be had at any size (flags say why). What
    stands after `available` describes.
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
    # of a task or group: the width of the metric's range, the largest loss there can be; None where nothing bounds it
    span: float | None = field(default=None, metadata=LATER)
    # share of the base's score over chance that is left; None where that score is not significant
    retention: Estimate | None = None
    flips: FlipShares | None = None
    # Holm made p_forgotten_adjusted (gate units), Benjamini and Hochberg q_* (drill-downs)
    adjustment: Adjustment | None = None
    q_forgotten: float | None = None
    q_difference: float | None = None
    # of the suite: over gate units scored from 0 to 1 that the candidate was not trained on
    general: MeanDifference | None = None
    capped: float | None = None  # of the suite: its difference as “retained” takes it, where a gain is capped
    median: float | None = None  # of the suite: the median gate unit's difference in margins
    stopping: StoppingState | None = None  # None where all units were asked at once
    variant: Variant | None = None  # of a task or group that is a variant: in what it differs from which other
    examples: int = field(default=0, metadata=LATER)  # in the units compared, each of which is one or several
    repeated: int = field(default=0, metadata=LATER)  # examples that repeat another's question, and share its unit
    left_out: int = field(default=0, metadata=LATER)  # examples that no model was asked, because they do not fit
    # how the answers of both are spread, where a tenth of either's is out of the ordinary or one answer fits all
    base_answers: AnswerCounts | None = field(default=None, metadata=LATER)
    candidate_answers: AnswerCounts | None = field(default=None, metadata=LATER)
    unfit: UnfitShares | None = field(default=None, metadata=LATER)  # of gate units
    # of a task by a metric that has parts: what the scores of base and candidate are made of, by name
    base_parts: Mapping[str, float] = field(default_factory=dict, hash=False, metadata=LATER)
    candidate_parts: Mapping[str, float] = field(default_factory=dict, hash=False, metadata=LATER)
    human: HumanLevel | None = field(default=None, metadata=LATER)  # what people score by this metric, if stated
    engine_noise: EngineNoise | None = field(default=None, metadata=LATER)  # None where no placebo was measured

    @property
    def is_gate_unit(self) -> bool:
        """Is it a task or group that the gate looks at, and not the suite over them?"""
        return self.unit and self.level != Level.SUITE


def base_of(rows: Iterable[Comparison]) -> Estimate | None:
    """The base's score, by the first of its comparisons with several candidates that was measured."""
    return next((c.base for c in rows if c.base is not None), None)
