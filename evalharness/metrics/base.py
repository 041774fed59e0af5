"""The classes of metrics, and functions that read options and predictions for them.

A metric computes a row of a few numbers for each unit (an example, or several that count as one), and its score from
the sum of the rows. Most metrics are a `Mean` of one value per example; other functions of that sum are a `SumMetric`.
A metric that has no rows, but one number for all predictions, is `Opaque`.
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
    """The interface of a metric that computes one number from all predictions. It has no rows, so there is no
    interval.
    """

    def point(self, predictions: Sequence[Prediction]) -> float:
        """Return the metric's value for the predictions. Raises TaskError if it cannot be computed."""
        ...


@runtime_checkable
class SignedByExamples(Protocol):
    """The interface of a metric whose published signature depends on the examples (sacrebleu's `nrefs`)."""

    def signature_with(self, examples: Sequence[Example]) -> str: ...


@runtime_checkable
class ByUnit(Protocol):
    """The interface of a metric that computes a unit's row from all its predictions together, not as a sum over them.

    An example is the question whether all answers to a question are right.
    """

    def unit_row(self, predictions: Sequence[Prediction]) -> tuple[float, ...]:
        """Return the row of one unit, from all its predictions in the order of the data."""
        ...


@runtime_checkable
class OfAll(Protocol):
    """The interface of a metric whose rows can only be computed from all predictions together."""

    def unit_rows(self, predictions: Sequence[Prediction]) -> Mapping[str, tuple[float, ...]]:
        """Return the rows of all units, in the order of the data. Raises TaskError if they cannot be computed."""
        ...


@dataclass(frozen=True, slots=True)
class Observation:
    """The result of one test of a text.

    `check` is what was tested, `held` whether the text passes, and `seen` what the text has.
    """

    check: str
    held: bool
    seen: str = ""


# Tests a text, given the references of its row. Raises ValueError if these cannot be read.
Look = Callable[[Sequence[str], str], Sequence[Observation]]


@dataclass(frozen=True, slots=True)
class Mean:
    """A metric that is the mean of one value per example, computed by `value`.

    A row is (value, 1), the score the sum of values / count; 0 for a count of 0. `look` applies the tests of a text on
    which the value depends; None if there are none. `low` and `high` are the ends of the range of scores.
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
    """A metric whose score is computed from the sum of its rows.

    `read` makes the row of a prediction, `width` numbers, or raises TaskError. `of_sums` computes the scores (...) of
    sums of rows (..., width). `parts` computes the named parts of the score of one sum (width,); None if it has no
    parts. `low` and `high` are the ends of the range of scores.
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
    """Return the named parts of the score of one sum of rows (width,); {} if the metric has no parts."""
    return metric.parts(sums) if isinstance(metric, SumMetric) and metric.parts is not None else {}


def ratio(over: Floats, under: Floats) -> Floats:
    """Divide `over` by `under`, elementwise; 0 if `under` is 0 (no examples)."""
    over, under = np.broadcast_arrays(np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64))
    return np.divide(over, under, out=np.zeros(over.shape), where=under != 0)


@dataclass(frozen=True, slots=True)
class ScoredElsewhere:
    """An opaque metric after its run: its value is stored in the measurement and cannot be computed again."""

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
    """A metric whose `value` computes one number from all predictions. It has no rows, and so no interval."""

    value: Callable[[Sequence[Prediction]], float]

    def point(self, predictions: Sequence[Prediction]) -> float:
        return self.value(predictions)


def options_of(spec: MetricSpec, names: Iterable[str]) -> Mapping[str, Any]:
    """Return the options of a task's entry for a metric. Raises TaskError for one that is not in `names`, with the
    nearest name.
    """
    names = set(names)
    options = {
        key: value
        for key, value in spec.options.items()
        if key not in ("aggregation", "higher_is_better", "hf_evaluate")
    }
    for key in options:
        if key not in names:
            fix = did_you_mean(key, names) if names else "it takes none"
            raise TaskError(f"metric {spec.name}", f"unknown option {key!r}", fix)
    return options


