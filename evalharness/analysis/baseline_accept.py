"""Write a model's scores from a run into a baseline file, and say what that changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from evalharness import fingerprint
from evalharness.analysis.baseline import units_digest
from evalharness.analysis.baseline_file import (
    ASKED,
    OF_MODEL,
    AcceptedScores,
    BaselineFile,
    ScoredTask,
    read_file,
    text_of,
)
from evalharness.analysis.gate_units import subjects
from evalharness.analysis.row_packing import as_packed
from evalharness.errors import NotComparableError, UsageError, did_you_mean
from evalharness.metrics.build import from_facts
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import Measurement, MetricFacts, TaskFacts
from evalharness.records.models import engine_differences
from evalharness.records.results import ModelRow
from evalharness.results import read_measurements, write_text


def accept(run: str | Path, file: str | Path, candidate: str | None = None) -> list[str]:
    """Write the scores of a run's base into a baseline file, or those of a candidate beside the original base. Return
    lines that say what that changes.

    Raises UsageError for a missing run or model. Raises NotComparableError if the model did not answer everything, if a
    candidate's prompts differ from the original base's, and if the existing file is damaged.
    """
    measured, path = read_measurements(Path(run)), Path(file)
    name = candidate or measured.plan.base
    if name not in (names := (measured.plan.base, *measured.plan.candidates)):
        raise UsageError("--candidate", f"no candidate {name!r} in the run", did_you_mean(name, names))
    before = read_file(path) if path.exists() else None
    after = accepted_file(path, measured, name, before)
    write_text(path, text_of(after))
    return list(change_lines(before, read_file(path)))


def file_of(path: Path, run: MeasuredRun, name: str) -> BaselineFile:
    """Return a baseline file that holds only the model `name` of a run. Raises NotComparableError if it did not answer
    everything.
    """
    model = next(each for each in run.models if each.name == name)
    by_key = {(m.task, m.metric): m for m in run.measurements if m.model == name}
    deciding = [each for each in subjects(run.facts, run.plan) if each.primary and each.judged]
    pairs = dict.fromkeys((fact.name, metric.id) for each in deciding for fact, metric in each.members)
    facts = {fact.name: fact for fact in run.facts}
    tasks, scores = [], []
    for task, metric_id in pairs:
        fact = facts[task]
        metric = next(each for each in fact.metrics if each.id == metric_id)
        measurement = _whole(fact, metric, by_key.get((task, metric_id)), name)
        tasks.append(_task(run, fact, metric, measurement))
        scores.append(_scores(fact, metric, measurement))
    chat = (run.signature.get("chat") or {}).get("templates", {})
    return BaselineFile(
        path=path,
        digest="",
        engine={key: value for key, value in run.signature["engine"].items() if key != "adapter_check"},
        settings={key: run.signature.get(key) for key in ASKED},
        models=(_model(model),),
        templates=(chat.get(name),),
        tasks=tuple(tasks),
        scores=(tuple(scores),),
    )


def _model(row: ModelRow) -> ModelRow:
    return ModelRow(base=None, **{key: getattr(row, key) for key in OF_MODEL})


def _whole(fact: TaskFacts, metric: MetricFacts, measurement: Measurement | None, name: str) -> Measurement:
    """Return the measurement of a model that answered everything. Raises NotComparableError for any other."""
    fix = "accept a run in which it answered everything at once"
    if fact.failed.get(name):
        raise NotComparableError(fact.name, f"{name} failed on {fact.failed[name]} examples", fix)
    if name in fact.rounds or name in fact.partly:
        raise NotComparableError(fact.name, f"{name} was not asked all of it (it was stopped early)", fix)
    if measurement is None or measurement.point is not None or not measurement.units:
        raise NotComparableError(fact.name, f"{name} has no scores of single examples by {metric.id}", fix)
    return measurement


def _task(run: MeasuredRun, fact: TaskFacts, metric: MetricFacts, measurement: Measurement) -> ScoredTask:
    definition = str(run.signature["tasks"][fact.name]["definition"])
    return ScoredTask(
        task=fact.name,
        metric=metric.id,
        signature=metric.signature,
        units=len(measurement.units),
        data=fingerprint.short(fact.data_digest),
        definition=fingerprint.short(definition),
        questions=fingerprint.short(units_digest(measurement.units, measurement.sizes)),
    )


def _scores(fact: TaskFacts, metric: MetricFacts, measurement: Measurement) -> AcceptedScores:
    name = measurement.model
    return AcceptedScores(
        score=round(float(from_facts(metric).score(measurement.rows.sum(axis=0))), 6),
        prompts=fingerprint.short(fact.prompts.get(name, fact.prompts_digest)),
        unparsed=fact.unparsed.get(name, 0),
        answers=fact.answers.get(name),
        rows=as_packed(measurement.rows),
    )


def accepted_file(path: Path, run: MeasuredRun, name: str, before: BaselineFile | None) -> BaselineFile:
    """Return the content of the baseline file after the model `name` of a run is accepted.

    The run's base begins a new file, alone. A candidate is put beside the original base of the file `before` (None:
    beside its own base). Raises NotComparableError if it did not answer everything, or if its prompts differ from the
    original base's.
    """
    own = file_of(path, run, name)
    if name == run.plan.base:
        return own
    base = file_of(path, run, run.plan.base)
    if before is None:
        return _beside(base, own)
    fingerprints = {row.fingerprint for row in before.models}
    if base.models[0].fingerprint not in fingerprints:
        what = f"the base of this run ({run.plan.base}) is neither its original base nor the candidate accepted last"
        raise NotComparableError(path, what, "compare the candidate with one of these, or accept the base first")
    if differing := differences(before, own):
        fix = "accept the base of such a run first: `evalharness baseline accept RUN`"
        raise NotComparableError(path, f"holds scores of something else ({'; '.join(differing)})", fix)
    return _beside(before, own)


def _beside(file: BaselineFile, own: BaselineFile) -> BaselineFile:
    """Return a file with the original base of `file`, and the model of `own` as the one that was accepted last."""
    return replace(
        file,
        models=(file.models[0], *own.models),
        templates=(file.templates[0], *own.templates),
        scores=(file.scores[0], *own.scores),
    )


def differences(file: BaselineFile, other: BaselineFile) -> list[str]:
    """Say how the questions, metrics and engines of two files differ, a line for each difference."""
    lines = []
    if file.engine["fingerprint"] != other.engine["fingerprint"]:
        lines.append(f"engine: {engine_differences(file.engine, other.engine) or 'what differs is not recorded'}")
    there, here = file.settings, other.settings
    lines += [
        f"{key}: {there.get(key)} there, {here.get(key)} here" for key in ASKED if there.get(key) != here.get(key)
    ]
    tasks, others = ({(task.task, task.metric): task for task in each.tasks} for each in (file, other))
    lines += [f"{task} by {metric} is not here" for task, metric in tasks if (task, metric) not in others]
    lines += [f"{task} by {metric} is not there" for task, metric in others if (task, metric) not in tasks]
    for key in (key for key in tasks if key in others):
        parts = ("data", "definition", "questions", "signature")
        differing = [part for part in parts if getattr(tasks[key], part) != getattr(others[key], part)]
        lines += [f"{key[0]}: other {', '.join(differing)}"] if differing else []
    return lines


def change_lines(before: BaselineFile | None, after: BaselineFile) -> Iterator[str]:
    """Return lines that say what changes against the existing file."""
    if before is None:
        yield f"new: {', '.join(row.name for row in after.models)} on {len(after.tasks)} tasks"
    for which, role in ((0, "original base"), (-1, "accepted")):
        row, old = after.models[which], before.models[which] if before else None
        if old is None or old.fingerprint != row.fingerprint:
            was = "" if old is None else f", before: {old.name} ({fingerprint.short(old.fingerprint)})"
            yield f"{role}: {row.name} ({fingerprint.short(row.fingerprint)}){was}"
    if before is None:
        yield from (f"{task.task}: {task.metric} {_score(after, i)}" for i, task in enumerate(after.tasks))
        return
    yield from differences(before, after)
    yield from _moved(before, after)


def _moved(before: BaselineFile, after: BaselineFile) -> Iterator[str]:
    """Yield each task whose accepted scores change, and the number of its units that do."""
    places, moved = {(task.task, task.metric): i for i, task in enumerate(before.tasks)}, 0
    for i, task in enumerate(after.tasks):
        place = places.get((task.task, task.metric))
        if place is None:
            yield f"{task.task}: {task.metric} {_score(after, i)}, which is new"
            continue
        old, new = before.scores[-1][place].rows, after.scores[-1][i].rows
        if old.shape != new.shape or before.tasks[place].questions != task.questions:
            yield f"{task.task}: {task.metric} {_score(before, place)} → {_score(after, i)}, of other questions"
        elif count := int((old != new).any(axis=1).sum()):
            scores = f"{_score(before, place)} → {_score(after, i)}"
            yield f"{task.task}: {task.metric} {scores}, {count} of {len(new)} units"
            moved += 1
    if not moved:
        yield "no accepted score of the same questions changes"


def _score(file: BaselineFile, place: int) -> str:
    return f"{file.scores[-1][place].score:.4f}"
