"""Take a base's scores from an earlier run in place of running it, once it is clear that it was asked the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalharness import results
from evalharness.errors import NotComparableError, UsageError
from evalharness.metrics.build import build, facts_of
from evalharness.records.measurements import Measurement, TaskFacts, TaskOutcome
from evalharness.records.models import EngineInfo, engine_differences
from evalharness.records.requests import PreparedTask
from evalharness.records.results import ModelRow

AGAIN = "evaluate the base again with this evalharness, engine and task files, or give --base instead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The base of a finished run: who it was, and what was measured of it by task."""

    path: Path  # the run's folder, or its measurements.parquet
    row: ModelRow
    engine: Mapping[str, Any]  # signature of what answered
    definitions: Mapping[str, str]  # task to the digest of its definition
    facts: Mapping[str, TaskFacts]
    measurements: Mapping[str, tuple[Measurement, ...]]
    questions: Mapping[str, str]  # task to the digest of what was asked, in whatever form
    template: str | None  # fingerprint of the chat template by which it was asked

    @property
    def name(self) -> str:
        return self.row.name


def read(path: Path) -> Baseline:
    """The base of the run at `path`. Raises UsageError where nothing can be read there."""
    run = results.read_measurements(path)
    name, tasks = run.plan.base, run.signature["tasks"]
    row = next((model for model in run.models if model.name == name), None)
    if row is None:
        raise UsageError(path, "does not say whose scores these are", "name the folder of a finished run")
    return Baseline(
        path=path,
        row=replace(row, base=None),
        engine=run.signature["engine"],
        definitions={task: facts["definition"] for task, facts in tasks.items()},
        facts={fact.name: fact for fact in run.facts},
        measurements={
            fact.name: tuple(m for m in run.measurements if (m.model, m.task) == (name, fact.name))
            for fact in run.facts
        },
        questions={task: str(facts.get("questions")) for task, facts in tasks.items()},
        template=(run.signature.get("chat") or {}).get("templates", {}).get(name),
    )


def measured(baseline: Baseline, prepared: Sequence[PreparedTask], info: EngineInfo) -> list[TaskOutcome]:
    """The base's measurements in the order of `prepared`, with its samples where the run's folder has them.

    Raises NotComparableError where the base was asked something else, answered by another engine, or did not answer
    everything.
    """
    if baseline.engine["fingerprint"] != info.fingerprint:
        differ = engine_differences(baseline.engine, info.signature) or "what differs is not recorded"
        raise NotComparableError(baseline.path, f"the base was answered by another engine ({differ})", AGAIN)
    return [_of_task(baseline, task) for task in prepared]


def _of_task(baseline: Baseline, prepared: PreparedTask) -> TaskOutcome:
    name, where = prepared.task.name, f"{baseline.path}: {prepared.task.name}"
    facts = baseline.facts.get(name)
    if facts is None:
        raise NotComparableError(where, "the base was not evaluated on this task", AGAIN)
    if facts.prompts_digest != prepared.prompts_digest:
        raise NotComparableError(
            where, "not the same prompts (task file, data, shots, limit, seed or window differ)", AGAIN
        )
    if baseline.name in facts.rounds:
        raise NotComparableError(where, "the base was not asked all of it there (it was stopped early)", AGAIN)
    if facts.failed.get(baseline.name):
        raise NotComparableError(where, f"the base failed on {facts.failed[baseline.name]} examples", AGAIN)
    by_metric = {measurement.metric: measurement for measurement in baseline.measurements.get(name, ())}
    signatures = {metric.id: metric.signature for metric in facts.metrics}
    wanted = {spec.id: facts_of(spec, build(spec), prepared.examples).signature for spec in prepared.task.metrics}
    if any(signatures.get(metric) != signature for metric, signature in wanted.items()):
        raise NotComparableError(where, "the base was scored by other metrics, or other versions of them", AGAIN)
    if baseline.definitions[name] != prepared.task.digest:
        raise NotComparableError(where, "the base was scored by another version of the task file", AGAIN)
    absent = [spec.id for spec in prepared.task.metrics if spec.id not in by_metric]
    if absent:
        raise NotComparableError(where, f"the base was not scored by {', '.join(absent)}", AGAIN)
    samples = results.read_samples(baseline.path, name, baseline.name) if baseline.path.is_dir() else []
    scores = tuple(by_metric[spec.id] for spec in prepared.task.metrics)
    return TaskOutcome(
        measurements=scores,
        samples=tuple(samples),
        errors=(),
        unparsed=facts.unparsed.get(baseline.name, 0),
        answers=facts.answers.get(baseline.name),
    )
