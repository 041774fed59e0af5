"""The nouns: every value that passes from one stage to the next. Frozen; no behaviour beyond what their content implies.

Task ─rows→ Example ─prompt→ Request ─engine→ Response ─read out→ Prediction ─metric→ Measurement ─pair→ Comparison → Results
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from evalharness import fingerprint

OutputType = Literal["multiple_choice", "loglikelihood", "loglikelihood_rolling", "generate_until"]
Kind = str  # "base", "full", how an adapter works ("lora", "prompt", "ia3", …: checkpoints.kinds), or one of REFERENCES
Architecture = Literal["causal", "seq2seq"]  # decoder-only, or encoder-decoder
REFERENCES = ("placebo", "unquantised")  # kinds of models that are measured beside the candidates, described, and never judged
Level = Literal["task", "group", "family", "suite"]
Adjustment = Literal["Holm", "Benjamini-Hochberg"]
Verdict = Literal["forgotten", "retained", "inconclusive"]
MetricKind = Literal["binary", "graded", "corpus", "opaque"]


# ---- what is asked ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One entry of a task's `metric_list`. `name` is the registry's; `id` is what results show ("exact_match,strict")."""

    id: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    filter: str = "none"


@dataclass(frozen=True, slots=True)
class Task:
    """One YAML file, checked. Strings under `doc_to_*` and `description` are templates or column names, as lm-eval has them."""

    name: str
    version: str
    family: str
    output_type: OutputType
    source: Path
    dataset_path: str
    dataset_name: str | None
    dataset_kwargs: Mapping[str, Any]
    evaluation_split: str
    fewshot_split: str | None
    training_split: str | None
    validation_split: str | None
    doc_to_text: str
    doc_to_target: str | int | tuple[Any, ...]
    doc_to_choice: str | tuple[str, ...] | None
    description: str
    target_delimiter: str
    fewshot_delimiter: str
    gen_prefix: str
    num_fewshot: int
    sampler: Literal["seeded", "first_n", "per_example"]
    max_tokens: int
    stop: tuple[str, ...]
    filters: tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...]  # (pipeline name, its steps)
    metrics: tuple[MetricSpec, ...]
    primary: str  # id of the metric that decides
    margin: float  # delta, in the primary metric's natural unit
    chance: float  # expected primary score of a model that knows nothing
    document: str | None  # the column that may be cut at its end when a prompt is too long
    unit: str | None  # template of the unit key; None: every example is its own unit
    reader: str | None
    tags: tuple[str, ...]
    lm_eval: Literal["same", "subset", "no"]
    digest: str  # of the definition after includes
    shots: Mapping[str, Any] = field(default_factory=dict)  # what differs for shots: "samples" (rows), doc_to_*, delimiters, gen_prefix
    unit_name: str = "example"  # what a unit is called
    variant_of: str | None = None  # the task of which this is a part, or another way of asking
    licence: str = ""
    value: str | None = None  # template of the number that the row asks for
    choice_scores: str | None = None  # template of what each choice is worth
    labels: Mapping[str, str] = field(default_factory=dict)  # templates of the example's tags
    templates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # other wordings: name -> the keys that differ
    twin: Mapping[str, Any] = field(default_factory=dict)  # the keys that differ where the answer is to be written
    repeats: int = 1
    perturbation: str | None = None  # how the texts of its rows are disturbed


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks whose rows are pooled. `unit`: the group is one gate unit and its members are none."""

    name: str
    tasks: tuple[str, ...]
    metric: str
    unit: bool
    margin: float
    family: str
    also: tuple[str, ...] = ()  # ids of more metrics by which the rows are pooled, to describe
    macro: bool = False  # every task weighs the same, however many examples it has


@dataclass(frozen=True, slots=True)
class Suite:
    """Which tasks a run evaluates, and what it changes about them. `margin` is the suite unit's, in units of skill."""

    name: str
    tasks: tuple[str, ...]
    groups: tuple[Group, ...]
    limit: int | None
    num_fewshot: int | None
    split: str | None  # evaluate this split instead of each task's own
    margin: float
    margins: Mapping[str, float]
    data: str | None  # a shipped folder that holds the rows ("fixtures/world/rows"); None: the user's data or the hub
    limits: Mapping[str, int] = field(default_factory=dict)  # task -> examples, instead of `limit`
    fewshots: Mapping[str, int] = field(default_factory=dict)  # task -> shots, instead of `num_fewshot`
    average: Average | None = None


