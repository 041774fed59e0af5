"""The results of a run: its models, comparisons, flips, drift and diagnoses."""

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
    """One model in results.json.

    Sizes are None if they are unknown (of a model behind a server, or in another tool's log). `target_gain` and
    `learned_target` say how much it gained on its target, the task that it was trained on, and whether it learned it;
    None if the target is unknown or was not measured.
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
    training: Mapping[str, Any] = field(default_factory=dict)  # from its training.json
    soft_prompt: Mapping[str, Any] = field(default_factory=dict)  # the words nearest to its virtual tokens

    @property
    def judged(self) -> bool:
        """Return whether the model is a candidate that gets verdicts."""
        return self.base is not None and self.kind not in REFERENCES


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """An example of which base and candidate have answers of different worth.

    `direction` is the candidate's: "lost", "gained", or "same" if only another candidate's answer differs.
    """

    task: str
    candidate: str
    direction: Literal["lost", "gained", "same"]
    base: Sample
    sample: Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far a model's predictions on one kind of text are from its base's, per token. It decides nothing.

    `text` is the kind: "neutral", or "own outputs" of the base. There are `n` texts of `tokens` tokens in all, and
    `failed` texts without an answer. `kl` is KL(base ‖ model) in nats, a lower bound unless `exact`. `agreement` is
    the share of tokens at which both models' likeliest token is the same. `cross_entropy_change` is the model's minus
    the base's, in nats (+ is worse). `rest` is the base's mean probability outside the `top_k` tokens. `rank` is 1 for
    the candidate that drifted most; None for references, and if nothing is known, as `reason` says.
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
    """A candidate's result on a suite, forecast from its drift and from a table of other candidates. It decides
    nothing.

    `change` is the forecast mean over gate units (tasks and groups that the gate judges), in margins, + is better. Its
    interval has the coverage `ci_level`; the interval is None if the table is too short for one. `change` is None
    without a forecast, as `reason` says. `kinds` are the kinds of text that it rests on; `table` is the digest of the
    `n` lines that it was fitted on. `notes` say what makes it less sure.
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
    """Everything that a run concluded. `flips` are in samples/, the rest is in results.json.

    `verdict_rule` is the version of the rule by which verdicts are decided.
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
        """Return a summary: a notebook shows it, and all of it would be megabytes."""
        return self.summary(self.candidates)

    def summary(self, candidates: Sequence[str]) -> str:
        """Return one line that describes the run, with these texts for the candidates."""
        tasks = len({row.task for row in self.comparisons if row.is_gate_unit})
        return f"Results({', '.join(candidates) or 'no candidates'}; {tasks} gate units, {len(self.errors)} errors)"

    @property
    def unanswered(self) -> str:
        """Return the number of examples without an answer and the first one's reason, at most LONGEST_REASON
        characters; "" if all got one.
        """
        if not self.errors:
            return ""
        return f"{len(self.errors)} examples got no answer: {self.errors[0].reason}"[:LONGEST_REASON]

    @property
    def candidates(self) -> tuple[str, ...]:
        """Return the names of the candidates in the order of the models, then of those that only comparisons have."""
        names = [model.name for model in self.models if model.judged] + [row.candidate for row in self.comparisons]
        references = {model.name for model in self.models if model.kind in REFERENCES}
        return tuple(name for name in dict.fromkeys(names) if name not in references)
