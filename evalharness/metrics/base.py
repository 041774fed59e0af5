"""A metric's spec or its stored facts to the metric itself; and the mean of per-example values, which most metrics are.

`build` imports what the metric needs to read predictions. `from_facts` imports nothing heavy where rows only have to be
scored again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evalharness import registry
from evalharness.errors import TaskError, did_you_mean
from evalharness.metrics import READS, REGISTRY
from evalharness.records.measurements import Metric, MetricFacts, Prediction
from evalharness.records.requests import Example, Generation, Ranking
from evalharness.records.tasks import MetricSpec, OutputType
from evalharness.stats.enums import MetricKind

# What lm-eval's metric_list may say beside a metric's name without changing it; any other value would be another
# metric. Other means: "mean".
AGGREGATIONS = {
    "mcc": "matthews_corrcoef",
    "f1": "f1",
    "bleu": "bleu",
    "chrf": "chrf",
    "chrf++": "chrf++",
    "ter": "ter",
    "brier_score": "brier_score",
    "perplexity": "perplexity",
    "word_perplexity": "weighted_perplexity",
    "byte_perplexity": "weighted_perplexity",
    "bits_per_byte": "bits_per_byte",
}
PACKAGES = {
    "pycocoevalcap": "pycocoevalcap"
}  # what a metric may need that is not installed with this package: module -> what pip knows it as


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


@dataclass(frozen=True, slots=True)
class Mean:
    """A metric that is the mean of one value per example: rows (value, 1), score = sum of values / count, and 0 where
    the count is 0.
    """

    id: str
    kind: MetricKind
    signature: str
    value: Callable[[Prediction], float]
    low: float = 0.0
    high: float = 1.0
    higher_is_better: bool = True
    width: int = 2

    def row(self, prediction: Prediction) -> tuple[float, ...]:
        return (float(self.value(prediction)), 1.0)

    def score(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return ratio(sums[..., 0], sums[..., 1])


def ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """over / under elementwise, 0 where `under` is 0 (no examples), without warnings."""
    over, under = np.broadcast_arrays(np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64))
    return np.divide(over, under, out=np.zeros(over.shape), where=under != 0)


def build(spec: MetricSpec) -> Metric:
    """The metric that a task asks for. Raises TaskError for an unknown name, an unknown option, or a piece that is not
    installed.

    A name with a slash, and any name whose entry says `hf_evaluate: true`, is a module of the `evaluate` library.
    """
    name = "evaluate" if spec.options.get("hf_evaluate") or "/" in spec.name else spec.name
    if name == "evaluate" and spec.name == "evaluate":
        raise TaskError("metric evaluate", "is a way, not a metric", "name the module and add `hf_evaluate: true`")
    if name not in (known := registry.names(REGISTRY, "metric")):
        hint = did_you_mean(spec.name, set(known) - {"evaluate"})
        raise TaskError(
            f"metric {spec.name}", "is unknown", f"{hint} A module of `evaluate` is asked for with `hf_evaluate: true`"
        )
    try:
        make: Callable[[MetricSpec], Metric] = registry.find(REGISTRY, name, "metric")
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        what = f"needs the package {PACKAGES[error.name]}, which is not installed"
        raise TaskError(f"metric {spec.name}", what, f"pip install {PACKAGES[error.name]}") from None
    metric = make(spec)
    _refuse_other_meaning(spec, metric)
    return metric


def check_asked(spec: MetricSpec, output_type: OutputType) -> None:
    """Can the metric read what such a task is answered with? Raises TaskError. Modules of `evaluate` say so
    themselves.
    """
    if spec.options.get("hf_evaluate") or spec.name not in registry.names(REGISTRY, "metric"):
        return
    if output_type not in (readable := _output_types(spec.name)):
        raise TaskError(
            f"metric {spec.id}",
            f"cannot read the answers of a {output_type} task",
            f"it is for {' and '.join(readable)} tasks",
        )


def _output_types(name: str) -> list[str]:
    """The output types whose answers a metric can read; another package's states them in `reads`."""
    if name in REGISTRY:
        return [output_type for output_type, metrics in READS.items() if name in metrics]
    stated = getattr(registry.find(REGISTRY, name, "metric"), "reads", ())
    if isinstance(stated, str) or not stated or not set(stated) <= set(READS):
        what = f"says in `reads` that it is for {stated!r}" if stated else "does not say in `reads` what it is for"
        raise TaskError(f"metric {name}", what, f"one or more of {', '.join(READS)} would be right")
    return list(stated)


