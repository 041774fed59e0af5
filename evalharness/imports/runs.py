"""Read other tools' logs and plain tables as one measured run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from evalharness import fingerprint
from evalharness.errors import UsageError
from evalharness.imports import lm_eval, table
from evalharness.imports.logged import ModelLog
from evalharness.imports.measurements import check_margins, import_logs
from evalharness.imports.scales import Statements
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import TaskFacts
from evalharness.records.models import ModelKind
from evalharness.records.results import ModelRow
from evalharness.results import MEASUREMENTS, run_and_model
from evalharness.tasks.library import Library

WANTED = "runs of evalharness, folders that lm-eval wrote with --log_samples, or tables (CSV, TSV, JSONL, parquet)"
SEED = 1234


def are_logs(texts: Sequence[str]) -> bool:
    """Are the paths logs or tables? Raises UsageError for what is neither these nor a run, and where only some are
    runs.
    """
    runs = [text for text in texts if not _is_log(_parse(text)[1])]
    for text in runs:
        _check_run(text)
    if runs and len(runs) < len(texts):
        raise UsageError(runs[0], "cannot be compared with the log of another tool", f"give only one sort: {WANTED}")
    return not runs


def _check_run(text: str) -> None:
    """Check one path. Raises UsageError for what cannot be a run, as far as its kind and its name say."""
    path = run_and_model(text)[0]
    if lm_eval.is_unsampled(_parse(text)[1]):
        raise UsageError(text, "holds lm-eval's results and no samples", "run lm-eval again with --log_samples")
    if not path.exists():
        raise UsageError(path, "does not exist", f"compare takes {WANTED}")
    if path.is_file() and path.name != MEASUREMENTS:
        what = f"is nothing that can be compared (of the form {path.suffix or 'without a name'})"
        raise UsageError(path, what, f"compare takes {WANTED}")


def read_logs(
    texts: Sequence[str], margins: Mapping[str, float], statements: Statements = MappingProxyType({})
) -> tuple[MeasuredRun, tuple[str, ...]]:
    """Read logs given as [NAME=]PATH, the base's first, as one measured run, with notices for the user.

    `margins`: of single tasks, which scores that are not from 0 to 1 need; `statements`: what the user says of
    metrics and tasks. Raises EvalHarnessError.
    """
    if len(texts) < 2:
        what = "one log alone cannot be compared"
        raise UsageError(texts[0], what, "name the base's first and the candidates' after it")
    library = Library()
    logs = _as_one_task([_read(*_parse(text), library) for text in texts])
    names = [log.name for log in logs]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError("compare", f"several models named {', '.join(doubled)}", "tell them apart with NAME=PATH")
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
    )
    return run, (*imported.notices, *_differing(settings))


def _as_one_task(logs: Sequence[ModelLog]) -> list[ModelLog]:
    """Give tables without a column `task`, each of which is named after its file, the base's name: they are one task's
    scores by several models.
    """
    if not all(log.unnamed and len(log.tasks) == 1 for log in logs):
        return list(logs)
    (name,) = logs[0].tasks
    if all(name in log.tasks for log in logs):
        return list(logs)
    notice = f"no table has a column task: taken to be one task, called {name}"
    logs = [replace(log, tasks={name: replace(next(iter(log.tasks.values())), name=name)}) for log in logs]
    return [replace(logs[0], notices=(*logs[0].notices, notice)), *logs[1:]]


def _parse(text: str) -> tuple[str, Path]:
    """Split [NAME=]PATH into name and path; the name is the file's or folder's unless it is given."""
    name, equals, place = text.partition("=")
    if not equals or "/" in name or Path(text).exists():
        name, place = "", text
    path = Path(place).expanduser()
    return name or (path.stem if path.is_file() else path.resolve().name), path


def _is_log(path: Path) -> bool:
    return (table.is_table(path) and path.name != MEASUREMENTS) or lm_eval.is_log(path)


def _read(name: str, path: Path, library: Library) -> ModelLog:
    return table.read(path, name) if table.is_table(path) else lm_eval.read(path, name, library)


def _row(log: ModelLog, base: str | None) -> ModelRow:
    """Describe a model of which nothing but its answers is known."""
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
        parameters=0,
        trainable=0,
        trainable_share=0.0,
        bytes=0,
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
    """The fingerprint of how models were run, whatever they are called."""
    return fingerprint.of_value(["imported", *sorted({fingerprint.of_value(dict(each)) for each in logs.values()})])


def _differing(logs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say how the models were run differently, as far as their logs say: one sentence for each setting."""
    sentences = []
    for key in dict.fromkeys(key for settings in logs.values() for key in settings):
        values = {name: str(settings.get(key)) for name, settings in logs.items()}
        if len(set(values.values())) > 1:
            sentences.append(f"{key} differs: {', '.join(f'{value} ({name})' for name, value in values.items())}")
    return sentences