def flag(spec: MetricSpec, options: Mapping[str, Any], key: str) -> bool:
    """Return a true-or-false option, false by default. Raises TaskError for anything else."""
    value = options.get(key, False)
    if not isinstance(value, bool):
        raise TaskError(f"metric {spec.name}", f"{key} is {value!r}", "true or false would be right")
    return value


def whole_number(
    spec: MetricSpec, options: Mapping[str, Any], key: str, usual: int, least: int, most: int | None
) -> int:
    """Return an option that is a whole number from `least` to `most` (None: no upper bound); `usual` if it is not
    stated.

    Raises TaskError for anything else.
    """
    value = options.get(key, usual)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= (value if most is None else most):
        end = "up" if most is None else f"to {most}"
        raise TaskError(
            f"metric {spec.name}", f"{key} is {value!r}", f"a whole number from {least} {end} would be right"
        )
    return value


def one_of(spec: MetricSpec, options: Mapping[str, Any], key: str, words: Sequence[str]) -> str:
    """Return an option that is one of some words; the first word if it is not stated. Raises TaskError for anything
    else.
    """
    value = options.get(key, words[0])
    if value not in words:
        raise TaskError(f"metric {spec.name}", f"{key} is {value!r}", f"{' or '.join(words)} would be right")
    return str(value)


def example_error(name: str, example: Example, what: str, fix: str) -> TaskError:
    """Return the error for an example that a metric cannot read."""
    return TaskError(f"metric {name}", f"example {example.id} {what}", fix)


def picked_choice(prediction: Prediction, name: str) -> int:
    """Return the index of the picked choice. Raises TaskError if the response is no ranking."""
    if prediction.choice is None or not isinstance(prediction.response, Ranking):
        raise example_error(name, prediction.example, "has no ranked choices", "it is for multiple_choice tasks")
    return prediction.choice


def choice_logprobs(prediction: Prediction, name: str, least: int = 1) -> Floats:
    """Return the summed log-probabilities of an example's choices, in nats. Raises TaskError if the response is no
    ranking, or for fewer than `least` choices.
    """
    picked_choice(prediction, name)
    choices, response = prediction.example.choices, prediction.response
    if len(choices) < least:
        what = f"has {len(choices)} choice{'s' * (len(choices) != 1)}"
        raise example_error(name, prediction.example, what, f"{least} or more would be right")
    return np.array(response.logprobs[: len(choices)] if isinstance(response, Ranking) else (), dtype=np.float64)


def written_text(prediction: Prediction, name: str) -> str | None:
    """Return the filtered text of a generation; None if the filter found none. Raises TaskError for other responses."""
    generation(prediction, name)
    return prediction.text


def generation(prediction: Prediction, name: str) -> Generation:
    """Return the response as a generation. Raises TaskError for other responses."""
    if not isinstance(prediction.response, Generation):
        raise example_error(name, prediction.example, "has no generated text", "it is for generate_until tasks")
    return prediction.response


def observation_metric(
    spec: MetricSpec, kind: MetricKind, signature: str, look: Look, value: Callable[[list[bool]], float]
) -> Mean:
    """Build a metric whose value depends on which of the tests `look` the written text passes."""

    def score(prediction: Prediction) -> float:
        text = written_text(prediction, spec.name) or ""
        try:
            observations = look(prediction.example.references, text)
        except ValueError as problem:
            raise example_error(
                spec.name,
                prediction.example,
                f"cannot be scored: {problem}",
                "docs/behaviour.md says what they look like",
            ) from None
        return value([each.held for each in observations])

    return Mean(spec.id, kind, f"{spec.name}|{signature}|v:1", score, look=look)


def all_true(results: list[bool]) -> float:
    """Return 1 if all tests pass, else 0."""
    return float(all(results))
