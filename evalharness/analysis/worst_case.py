"""Compute the worst score of each row over a task and its disturbed variants, as a task of its own.

After HELM's robustness (Liang et al. 2022, arXiv 2211.09110): for each instance the lowest score over the plain text
and all disturbed ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evalharness import fingerprint
from evalharness.records.measurements import Measurement, TaskFacts
from evalharness.records.requests import PreparedTask, row_of
from evalharness.records.tasks import Variant, VariantKind


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstCase:
    """The task `name` that was computed. `facts`: the task's. `measurements`: one for each model."""

    facts: tuple[TaskFacts, ...]
    measurements: tuple[Measurement, ...]


def worst_cases(
    computed: Mapping[str, Variant],
    prepared: Sequence[PreparedTask],
    facts: Sequence[TaskFacts],
    measurements: Sequence[Measurement],
) -> WorstCase:
    """Compute a task for every variant of kind "worst", in their order, by the metric that the variant names.

    A unit is left out if the task or a disturbed variant has no answer for it.
    """
    by_name, tasks = {fact.name: fact for fact in facts}, {each.task.name: each for each in prepared}
    table = {(m.task, m.metric, m.model): m for m in measurements}
    models = list(dict.fromkeys(m.model for m in measurements))
    all_facts, all_rows = [], []
    for name, variant in computed.items():
        if variant.kind is not VariantKind.WORST or variant.of not in by_name:
            continue
        ways = [by_name[variant.of], *(fact for fact in facts if _disturbs(fact, variant.of))]
        all_facts.append(_facts(name, variant, ways))
        sign = 1.0 if all_facts[-1].metrics[0].higher_is_better else -1.0
        for model in models:
            parts = [part for way in ways if (part := table.get((way.name, variant.metric, model))) is not None]
            if len(parts) == len(ways):
                all_rows.append(_lowest(name, parts, sign, keyed=tasks[variant.of].task.unit is not None))
    return WorstCase(facts=tuple(all_facts), measurements=tuple(all_rows))


def _disturbs(fact: TaskFacts, task: str) -> bool:
    variant = fact.variant
    return variant is not None and variant.of == task and variant.kind is VariantKind.DISTURBED


def _facts(name: str, variant: Variant, ways: Sequence[TaskFacts]) -> TaskFacts:
    plain = ways[0]
    failed = {model: sum(way.failed.get(model, 0) for way in ways) for way in ways for model in way.failed}
    of_metric = next(each for each in plain.metrics if each.id == variant.metric)
    signature = (
        f"{of_metric.signature}|worst:{'+'.join(way.variant.way for way in ways if way.variant and way.variant.beside)}"
    )
    return replace(
        plain,
        name=name,
        primary="",
        truncated=max(way.truncated for way in ways),
        failed=failed,
        unparsed={},
        answers={},
        prompts_digest=fingerprint.of_value([way.prompts_digest for way in ways]),
        metrics=(replace(of_metric, signature=signature),),
        variant=variant,
    )


def _lowest(name: str, parts: Sequence[Measurement], sign: float, keyed: bool) -> Measurement:
    """Return the worst row of each unit. Unit ids hold a digest of the prompt unless the task states a key, so rows of
    the data are matched by their index.
    """
    keys = [[unit if keyed else row_of(unit) for unit in part.units] for part in parts]
    rows = [
        dict(zip(key, zip(part.sizes, part.rows, strict=True), strict=True))
        for key, part in zip(keys, parts, strict=True)
    ]
    units, sizes, lowest = [], [], []
    for unit, key in zip(parts[0].units, keys[0], strict=True):
        ways = [of_way[key] for of_way in rows if key in of_way]
        if len(ways) < len(parts) or len({size for size, _ in ways}) > 1:
            continue
        units.append(unit)
        sizes.append(ways[0][0])
        lowest.append(min((row for _, row in ways), key=lambda row: sign * row[0]))
    width = parts[0].rows.shape[-1]
    return Measurement(
        task=name,
        metric=parts[0].metric,
        model=parts[0].model,
        units=tuple(units),
        sizes=tuple(sizes),
        rows=np.array(lowest, dtype=float).reshape(len(units), width),
    )
