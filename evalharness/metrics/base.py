"""The forms that metrics have, and what they read out of options and predictions.

Most metrics are a `Mean` of per-example values; other functions of summed rows are `SumMetric`, one number for all
predictions is `Opaque`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evalharness.errors import TaskError, did_you_mean
from evalharness.records.measurements import Metric, Prediction
from evalharness.records.requests import Example, Generation, Ranking
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind

Floats = NDArray[np.float64]


@runtime_checkable
class OpaqueMetric(Protocol):
    """A metric that is no function of summed rows: one number for all predictions, and no interval."""

    def point(self, predictions: Sequence[Prediction]) -> float:
        """The metric's value for the predictions. Raises TaskError where it cannot be computed."""
        ...


@runtime_checkable
class SignedByExamples(Protocol):
    """A metric whose published signature says something about the examples (sacrebleu's `nrefs`)."""

    def signature_with(self, examples: Sequence[Example]) -> str: ...


@runtime_checkable
class ByUnit(Protocol):
    """A metric whose row of a unit is no sum over its predictions (are all answers to a question right?)."""

    def unit_row(self, predictions: Sequence[Prediction]) -> tuple[float, ...]:
        """The row of one unit, from all its predictions in the order of the data."""
        ...


@runtime_checkable
class OfAll(Protocol):
    """A metric whose rows can only be computed of all predictions together."""

    def unit_rows(self, predictions: Sequence[Prediction]) -> Mapping[str, tuple[float, ...]]:
        """The row of every unit, in the order in which they first stand. Raises TaskError where there are none."""
        ...


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that was looked for in a text: what it was, whether the text has it, and what was seen of it."""

    check: str
    held: bool
    seen: str = ""


# What is looked for in a text, given the references of its row. Raises ValueError where these cannot be read.
Look = Callable[[Sequence[str], str], Sequence[Observation]]


@dataclass(frozen=True, slots=True)
class Mean:
    """A metric that is the mean of one value per example: rows (value, 1), score = sum of values / count, and 0 where
    the count is 0. `look`: of a value that stands on things looked for in a text.
    """

    id: str
    kind: MetricKind
    signature: str
    value: Callable[[Prediction], float]
    low: float = 0.0
    high: float = 1.0
    higher_is_better: bool = True
    width: int = 2
    look: Look | None = None

    def row(self, prediction: Prediction) -> tuple[float, ...]:
        return (float(self.value(prediction)), 1.0)

    def score(self, sums: Floats) -> Floats:
        return ratio(sums[..., 0], sums[..., 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class SumMetric:
    """A metric whose score is a function of summed rows. `read`: a prediction's row, `width` numbers, raising TaskError
    where it has none; `of_sums`: the scores (...) of summed rows (..., width); `parts`: what the score of one sum
    (width,) is made of, by name.
    """

    id: str
    signature: str
    width: int
    read: Callable[[Prediction], Iterable[float]]
    of_sums: Callable[[Floats], Floats]
    parts: Callable[[Floats], Mapping[str, float]] | None = None
    low: float = 0.0
    high: float = 1.0
    higher_is_better: bool = True
    kind: MetricKind = MetricKind.CORPUS

    def row(self, prediction: Prediction) -> tuple[float, ...]:
        return tuple(map(float, self.read(prediction)))

    def score(self, sums: Floats) -> Floats:
        return self.of_sums(np.asarray(sums, dtype=np.float64))


def parts_of(metric: Metric, sums: Floats) -> Mapping[str, float]:
    """What the score of a sum of rows (width,) is made of, by name; nothing of metrics that have no parts."""
    return metric.parts(sums) if isinstance(metric, SumMetric) and metric.parts is not None else {}


def ratio(over: Floats, under: Floats) -> Floats:
    """over / under elementwise, 0 where `under` is 0 (no examples), without warnings."""
    over, under = np.broadcast_arrays(np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64))
    return np.divide(over, under, out=np.zeros(over.shape), where=under != 0)


@dataclass(frozen=True, slots=True)
class ScoredElsewhere:
    """An opaque metric after the run: its point is in the measurement and cannot be computed again from rows."""

    id: str
    signature: str
    low: float
    high: float
    higher_is_better: bool = True
    kind: MetricKind = MetricKind.OPAQUE
    width: int = 0

    def row(self, prediction: Prediction) -> tuple[float, ...]:
        return ()

    def score(self, sums: Floats) -> Floats:
        raise TypeError(f"{self.id} is opaque: its value is the measurement's point")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque(ScoredElsewhere):
    """A metric that is no function of summed rows: `value` gives one number for all predictions. Raises what `value`
    raises.
    """

    value: Callable[[Sequence[Prediction]], float]

    def point(self, predictions: Sequence[Prediction]) -> float:
        return self.value(predictions)


def options_of(spec: MetricSpec, known: Iterable[str]) -> Mapping[str, Any]:
    """The options of an entry that its metric reads. Raises TaskError, with a suggestion, for one that it does not
    know.
    """
    known = set(known)
    options = {
        key: value
        for key, value in spec.options.items()
        if key not in ("aggregation", "higher_is_better", "hf_evaluate")
    }
    for key in options:
        if key not in known:
            fix = did_you_mean(key, known) if known else "it takes none"
            raise TaskError(f"metric {spec.name}", f"unknown option {key!r}", fix)
    return options


def flag(spec: MetricSpec, options: Mapping[str, Any], key: str) -> bool:
    """A true-or-false option, false where absent. Raises TaskError for anything else."""
    value = options.get(key, False)
    if not isinstance(value, bool):
        raise TaskError(f"metric {spec.name}", f"{key} is {value!r}", "true or false would be right")
    return value


def whole(spec: MetricSpec, options: Mapping[str, Any], key: str, usual: int, least: int, most: int | None) -> int:
    """An option that is a whole number from `least` to `most` (None: without end), `usual` where absent. Raises
    TaskError for anything else.
    """
    value = options.get(key, usual)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= (value if most is None else most):
        end = "up" if most is None else f"to {most}"
        raise TaskError(
            f"metric {spec.name}", f"{key} is {value!r}", f"a whole number from {least} {end} would be right"
        )
    return value


def one_of(spec: MetricSpec, options: Mapping[str, Any], key: str, known: Sequence[str]) -> str:
    """An option that is one of some words, the first where absent. Raises TaskError for anything else."""
    value = options.get(key, known[0])
    if value not in known:
        raise TaskError(f"metric {spec.name}", f"{key} is {value!r}", f"{' or '.join(known)} would be right")
    return str(value)


def refused(name: str, example: Example, what: str, fix: str) -> TaskError:
    """The error for an example that a metric cannot read."""
    return TaskError(f"metric {name}", f"example {example.id} {what}", fix)


def chosen(prediction: Prediction, name: str) -> int:
    """The index of the choice that a ranking prefers. Raises TaskError where nothing was ranked."""
    if prediction.choice is None or not isinstance(prediction.response, Ranking):
        raise refused(name, prediction.example, "has no ranked choices", "it is for multiple_choice tasks")
    return prediction.choice


def ranked(prediction: Prediction, name: str, least: int = 1) -> Floats:
    """The summed log-probabilities of an example's choices, in nats. Raises TaskError where nothing was ranked, or
    fewer than `least` choices.
    """
    chosen(prediction, name)
    choices, response = prediction.example.choices, prediction.response
    if len(choices) < least:
        what = f"has {len(choices)} choice{'s' * (len(choices) != 1)}"
        raise refused(name, prediction.example, what, f"{least} or more would be right")
    return np.array(response.logprobs[: len(choices)] if isinstance(response, Ranking) else (), dtype=np.float64)


def written(prediction: Prediction, name: str) -> str | None:
    """The text read out of a generation, None where its filter read none. Raises TaskError where there is none."""
    generation(prediction, name)
    return prediction.text


def generation(prediction: Prediction, name: str) -> Generation:
    """The response as it was written. Raises TaskError where nothing was."""
    if not isinstance(prediction.response, Generation):
        raise refused(name, prediction.example, "has no generated text", "it is for generate_until tasks")
    return prediction.response


def observing(
    spec: MetricSpec, kind: MetricKind, signature: str, look: Look, value: Callable[[list[bool]], float]
) -> Mean:
    """A metric that makes a value of whether each thing that it looks for is in the written text."""

    def score(prediction: Prediction) -> float:
        text = written(prediction, spec.name) or ""
        try:
            seen = look(prediction.example.references, text)
        except ValueError as problem:
            raise refused(
                spec.name,
                prediction.example,
                f"cannot be scored: {problem}",
                "docs/behaviour.md says what they look like",
            ) from None
        return value([each.held for each in seen])

    return Mean(spec.id, kind, f"{spec.name}|{signature}|v:1", score, look=look)


def all_held(held: list[bool]) -> float:
    """1 where everything that was looked for is there."""
    return float(all(held))