@dataclass(frozen=True, slots=True)
class Average:
    """A suite's published average: the plain mean over entries, an entry ("mnli+mnli_mismatch": acc) being the mean over its tasks and metrics.

    `normalised`: scores are first put on a scale from chance (0) to best (1).
    """

    name: str
    over: Mapping[str, tuple[str, ...]]  # tasks joined by "+" -> metric ids
    normalised: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """One rendered row. What counts as right is known here and only here.

    `id` is "index-digest", the digest being of the rendered content, so that equal ids mean the same question asked the same way.
    `choices` and `gold` belong to ranked tasks (gold: indices that count as right; `scores`: what each choice is worth, () where gold says
    it all; `value`: the number asked for), `references` to generated ones and to texts that are scored whole.
    """

    id: str
    unit: str
    prompt: str
    choices: tuple[str, ...] = ()
    gold: tuple[int, ...] = ()
    references: tuple[str, ...] = ()
    truncated: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    scores: tuple[float, ...] = ()
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Rank:
    """Ask for log P(continuation | context) of every (context, continuation) pair of one example."""

    pairs: tuple[tuple[str, str], ...]

    @property
    def id(self) -> str:
        return fingerprint.of_value(["rank", self.pairs])


@dataclass(frozen=True, slots=True)
class Generate:
    """Ask for a greedy continuation, cut before the first of the `stop` strings, of at most `max_tokens` new tokens."""

    prompt: str
    stop: tuple[str, ...]
    max_tokens: int

    @property
    def id(self) -> str:
        return fingerprint.of_value(["generate", self.prompt, self.stop, self.max_tokens])


@dataclass(frozen=True, slots=True)
class Score:
    """Ask for log P(text), a text longer than the window in pieces."""

    text: str

    @property
    def id(self) -> str:
        return fingerprint.of_value(["score", self.text])


@dataclass(frozen=True, slots=True)
class Profile:
    """Ask, token by token, what is expected in `text`: after `context`, or ("") from its beginning, in pieces of at most `room` tokens.

    `top_k`: how many of the likeliest tokens to name at each place. `at` (token by token): ask for these tokens' log-probabilities instead.
    """

    text: str
    top_k: int
    context: str = ""
    room: int | None = None
    at: tuple[tuple[int, ...], ...] = ()

    @property
    def id(self) -> str:
        return fingerprint.of_value(["profile", self.text, self.top_k, self.context, self.room, self.at])


Request = Rank | Generate | Score | Profile


@dataclass(frozen=True, slots=True)
class Ranking:
    """Answer to Rank, one entry a pair: summed log-probability in nats, tokens in the continuation, is it what greedy decoding gives."""

    request_id: str
    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]
    greedy: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """Answer to Generate: the text, why it ended ("stop": a stop string, "eos", "length"), and the number of new tokens."""

    request_id: str
    text: str
    finish_reason: Literal["stop", "eos", "length"]
    tokens: int


@dataclass(frozen=True, slots=True)
class Scoring:
    """Answer to Score: summed log-probability of the text in nats, and its number of tokens."""

    request_id: str
    logprob: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Profiling:
    """Answer to Profile, one entry a token of the text: its id, its log-probability in nats, and the likeliest token's id.

    `ids`, the likeliest tokens first, and `top`, their log-probabilities; where certain tokens were asked for, `ids` is () and `top` theirs.
    `rest`: log-probability of all other tokens together, None where there are none. Rounded to 1e-9.
    """

    request_id: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    argmax: tuple[int, ...]
    ids: tuple[tuple[int, ...], ...]
    top: tuple[tuple[float, ...], ...]
    rest: tuple[float | None, ...]


Response = Ranking | Generation | Scoring | Profiling


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that got no answer, and why. It is never stored and never scored."""

    request_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task made ready for any model. `requests[i]` asks `examples[i]`; `failures` are rows that could not be asked."""

    task: Task
    examples: tuple[Example, ...]
    requests: tuple[Request, ...]
    failures: tuple[tuple[str, str], ...]  # (example id, reason)
    available: int  # units the evaluation split holds, before any limit
    data_digest: str
    prompts_digest: str
    chance: float  # primary score that guessing among the choices of these very examples would have; the task's own where that is not known


