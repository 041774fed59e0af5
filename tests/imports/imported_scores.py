"""Score imported logs as `compare` does."""

from __future__ import annotations

from collections.abc import Sequence

from evalharness.imports.logged import ModelLog
from evalharness.imports.measurements import import_logs
from evalharness.metrics.build import from_facts
from evalharness.tasks.library import Library


def scores_of(logs: Sequence[ModelLog]) -> dict[tuple[str, str, str], float]:
    """The scores over all rows by model, task and metric. The first log is the base's."""
    imported = import_logs(logs[0], logs[1:], Library())
    metrics = {(fact.name, metric.id): from_facts(metric) for fact in imported.facts for metric in fact.metrics}
    return {
        (each.model, each.task, each.metric): float(metrics[each.task, each.metric].score(each.rows.sum(0)))
        for each in imported.measurements
    }