def from_facts(facts: MetricFacts) -> Metric:
    """The metric able to score stored rows again. Binary and graded metrics come back without their library and cannot
    read predictions.
    """
    if facts.kind in (MetricKind.BINARY, MetricKind.GRADED):
        return Mean(facts.id, facts.kind, facts.signature, _no_value, facts.low, facts.high, facts.higher_is_better)
    if facts.kind == MetricKind.OPAQUE:
        return ScoredElsewhere(facts.id, facts.signature, facts.low, facts.high, facts.higher_is_better)
    return build(MetricSpec(id=facts.id, name=facts.name, options=facts.options))


def facts_of(spec: MetricSpec, metric: Metric, examples: Sequence[Example] = ()) -> MetricFacts:
    """What has to be kept of a metric beside its rows; with `examples`, the signature also says how many references
    they have.
    """
    signed = examples and isinstance(metric, SignedByExamples)
    signature = metric.signature_with(examples) if signed else metric.signature  # type: ignore[attr-defined]
    return MetricFacts(
        id=metric.id,
        name=spec.name,
        options=dict(spec.options),
        kind=metric.kind,
        low=metric.low,
        high=metric.high,
        higher_is_better=metric.higher_is_better,
        signature=signature,
    )


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

    def score(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
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


def chosen(prediction: Prediction, name: str) -> int:
    """The index of the choice that a ranking prefers. Raises TaskError where nothing was ranked."""
    if prediction.choice is None or not isinstance(prediction.response, Ranking):
        raise TaskError(
            f"metric {name}",
            f"example {prediction.example.id} has no ranked choices",
            "it is for multiple_choice tasks",
        )
    return prediction.choice


def ranked(prediction: Prediction, name: str, least: int = 1) -> NDArray[np.float64]:
    """The summed log-probabilities of an example's choices, in nats. Raises TaskError where nothing was ranked, or
    fewer than `least` choices.
    """
    chosen(prediction, name)
    choices, response = prediction.example.choices, prediction.response
    if len(choices) < least:
        what = f"example {prediction.example.id} has {len(choices)} choice{'s' * (len(choices) != 1)}"
        raise TaskError(f"metric {name}", what, f"{least} or more would be right")
    return np.array(response.logprobs[: len(choices)] if isinstance(response, Ranking) else (), dtype=np.float64)


def written(prediction: Prediction, name: str) -> str | None:
    """The text read out of a generation, None where its filter found none. Raises TaskError where nothing was
    written.
    """
    if not isinstance(prediction.response, Generation):
        raise TaskError(
            f"metric {name}", f"example {prediction.example.id} has no generated text", "it is for generate_until tasks"
        )
    return prediction.text


def _refuse_other_meaning(spec: MetricSpec, metric: Metric) -> None:
    """Refuse an `aggregation` or `higher_is_better` that contradicts the metric of that name."""
    if spec.options.get("hf_evaluate") or "/" in spec.name:
        return
    aggregation = spec.options.get("aggregation")
    natural = AGGREGATIONS.get(spec.name, "mean" if metric.kind in (MetricKind.BINARY, MetricKind.GRADED) else None)
    if aggregation not in (None, natural):
        fix = f"{natural!r} would be right" if natural else "leave it out"
        raise TaskError(f"metric {spec.name}", f"aggregation {aggregation!r} is not what it is computed by", fix)
    better = spec.options.get("higher_is_better", metric.higher_is_better)
    if better is not metric.higher_is_better:
        raise TaskError(
            f"metric {spec.name}",
            f"higher_is_better is {better!r}",
            f"{str(metric.higher_is_better).lower()} would be right",
        )


def _no_value(prediction: Prediction) -> float:
    raise TypeError("a metric made from its facts can score rows, not read predictions; use build")
