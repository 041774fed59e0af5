"""Input and output of metrics: predictions, rows of sufficient statistics, and the facts that a comparison needs.

A row is a few numbers for each unit; a metric's score is computed from the sum of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evalharness.records import LATER
from evalharness.records.answers import AnswerCounts
from evalharness.records.requests import Example, Response
from evalharness.records.tasks import HumanLevel, Variant
from evalharness.stats.enums import MetricKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """All that a metric may read: the example, the response, and the answer extracted from it.

    `choice` is the index of the choice with the highest log-probability (of equals the first), `text` the filtered
    output of a generation. Each is None for responses of the other kind.
    """

    example: Example
    response: Response
    choice: int | None = None
    text: str | None = None
    unparsed: bool = False


class Metric(Protocol):
    """A metric: it computes a row of sufficient statistics for each unit, and a score from the weighted sum of rows.

    sacrebleu's metrics have this form inside. An opaque metric (one number for all predictions) has no rows, only a
    `point`.
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
        """Return the sufficient statistics of one prediction, `width` numbers; rows of a unit are added."""
        ...

    def score(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores (...), in the metric's natural unit, of summed rows (..., width)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The rows of one metric for one model on one task.

    `rows` is (n, width), in the order of `units`. An opaque metric has no rows (width 0) but its score, `point`.
    """

    task: str
    metric: str
    model: str
    units: tuple[str, ...]
    sizes: tuple[int, ...]  # examples in each unit
    rows: NDArray[np.float64]
    point: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFacts:
    """What a comparison must know of a metric to score the rows of measurements.parquet again, without the task.

    `options` are those of the task's entry. `low` and `high` are the ends of the range of scores; None if it is
    unbounded. `signature` identifies the exact definition, with library versions.
    """

    id: str
    name: str
    options: Mapping[str, Any]
    kind: MetricKind
    low: float | None
    high: float | None
    higher_is_better: bool
    signature: str

    @property
    def ends(self) -> tuple[float, float]:
        """Return the range of scores; infinite if it is unbounded."""
        return (-math.inf if self.low is None else self.low, math.inf if self.high is None else self.high)

    @property
    def span(self) -> float | None:
        """Return the width of the range, which is the largest possible loss; None: unbounded."""
        low, high = self.ends
        return high - low if math.isfinite(high - low) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """What a comparison must know of a task.

    `primary` is the id of the metric that decides, `margin` the largest loss that is tolerated, and `chance` the score
    of a model that knows nothing (None if unknown), all by that metric. `available` counts the units of the whole
    split, `truncated` the prompts that were cut to the window.
    """

    name: str
    family: str
    version: str
    primary: str
    margin: float
    chance: float | None
    available: int
    truncated: int
    failed: Mapping[str, int]  # model name -> examples that got no answer
    unparsed: Mapping[str, int]  # model name -> generations from which no answer could be extracted
    data_digest: str
    prompts_digest: str
    metrics: tuple[MetricFacts, ...]
    # model name -> digest of its prompts, where it is not `prompts_digest`
    prompts: Mapping[str, str] = field(default_factory=dict)
    planned: int = 0  # units of the full evaluation
    largest: int = 1  # examples in the largest of them
    # model name -> rounds that it was evaluated for, where it was stopped before the last
    rounds: Mapping[str, int] = field(default_factory=dict)
    partly: tuple[str, ...] = ()  # models evaluated only on the rows at which another task was stopped
    variant: Variant | None = None
    repeated: int = field(default=0, metadata=LATER)  # examples that repeat another's question; they share its unit
    # model name -> its answers, of tasks with choices or written answers
    answers: Mapping[str, AnswerCounts] = field(default_factory=dict, metadata=LATER)
    # models whose answers were decoded by other rules than the base's, of tasks with written answers
    decoded: tuple[str, ...] = field(default=(), metadata=LATER)
    human: HumanLevel | None = field(default=None, metadata=LATER)
    left_out: int = field(default=0, metadata=LATER)  # examples that were evaluated on no model: they do not fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One line of samples/TASK/MODEL.jsonl: one example, and the model's answer.

    `score` is the primary metric's value of this example alone; None for metrics of the whole corpus. `error` is why
    there is no answer, else None.
    """

    id: str
    unit: str
    prompt: str
    output: str
    reference: str
    score: float | None
    truncated: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleError:
    """Something that failed during the run; a run with errors is incomplete (exit code 5)."""

    task: str
    model: str
    example: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutcome:
    """What was measured of one model on one task.

    `unparsed` counts generations from which the primary metric's filter could extract no answer. `rounds` is the
    number of rounds evaluated if the task was stopped before the last, else None. `partly`: evaluated only on the rows
    at which another task was stopped. `answers` is None for tasks without choices and written answers.
    """

    measurements: tuple[Measurement, ...]
    samples: tuple[Sample, ...]
    errors: tuple[ExampleError, ...]
    unparsed: int
    rounds: int | None = None
    partly: bool = False
    answers: AnswerCounts | None = None
