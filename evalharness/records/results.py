"""What comparing found: estimates, comparisons with their verdicts, models as results list them, flips, drift,
diagnoses, and all of it together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evalharness.records.measurements import ExampleError, Sample
from evalharness.records.models import REFERENCES, Kind

Level = Literal["task", "group", "family", "suite"]


Adjustment = Literal["Holm", "Benjamini-Hochberg"]


Verdict = Literal["forgotten", "retained", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval; no interval (None) where the metric is opaque or there are too few units."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class FlipShares:
    """Shares of the compared units: that changed, got worse, got better. `forgotten`, `learned`: the same of answers
    that were known, lucky guesses
    taken out; None where it is not known how likely one is, and where fewer flipped than luck alone would make: the two
    models guess alike.
    """

    share: float
    lost: float
    gained: float
    forgotten: Estimate | None = None
    learned: Estimate | None = None


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """The plain mean of the differences of so many gate units, in natural points, with its interval."""

    value: float
    low: float | None
    high: float | None
    units: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a set of `population` units would show had all of it been answered, of which a random part was: the verdict
    on that very set, certain at level 1 − α, and the p-values of its two nulls. It says nothing of other questions, and
    no gate looks at it.
    """

    verdict: Verdict
    population: int
    p_forgotten: float
    p_retained: float


@dataclass(frozen=True, slots=True)
class Stopping:
    """How far a row's units were asked, where they are asked in rounds and no longer once a verdict is certain.

    `asked` of `planned` units, in `rounds` of `of` rounds; `stopped`: before the last. `p_forgotten` (adjusted by
    e-Holm over the gate units) and
    `p_retained`: of the e-processes alone, valid at whatever round one stops; None, like `certificate`, of rows that
    have none.
    """

    asked: int
    planned: int
    rounds: int
    of: int
    stopped: bool
    p_forgotten: float | None = None
    p_retained: float | None = None
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Candidate against base on one task, group, family or suite, by one metric; a row of results.json.

    Differences are oriented so that + is better. `unit`: this row is a gate unit. `verdict`, `margin` and the margin's
    p-values are None on rows that only describe (metrics that are not primary). `examples_needed` is None where the
    verdict is decided, or where the true difference seems to sit on the margin. What stands after `available`
    describes; it is None in results of older versions.
    """

    task: str
    family: str
    level: Level
    unit: bool
    metric: str
    primary: bool
    candidate: str
    n: int
    base: Estimate
    candidate_score: Estimate
    difference: Estimate
    ci_level: float
    lost: int | None
    gained: int | None
    p_forgotten: float | None
    p_forgotten_adjusted: float | None
    p_retained: float | None
    p_difference: float | None
    margin: float | None
    verdict: Verdict | None
    flags: tuple[str, ...]
    examples_needed: int | None
    available: int
    retention: Estimate | None = (
        None  # share of the base's score over chance that is left; None where that score is not significant
    )
    flips: FlipShares | None = None
    adjustment: Adjustment | None = (
        None  # Holm made p_forgotten_adjusted (gate units), Benjamini and Hochberg q_* (drill-downs)
    )
    q_forgotten: float | None = None
    q_difference: float | None = None
    general: MeanDifference | None = (
        None  # of the suite: over gate units scored from 0 to 1 that the candidate was not trained on
    )
    stopping: Stopping | None = None  # None where all units were asked at once


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model as results.json lists it. `target_gain` and `learned_target` are None where the target is unknown or was
    not measured.
    """

    name: str
    kind: Kind
    fingerprint: str
    base: str | None  # name of the base in this run; None for the base itself
    parameters: int
    trainable: int
    trainable_share: float
    bytes: int
    target_task: str | None = None
    target_gain: Estimate | None = None
    learned_target: bool | None = None
    training: Mapping[str, Any] = field(default_factory=dict)  # how it was made, as far as its training.json says

    @property
    def judged(self) -> bool:
        """Is it a candidate, of which it is asked what it forgot?"""
        return self.base is not None and self.kind not in REFERENCES


@dataclass(frozen=True, slots=True)
class Flip:
    """An example that base and candidate did not answer equally well."""

    task: str
    candidate: str
    direction: Literal["lost", "gained"]
    base: Sample
    sample: Sample


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a model's predictions on one kind of text are from its base's, per token; it warns, and decides nothing.

    `text`: "neutral", or "own outputs" of the base. Of `n` texts of `tokens` tokens (`failed`: texts that got no
    answer): `kl`, KL(base ‖ model) in nats, a lower bound unless `exact`; `agreement`, the share of tokens at which
    both expect the same one most; `cross_entropy_change`, the model's minus the base's, in nats (+ is worse). `rest`:
    the base's probability outside the `top_k` tokens looked at, on average.
    `rank`: 1 is the candidate that drifted most; None for references, and where `reason` says why nothing is known.
    """

    model: str
    text: str
    digest: str  # of the texts
    top_k: int
    ci_level: float
    n: int = 0
    tokens: int = 0
    failed: int = 0
    kl: Estimate | None = None
    exact: bool = False
    rest: float | None = None
    agreement: Estimate | None = None
    base_cross_entropy: float | None = None
    cross_entropy_change: Estimate | None = None
    rank: int | None = None
    reason: str = ""


Conclusion = Literal["knowledge", "format", "both", "unclear"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One number of base and candidate, by `metric` of the task that was asked. `difference` as in a Comparison."""

    name: str  # choosing, written, strict, unparsed, repetition, empty, length, cut, selection_bias, ece, brier_score
    task: str
    metric: str
    base: Estimate
    candidate: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True)
class WrittenFlips:
    """Where the written answers that are no longer right went, and where those that now are came from: counts of
    `answers`, net within a unit.

    `unreadable`, `wrong`: the parts of the written score's difference, (gained − lost) / answers each, which add up to
    it. `balance`: the first minus the second, below 0 where most of a loss is to texts that no answer can be read from.
    """

    answers: int
    lost_unreadable: int
    lost_wrong: int
    gained_unreadable: int
    gained_wrong: int
    unreadable: Estimate
    wrong: Estimate
    balance: Estimate


@dataclass(frozen=True, slots=True)
class Leaning:
    """The choice that a model picks most beyond how often it is right: shares of the examples."""

    choice: str
    picked: float
    right: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Over so many wordings, the task's own among them: the smallest and the largest score of base and candidate, and
    difference.
    """

    wordings: int
    base: tuple[float, float]
    candidate: tuple[float, float]
    difference: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a candidate lost on a choice task (or a group of them) whose answers were also asked to be written:
    knowledge, or the format.

    `twin`: under which name the written answers are compared. `says`: the conclusion and what it rests on, in words. It
    decides nothing.
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
    leaning: Mapping[str, Leaning] | None = None  # "base" and "candidate", where choices are the same for all examples
    spread: Spread | None = None


@dataclass(frozen=True, slots=True)
class Results:
    """Everything a run found. `flips` live in samples/, the rest in results.json."""

    signature: Mapping[str, Any]
    models: tuple[ModelRow, ...]
    comparisons: tuple[Comparison, ...]
    errors: tuple[ExampleError, ...] = ()
    flips: tuple[Flip, ...] = ()
    drift: tuple[Drift, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
