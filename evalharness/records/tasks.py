"""Tasks as their files define them, groups of tasks, and suites of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from evalharness.records import LATER


class OutputType(StrEnum):
    """How a task is answered; the names are lm-eval's."""

    MULTIPLE_CHOICE = "multiple_choice"  # the likeliest of the choices
    LOGLIKELIHOOD = "loglikelihood"  # the likelihood of one continuation
    LOGLIKELIHOOD_ROLLING = "loglikelihood_rolling"  # the likelihood of a whole text
    GENERATE_UNTIL = "generate_until"  # a written answer


class VariantKind(StrEnum):
    """How a variant differs from the task or group that it is a variant of."""

    WORDING = "wording"  # another wording of the prompt
    WRITTEN = "written"  # the answer is written instead of chosen
    CHOSEN = "chosen"  # the same ranking, read by more metrics
    DISTURBED = "disturbed"  # its rows' texts are disturbed
    REPLACED = "replaced"  # words of its rows' texts are replaced: another dialect, other names
    WORST = "worst"  # computed: the worst of the task and its disturbances, row by row
    PART = "part"  # computed: the examples that a candidate saw in training, or those it did not


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What makes a task or group a variant of the task or group `of`.

    `way` is the name of the wording, disturbance or part; a wording is one way to put the question. `metric` is the id
    of the metric that corresponds to the primary one of `of`. `origin` is the library's task whose rows, shots and
    limits are used ("" for groups). `beside`: the variant is evaluated beside `of` and never judged; if false, it
    replaces `of`.
    """

    of: str
    way: str
    kind: VariantKind
    metric: str
    origin: str = ""
    beside: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanLevel:
    """The score that people reach by a metric, in its unit, and the source of that number. It decides nothing.

    `metric` is the metric's id, or the name of an average.
    """

    metric: str
    value: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One entry of a task's `metric_list`. `name` is its name in the registry, `id` what results show
    ("exact_match,strict").
    """

    id: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    filter: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task file, checked. `doc_to_*` and `description` are templates or names of columns, as in lm-eval.

    Keys that lm-eval has mean what they mean there. `sampler` is the way in which shots are drawn, `max_tokens` the
    largest number of new tokens of an answer, `stop` the strings that end it. `lm_eval` says whether lm-eval computes
    the same number from the file.
    """

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
    chance: float | None  # expected primary score of a model that knows nothing; None: unknown
    document: str | None  # the column that may be cut at its end when a prompt is too long
    unit: str | None  # template of the unit key; None: every example is its own unit
    reader: str | None
    tags: tuple[str, ...]
    lm_eval: Literal["same", "subset", "no"]
    digest: str  # of the definition after includes
    # the keys that differ for shots: "samples" (rows), doc_to_*, delimiters, gen_prefix
    shots: Mapping[str, Any] = field(default_factory=dict)
    unit_name: str = "example"  # what a unit is called
    variant_of: str | None = None  # the task of the library of which this one is a part or another form
    licence: str = ""
    value: str | None = None  # template of the number that is the answer
    choice_scores: str | None = None  # template of the worth of each choice
    labels: Mapping[str, str] = field(default_factory=dict)  # templates of the example's tags
    # other wordings: name -> the keys that differ
    templates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    twin: Mapping[str, Any] = field(default_factory=dict)  # the keys that differ where the answer is written
    stop_at_once: bool = False  # a stop string also ends an answer that is still empty, as in lm-eval
    too_long: Literal["error", "leave_out"] = "error"  # a row that does not fit into the window
    repeats: int = 1
    perturbation: str | None = None  # the disturbance of its rows' texts
    # of a disturbance that replaces words: word -> its substitutes
    substitutes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    variant: Variant | None = None  # of a task that a run makes from another one
    human: HumanLevel | None = None

    @property
    def takes_shots(self) -> bool:
        """Return whether the task can have few-shot examples. It cannot if a text is scored whole, or if the task
        lists no shots.
        """
        none = self.shots.get("samples") == () and not self.num_fewshot
        return self.output_type != OutputType.LOGLIKELIHOOD_ROLLING and not none

    @property
    def origin(self) -> str:
        """Name of the library's task whose rows, shots and limit it uses: its own, unless it is a variant."""
        return self.variant.origin if self.variant else self.name

    @property
    def beside(self) -> bool:
        """Return whether the task is a variant that only describes and is never judged."""
        return self.variant is not None and self.variant.beside


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Several tasks whose rows are pooled.

    `metric` is the id of the metric by which they are pooled, `margin` the tolerated loss by it. `unit`: the gate
    judges the group as a whole, and none of its members.
    """

    name: str
    tasks: tuple[str, ...]
    metric: str
    unit: bool
    margin: float
    family: str
    also: tuple[str, ...] = ()  # ids of more metrics by which the rows are pooled, to describe
    macro: bool = False  # every task weighs the same, however many examples it has
    variant: Variant | None = None  # where its tasks are variants
    human: HumanLevel | None = field(default=None, metadata=LATER)

    @property
    def beside(self) -> bool:
        """Return whether the group is a variant that only describes and is never judged."""
        return self.variant is not None and self.variant.beside


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Which tasks a run evaluates, and what it changes about them."""

    name: str
    tasks: tuple[str, ...]
    groups: tuple[Group, ...]
    limit: int | None
    num_fewshot: int | None
    split: str | None  # evaluate this split instead of each task's own
    margins: Mapping[str, float]
    data: str | None  # shipped folder of the rows ("fixtures/world/rows"); None: the user's data or the hub
    limits: Mapping[str, int] = field(default_factory=dict)  # task -> examples, instead of `limit`
    fewshots: Mapping[str, int] = field(default_factory=dict)  # task -> shots, instead of `num_fewshot`
    average: Average | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """A suite's published average: the plain mean over its entries.

    An entry ("mnli+mnli_mismatch": acc) is the mean over its tasks and metrics. `normalised`: scores are first put on
    a scale from chance (0) to best (1).
    """

    name: str
    over: Mapping[str, tuple[str, ...]]  # tasks joined by "+" -> metric ids
    normalised: bool = False
    human: HumanLevel | None = field(default=None, metadata=LATER)
