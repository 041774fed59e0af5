"""Results: the models, comparisons, flips, drift and diagnoses of a run, and all of it together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evalharness.records.comparison import Comparison, Estimate
from evalharness.records.diagnosis import Diagnosis
from evalharness.records.measurements import ExampleError, Sample
from evalharness.records.models import REFERENCES, Kind
from evalharness.records.wordings import WordingSpread
from evalharness.stats.enums import RULE

LONGEST_REASON = 300  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model as results.json lists it.

    Sizes are None where nothing says them, as of a model behind a server or in another tool's log. `target_gain` and
    `learned_target` are None where the target is unknown or was not measured.
    """

    name: str
    kind: Kind
    fingerprint: str
    base: str | None  # name of the base in this run; None for the base itself
    parameters: int | None
    trainable: int | None
    trainable_share: float | None
    bytes: int | None
    target_task: str | None = None
    target_gain: Estimate | None = None
    learned_target: bool | None = None
    training: Mapping[str, Any] = field(default_factory=dict)  # how it was made, as far as its training.json says
    soft_prompt: Mapping[str, Any] = field(default_factory=dict)  # what is near to its virtual tokens

    @property
    def judged(self) -> bool:
        """Is it a candidate, of which it is asked what it forgot?"""
        return self.base is not None and self.kind not in REFERENCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """An example that base and candidate did not answer equally well; or did ("same"), where another candidate did
    not.
    """

    task: str
    candidate: str
    direction: Literal["lost", "gained", "same"]
    base: Sample
    sample: Sample


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftForecast:
    """What a suite will say of a candidate, forecast from its drift and a table of other candidates; it decides
    nothing.

    `change`: of the suite's mean over gate units in margins, + is better, with an interval of coverage `ci_level`; None
    where there is no forecast, as `reason` says. An interval of None where the table is too short for one. `kinds`: of
    text that it rests on; `table`: digest of the `n` lines that it was fitted on. `notes`: what makes it less sure.
    """

    model: str
    suite: str
    ci_level: float
    change: Estimate | None = None
    kinds: tuple[str, ...] = ()
    n: int = 0
    table: str = ""
    notes: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Results:
    """Everything that a run concluded. `flips` live in samples/, the rest in results.json. `verdict_rule`: the version
    of the rule by which the verdicts are given.
    """

    verdict_rule: int = RULE
    signature: Mapping[str, Any]
    models: tuple[ModelRow, ...]
    comparisons: tuple[Comparison, ...]
    errors: tuple[ExampleError, ...] = ()
    flips: tuple[Flip, ...] = ()
    drift: tuple[Drift, ...] = ()
    drift_forecasts: tuple[DriftForecast, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    wordings: tuple[WordingSpread, ...] = ()

    def __repr__(self) -> str:
        """In short: a notebook shows it, and all of it would be megabytes."""
        return self.shown(self.candidates)

    def shown(self, candidates: Sequence[str]) -> str:
        """The same with what else is said of each candidate."""
        tasks = len({row.task for row in self.comparisons if row.is_gate_unit})
        return f"Results({', '.join(candidates) or 'no candidates'}; {tasks} gate units, {len(self.errors)} errors)"

    @property
    def unanswered(self) -> str:
        """How many examples got no answer, and why the first did not, in at most LONGEST_REASON characters; "" where
        all got one.
        """
        if not self.errors:
            return ""
        return f"{len(self.errors)} examples got no answer: {self.errors[0].reason}"[:LONGEST_REASON]

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names of the candidates in the order of the models, then of those that only the comparisons know."""
        named = [model.name for model in self.models if model.judged] + [row.candidate for row in self.comparisons]
        references = {model.name for model in self.models if model.kind in REFERENCES}
        return tuple(name for name in dict.fromkeys(named) if name not in references)
