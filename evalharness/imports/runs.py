"""Read other tools' logs and plain tables as one measured run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from evalharness import fingerprint
from evalharness.errors import UsageError
from evalharness.imports.logged import ModelLog
from evalharness.imports.measurements import check_margins, import_logs
from evalharness.imports.readers import WANTED, check_sampled, no_log, reader_of
from evalharness.imports.scales import Statements
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import TaskFacts
from evalharness.records.models import ModelKind
from evalharness.records.results import ModelRow
from evalharness.results import MEASUREMENTS, RESULTS, run_and_model
from evalharness.results.files import check_file_names
from evalharness.tasks.library import Library

SEED = 1234


class _LogArgument(NamedTuple):
    """A parsed [NAME=]PATH[#MODEL]. `model` says whose log is meant if one folder has several."""

    text: str
    name: str
    path: Path
    model: str


def are_logs(texts: Sequence[str]) -> bool:
    """Return whether the paths are logs or tables.

    Raises UsageError for a path that is neither these nor a run, and if only some are runs.
    """
    runs = [text for text in texts if reader_of(_parse(text).path) is None]
    for text in runs:
        _check_run(text)
    if runs and len(runs) < len(texts):
        raise UsageError(runs[0], "cannot be compared with the log of another tool", f"give only one kind: {WANTED}")
    return not runs


def _check_run(text: str) -> None:
    """Raise UsageError if, by its files, a path cannot be a run."""
    path = run_and_model(text)[0]
    check_sampled(_parse(text).path)
    files = (path,) if path.name == MEASUREMENTS else (path / MEASUREMENTS, path / RESULTS)
    if not any(file.is_file() for file in files):
        raise no_log(path)


def read_logs(
    texts: Sequence[str], margins: Mapping[str, float], statements: Statements = MappingProxyType({})
) -> tuple[MeasuredRun, tuple[str, ...]]:
    """Read the logs at [NAME=]PATH, the base's first, as one measured run, with notices for the user.

    `margins` are those of single tasks; scores that are not from 0 to 1 need one. `statements` are the user's, about
    metrics and tasks. Raises EvalHarnessError.
    """
    if len(texts) < 2:
        what = "one log alone cannot be compared"
        raise UsageError(texts[0], what, "name the base's first and the candidates' after it")
    library = Library()
    logs = _as_one_task([_read(_parse(text), library) for text in texts])
    names = [log.name for log in logs]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError("compare", f"several models named {', '.join(doubled)}", "tell them apart with NAME=PATH")
    check_file_names(names, "tell them apart with NAME=PATH")
    imported = import_logs(logs[0], logs[1:], library, statements)
    check_margins(imported, margins)
    plan = ComparePlan(base=names[0], candidates=tuple(names[1:]), groups=imported.groups, seed=SEED)
    models = tuple(_row(log, None if log is logs[0] else names[0]) for log in logs)
    settings = {log.name: dict(log.settings) for log in logs}
    run = MeasuredRun(
        plan=plan,
        facts=imported.facts,
        measurements=imported.measurements,
        models=models,
        signature=_signature(settings, plan, imported.facts, models),
        samples=imported.samples,
    )
    return run, (*imported.notices, *_differing(settings))


def _as_one_task(logs: Sequence[ModelLog]) -> list[ModelLog]:
    """Give the tasks of tables without a column `task` the base's name, so that they are one task of several models.

    Until then each is named after its file.
    """
    if not all(log.unnamed and len(log.tasks) == 1 for log in logs):
        return list(logs)
    (name,) = logs[0].tasks
    if all(name in log.tasks for log in logs):
        return list(logs)
    notice = f"no table has a column task: taken to be one task, called {name}"
    logs = [replace(log, tasks={name: replace(next(iter(log.tasks.values())), name=name)}) for log in logs]
    return [replace(logs[0], notices=(*logs[0].notices, notice)), *logs[1:]]


def _parse(text: str) -> _LogArgument:
    """Split [NAME=]PATH[#MODEL]. Without a NAME, the model has the name of the file or folder."""
    name, equals, place = text.partition("=")
    if not equals or "/" in name or Path(text).exists():
        name, place = "", text
    path, model = run_and_model(place)
    path = path.expanduser()
    return _LogArgument(text, name or model or (path.stem if path.is_file() else path.resolve().name), path, model)


def _read(log: _LogArgument, library: Library) -> ModelLog:
    reader = reader_of(log.path)
    if reader is None:
        raise no_log(log.path)
    if not reader.several:
        if log.model:
            raise UsageError(log.text, "holds one model's log", f"leave out #{log.model}")
        return reader.read(log.path, log.name, library)
    return reader.read(log.path, log.name, library, log.model)


def _row(log: ModelLog, base: str | None) -> ModelRow:
    """Describe a model of which only the answers are known."""
    content = [
        [name, metric, answer.key, answer.value]
        for name, task in log.tasks.items()
        for metric, answers in task.answers.items()
        for answer in answers
    ]
    return ModelRow(
        name=log.name,
        kind=ModelKind.BASE if base is None else ModelKind.IMPORTED,
        fingerprint=fingerprint.of_value([log.name, content]),
        base=base,
        parameters=None,
        trainable=None,
        trainable_share=None,
        bytes=None,
    )


def _signature(
    settings: Mapping[str, Mapping[str, Any]], plan: ComparePlan, facts: Sequence[TaskFacts], models: Sequence[ModelRow]
) -> dict[str, Any]:
    tasks = {
        fact.name: {
            "version": fact.version,
            "definition": fingerprint.of_value([fact.name, fact.version, "imported"]),
            "data": fact.data_digest,
            "prompts": fact.prompts_digest,
            "questions": fact.prompts_digest,
            "examples": fact.available,
            "available": fact.available,
            "lm_eval": "no",
            "metrics": {metric.id: metric.signature for metric in fact.metrics},
        }
        for fact in facts
    }
    return {
        "suite": None,
        "base": plan.base,
        "tasks": tasks,
        "groups": {group.name: list(group.tasks) for group in plan.groups},
        "limit": None,
        "num_fewshot": None,
        "split": None,
        "seed": plan.seed,
        "alpha": plan.alpha,
        "margin": None,
        "margins": {},
        "engine": {"name": "imported", "fingerprint": _engine(settings), "logs": settings},
        "packages": {"evalharness": version("evalharness")},
        "models": {model.name: model.fingerprint for model in models},
        "chat": None,
    }


def _engine(logs: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the fingerprint of the models' settings, independent of their names."""
    return fingerprint.of_value(["imported", *sorted({fingerprint.of_value(dict(each)) for each in logs.values()})])


def _differing(logs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each logged setting in which the models' runs differ."""
    sentences = []
    for key in dict.fromkeys(key for settings in logs.values() for key in settings):
        values = {name: str(settings.get(key)) for name, settings in logs.items()}
        if len(set(values.values())) > 1:
            sentences.append(f"{key} differs: {', '.join(f'{value} ({name})' for name, value in values.items())}")
    return sentences