# ---- who answers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One model as files. `fingerprint` is of content (weights, configs, adapter, tokenizer, template) and precision, never of name or path."""

    name: str
    kind: Kind
    path: Path
    base: Path | None  # the base's directory, for candidates
    fingerprint: str
    parameters: int  # of the whole model as it answers
    trainable: int  # of those, how many the candidate's training could change
    bytes: int  # what has to be stored for this candidate beside its base
    window: int | None  # positions the model has; None: no limit known
    virtual_tokens: int = 0
    target_task: str | None = None  # what it was trained on, from training.json or --target
    architecture: Architecture = "causal"
    adapter: str = ""  # peft's type of an adapter ("LORA", "PREFIX_TUNING", …), "PLACEBO" of one that changes nothing; "": full weights
    precision: str = ""  # how its weights (an adapter's base's) are quantised: "nf4", "int8", …; "": not
    adapter_task: int | None = None  # which task's prompt answers, of an adapter that learned several
    training: Mapping[str, Any] = field(default_factory=dict)  # what training.json says of its making: method, learning_rate, rank, seconds, …

    @property
    def weights(self) -> Path:
        """The directory of the full weights that answer: an adapter's base's, else its own."""
        return self.base if self.adapter and self.base is not None else self.path


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How to run a model. `batch_tokens` bounds rows × length of one forward pass."""

    engine: str = "hf"
    device: str = "auto"
    dtype: str = "float32"
    batch_size: int = 16
    batch_tokens: int = 2048


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What can move a number, and its fingerprint: algorithm version, device, dtype, attention, batch plan, threads, library versions."""

    name: str
    details: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        return fingerprint.of_value([self.name, dict(self.details)])


# ---- what was found --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prediction:
    """All that a metric may see: the example, the response, and the answer read out of it.

    `choice`: index of the ranked choice with the highest log-probability (first of equals); `text`: the filtered output of a generation.
    """

    example: Example
    response: Response
    choice: int | None = None
    text: str | None = None
    unparsed: bool = False


