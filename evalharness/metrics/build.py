"""Build a metric from its spec, or from the facts stored with its rows.

`build` imports what the metric needs to read predictions. `from_facts` imports nothing heavy, to score stored rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evalharness import registry
from evalharness.errors import TaskError, did_you_mean
from evalharness.metrics import READS, REGISTRY, WITH_OPTIONS
from evalharness.metrics.base import Mean, ScoredElsewhere, SignedByExamples, SumMetric, options_of, ratio
from evalharness.records.measurements import Metric, MetricFacts, Prediction
from evalharness.records.requests import Example
from evalharness.records.tasks import MetricSpec, OutputType
from evalharness.stats.enums import MetricKind

# The `aggregation` that lm-eval's metric_list may state for each metric; any other value would be another metric.
# For other means: "mean".
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


def build(spec: MetricSpec) -> Metric:
    """Build the metric that a task's entry specifies. Raises TaskError for an unknown name or option, or for missing
    data.

    A name with a slash, and any name with `hf_evaluate: true`, is a module of the `evaluate` library.
    """
    name = "evaluate" if _is_module(spec.name, spec.options) else spec.name
    if name == "evaluate" and spec.name == "evaluate":
        raise TaskError("metric evaluate", "is a way, not a metric", "name the module and add `hf_evaluate: true`")
    if name not in (names := registry.names(REGISTRY, "metric")):
        hint = did_you_mean(spec.name, set(names) - {"evaluate"})
        raise TaskError(
            f"metric {spec.name}", "is unknown", f"{hint} A module of `evaluate` is asked for with `hf_evaluate: true`"
        )
    if name in REGISTRY and name not in WITH_OPTIONS:
        options_of(spec, ())
    make: Callable[[MetricSpec], Metric] = registry.find(REGISTRY, name, "metric")
    metric = make(spec)
    _refuse_other_meaning(spec, metric)
    return metric


def check_readable(spec: MetricSpec, output_type: OutputType) -> None:
    """Check that the metric can read the answers of a task of this type. Raises TaskError.

    Modules of `evaluate` are not checked.
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
    """Return the output types whose answers a metric can read. A metric of another package states them in `reads`."""
    if name in REGISTRY:
        return [output_type for output_type, metrics in READS.items() if name in metrics]
    stated = getattr(registry.find(REGISTRY, name, "metric"), "reads", ())
    if isinstance(stated, str) or not stated or not set(stated) <= set(READS):
        what = f"says in `reads` that it is for {stated!r}" if stated else "does not say in `reads` what it is for"
        raise TaskError(f"metric {name}", what, f"one or more of {', '.join(READS)} would be right")
    return list(stated)


def from_facts(facts: MetricFacts) -> Metric:
    """Build the metric that scores stored rows again.

    Binary and graded metrics and modules of `evaluate` are built without their library and cannot read predictions.
    """
    if facts.kind in (MetricKind.BINARY, MetricKind.GRADED):
        return Mean(facts.id, facts.kind, facts.signature, _no_value, *facts.ends, facts.higher_is_better)
    if facts.kind == MetricKind.OPAQUE:
        return ScoredElsewhere(facts.id, facts.signature, *facts.ends, facts.higher_is_better)
    if _is_module(facts.name, facts.options):
        return SumMetric(
            id=facts.id,
            signature=facts.signature,
            width=2,
            read=_no_row,
            of_sums=lambda sums: ratio(sums[..., 0], sums[..., 1]),
            low=facts.ends[0],
            high=facts.ends[1],
            higher_is_better=facts.higher_is_better,
        )
    return build(MetricSpec(id=facts.id, name=facts.name, options=facts.options))


def _is_module(name: str, options: Mapping[str, Any]) -> bool:
    """Return whether a metric is a module of the `evaluate` library, by its options or because its name is a path."""
    return bool(options.get("hf_evaluate")) or "/" in name


def facts_of(spec: MetricSpec, metric: Metric, examples: Sequence[Example] = ()) -> MetricFacts:
    """Return the facts of a metric that are stored with its rows.

    With `examples`, the signature includes the number of their references.
    """
    signed = examples and isinstance(metric, SignedByExamples)
    signature = metric.signature_with(examples) if signed else metric.signature  # type: ignore[attr-defined]
    return MetricFacts(
        id=metric.id,
        name=spec.name,
        options=dict(spec.options),
        kind=metric.kind,
        low=metric.low if math.isfinite(metric.low) else None,
        high=metric.high if math.isfinite(metric.high) else None,
        higher_is_better=metric.higher_is_better,
        signature=signature,
    )


def _refuse_other_meaning(spec: MetricSpec, metric: Metric) -> None:
    """Raise TaskError for an `aggregation` or `higher_is_better` that contradicts the metric of that name."""
    if _is_module(spec.name, spec.options):
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


def _no_row(prediction: Prediction) -> tuple[float, ...]:
    return (_no_value(prediction),)


def _no_value(prediction: Prediction) -> float:
    raise TypeError("a metric made from its facts can score rows, not read predictions; use build")
