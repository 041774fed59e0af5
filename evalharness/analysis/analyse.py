"""Turn the measurements of a run into `Results`. It is the only place that makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalharness.analysis.average import with_average
from evalharness.analysis.baseline import MIXED
from evalharness.analysis.comparison import compare, target_gain
from evalharness.analysis.diagnosis import diagnose
from evalharness.analysis.overlap_split import overlap_rows
from evalharness.analysis.wording_spread import wording_spreads
from evalharness.records.comparison import Comparison, Flag
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.results import ModelRow, Results
from evalharness.stats.enums import RULE, RULE_WITH_NOISE


def analyse(run: MeasuredRun) -> Results:
    """Compare every candidate with its base, give verdicts, and diagnose what was lost.

    It also compares scores by overlap with the training rows, and by the wording of the prompts. Raises
    NotComparableError if two models did not get the same prompts, TaskError if the tasks of a group that the gate
    judges cannot be pooled.
    """
    compared = compare(run.facts, run.measurements, run.plan, run.placebo)
    comparisons = with_average(compared, run.facts, run.plan.average, run.plan.suite_name)
    comparisons = tuple(_mixed(row, run.signature) for row in comparisons)
    widened = any(row.engine_noise and row.engine_noise.widened_by for row in comparisons)
    return Results(
        verdict_rule=RULE_WITH_NOISE if widened else RULE,
        signature=run.signature,
        models=tuple(_with_gain(model, run, comparisons) for model in run.models),
        comparisons=(*comparisons, *overlap_rows(run)),
        errors=run.errors,
        drift=run.drift,
        drift_forecasts=run.drift_forecasts,
        diagnoses=diagnose(run, comparisons),
        wordings=wording_spreads(run, comparisons),
    )


def _mixed(row: Comparison, signature: Mapping[str, Any]) -> Comparison:
    """Flag a row if different engines answered for its base and its candidate."""
    others = signature.get(MIXED) or {}
    base, candidate = (others.get(name, {}).get("fingerprint") for name in (signature.get("base"), row.candidate))
    return replace(row, flags=(*row.flags, Flag.MIXED_ENGINES)) if row.n and base != candidate else row


def _with_gain(model: ModelRow, run: MeasuredRun, comparisons: Sequence[Comparison]) -> ModelRow:
    """Add to a candidate its gain on its target (the task that it was trained on), if that was compared."""
    if model.base is None or model.target_task is None:
        return model
    gain, learned = target_gain(comparisons, model.name, model.target_task, run.facts)
    return replace(model, target_gain=gain, learned_target=learned)