class Metric(Protocol):
    """A row of sufficient statistics per unit, and a function of their weighted sum (the form sacrebleu's metrics have inside).

    `kind`: "binary" rows are (0 or 1, 1) and the score their ratio; "graded" the same with values in [low, high]; "corpus": `score` is any
    function of the summed row; "opaque": no rows, only `point`.
    """

    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> MetricKind: ...
    @property
    def width(self) -> int: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def higher_is_better(self) -> bool: ...
    @property
    def signature(self) -> str: ...

    def row(self, prediction: Prediction) -> tuple[float, ...]:
        """The sufficient statistics of one prediction, `width` numbers; rows of a unit are added."""
        ...

    def score(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Summed rows (..., width) to scores (...), in the metric's natural unit."""
        ...


@dataclass(frozen=True, slots=True)
class Measurement:
    """One model's rows of one metric on one task. `rows` is (n, width) in the order of `units`; opaque metrics have width 0 and `point`."""

    task: str
    metric: str
    model: str
    units: tuple[str, ...]
    sizes: tuple[int, ...]  # examples in each unit
    rows: NDArray[np.float64]
    point: float | None = None


@dataclass(frozen=True, slots=True)
class MetricFacts:
    """What a comparison must know of a metric without importing the task: enough to score rows again from measurements.parquet."""

    id: str
    name: str
    options: Mapping[str, Any]
    kind: MetricKind
    low: float
    high: float
    higher_is_better: bool
    signature: str


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What a comparison must know of a task."""

    name: str
    family: str
    version: str
    primary: str
    margin: float
    chance: float
    available: int
    truncated: int
    failed: Mapping[str, int]  # model name -> examples that got no answer
    unparsed: Mapping[str, int]  # model name -> generations no answer could be read from
    data_digest: str
    prompts_digest: str
    metrics: tuple[MetricFacts, ...]
    prompts: Mapping[str, str] = field(default_factory=dict)  # model name -> digest of its prompts, where it is not `prompts_digest`


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval; no interval (None) where the metric is opaque or there are too few units."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class FlipShares:
    """Shares of the compared units: that changed, got worse, got better. `forgotten`, `learned`: the same of answers that were known, lucky guesses
    taken out; None where it is not known how likely one is, and where fewer flipped than luck alone would make: the two models guess alike."""

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
class Comparison:
    """Candidate against base on one task, group, family or suite, by one metric; a row of results.json.

    Differences are oriented so that + is better. `unit`: this row is a gate unit. `verdict`, `margin` and the margin's p-values are
    None on rows that only describe (metrics that are not primary). `examples_needed` is None where the verdict is decided, or where
    the true difference seems to sit on the margin. What stands after `available` describes; it is None in results of older versions.
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
    retention: Estimate | None = None  # share of the base's score over chance that is left; None where that score is not significant
    flips: FlipShares | None = None
    adjustment: Adjustment | None = None  # Holm made p_forgotten_adjusted (gate units), Benjamini and Hochberg q_* (drill-downs)
    q_forgotten: float | None = None
    q_difference: float | None = None
    general: MeanDifference | None = None  # of the suite: over gate units scored from 0 to 1 that the candidate was not trained on


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model as results.json lists it. `target_gain` and `learned_target` are None where the target is unknown or was not measured."""

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
class Sample:
    """One line of samples/TASK/MODEL.jsonl. `score` is the primary metric's value of this example alone (None for corpus metrics)."""

    id: str
    unit: str
    prompt: str
    output: str
    reference: str
    score: float | None
    truncated: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Flip:
    """An example that base and candidate did not answer equally well."""

    task: str
    candidate: str
    direction: Literal["lost", "gained"]
    base: Sample
    sample: Sample


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that failed during the run; a run with troubles is incomplete (exit code 5)."""

    task: str
    model: str
    example: str
    reason: str


@dataclass(frozen=True, slots=True)
class Drift:
    """How far a model's predictions on one kind of text are from its base's, per token; it warns, and decides nothing.

    `text`: "neutral", or "own outputs" of the base. Of `n` texts of `tokens` tokens (`failed`: texts that got no answer): `kl`, KL(base ‖ model) in
    nats, a lower bound unless `exact`; `agreement`, the share of tokens at which both expect the same one most; `cross_entropy_change`, the
    model's minus the base's, in nats (+ is worse). `rest`: the base's probability outside the `top_k` tokens looked at, on average.
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


@dataclass(frozen=True, slots=True)
class Results:
    """Everything a run found. `flips` live in samples/, the rest in results.json."""

    signature: Mapping[str, Any]
    models: tuple[ModelRow, ...]
    comparisons: tuple[Comparison, ...]
    troubles: tuple[Trouble, ...] = ()
    flips: tuple[Flip, ...] = ()
    drift: tuple[Drift, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """The parsed command line of `run`. `models` and `base` are as typed: [NAME=]PATH or [NAME=]HUB_ID[@REV]."""

    models: tuple[str, ...]
    out: Path
    store: Path
    base: str | None = None
    baseline: Path | None = None  # an earlier run whose base's scores stand in for running the base
    suite: str | None = None
    tasks: tuple[str, ...] = ()
    target: str | None = None
    data_dir: Path | None = None
    data: Mapping[str, Path] = field(default_factory=dict)
    include: tuple[Path, ...] = ()
    limit: int | None = None
    num_fewshot: int | None = None
    split: str | None = None  # evaluate this split instead of each task's own ("validation", to select on)
    seed: int = 1234
    margin: float | None = None  # of every task whose primary metric is on a 0-1 scale
    margins: Mapping[str, float] = field(default_factory=dict)  # of a task, a group, or (under its name) the suite
    alpha: float = 0.05
    allow_noop: bool = False
    placebo: bool = False  # measure the base through an adapter that changes nothing, too: the noise floor
    precision: str | None = None  # of the base and adapters on it ("nf4", "int8", "none"); None: the candidates' own
    train_data: Mapping[str, Path] = field(default_factory=dict)  # candidate ("" for all) -> the rows it was fine-tuned on
    templates: str | None = None  # a wording to ask in instead of each task's own, or "all": every wording beside it
    drift: bool = False  # how far the candidates' predictions are from the base's, beside the verdicts
    drift_text: Path | None = None  # neutral text to see it on, instead of ours
    describe: tuple[str, ...] = ()  # what is measured beside the verdicts: calibration, robustness, generation, bias, efficiency
    apply_chat_template: bool | Literal["all", "candidates"] = False  # True, "all": to every model its own; "candidates": the base plainly
    system_instruction: str | None = None  # what stands before each task's description
    fewshot_as_multiturn: bool | None = None  # under a template, shots as turns of their own; None: yes
    chat_template_mismatch: Literal["refuse", "allow"] = "refuse"  # base and candidates that are asked by different templates
    settings: EngineSettings = EngineSettings()
