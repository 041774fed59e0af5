"""Read what nemo-evaluator's own runner (bring your own benchmark, 0.2) logged with --save-predictions.

TASK/byob_predictions.jsonl has a line a sample: the prompt, the target, the response and the values that the scorer
gave; byob_results.json their means, to four decimals. A system prompt is in neither, so another one is not noticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalharness.data.contents import unreadable
from evalharness.data.files import DataRow, json_value, kind, numbered
from evalharness.errors import DataError, UsageError
from evalharness.imports.guessing import guessing
from evalharness.imports.identities import Identities
from evalharness.imports.logged import Answer, AnswerTexts, LoggedTask, MetricStatement, ModelLog, is_score
from evalharness.imports.reported import check_reported
from evalharness.tasks.answer_counts import ReadAnswer, picked
from evalharness.tasks.library import Library

PREDICTIONS, RESULTS = "byob_predictions.jsonl", "byob_results.json"
SCORED = "scored"
RERUN = "run nemo-evaluator again with --save-predictions"
AGAIN = f"{RERUN}, or copy the file again"
ROUNDED = 0.5001e-4  # the means in RESULTS have four decimals
KINDS: Mapping[str, type | tuple[type, ...]] = {
    "sample_id": int,
    "prompt": str,
    "response": (str, type(None)),
    "scores": (dict, type(None)),
    "status": str,
    "metadata": dict,
}


def is_log(path: Path) -> bool:
    """Does the folder, one in it, or one in these hold predictions of nemo-evaluator's runner?"""
    return path.is_dir() and any(_files(path))


def read(path: Path, name: str, _library: Library | None = None) -> ModelLog:
    """Read one model's predictions by task. Raises UsageError where several models lie there, DataError for what is
    damaged or has no scores.
    """
    files = next(files for files in _files(path) if files)
    models = sorted({file.parent.parent.name for file in files})
    if len(models) > 1 and path in {file.parent.parent.parent for file in files}:
        raise UsageError(path, f"holds the logs of several models ({', '.join(models)})", "name one of them")
    tasks: dict[str, LoggedTask] = {}
    notices: list[str] = []
    for file in files:
        task, reported = _reported(file)
        if task in tasks:
            raise UsageError(file, f"is a second log of {task}", "leave one of them in the folder")
        tasks[task] = _task(task, file, reported, notices)
    if not any(task.answers for task in tasks.values()):
        raise DataError(path, f"no scored samples ({'; '.join(notices)})", RERUN)
    return ModelLog(name=name, path=str(path), tasks=tasks, notices=tuple(notices))


def _files(path: Path) -> Iterator[list[Path]]:
    """List the files of predictions: in the folder (one task), in those in it (one model), and in those in these."""
    for pattern in (PREDICTIONS, f"*/{PREDICTIONS}", f"*/*/{PREDICTIONS}"):
        yield sorted(path.glob(pattern))


def _reported(file: Path) -> tuple[str, dict[str, Any]]:
    """Return the task's name and its metrics as RESULTS beside the file has them; the folder's name and nothing where
    there is no such file. Raises DataError for one that is none.
    """
    results = file.with_name(RESULTS)
    if not results.exists():
        return file.parent.resolve().name, {}
    document = json_value(results, finite=False)
    tasks = document.get("tasks") if isinstance(document, dict) else None
    if not isinstance(tasks, dict) or len(tasks) != 1:
        raise DataError(results, "no results of nemo-evaluator's runner (without the metrics of one task)", AGAIN)
    ((task, of),) = tasks.items()
    try:
        scores = of["metrics"]["pass@1"]["scores"]
        return task, {metric: (score["value"], score["stats"]["count"]) for metric, score in scores.items()}
    except (KeyError, TypeError, AttributeError):
        raise DataError(results, f"no results of nemo-evaluator's runner (without scores of {task})", AGAIN) from None


def _lines(file: Path) -> Iterator[DataRow]:
    """Yield the samples. Raises DataError, with the line, for what is none and for one that comes twice."""
    seen: set[int] = set()
    try:
        for number, line in numbered(file, finite=False):
            place = f"{file}:{number}"
            if missing := [key for key in (*KINDS, "target") if key not in line]:
                raise DataError(place, f"no sample of nemo-evaluator's runner (without {', '.join(missing)})", AGAIN)
            for key, kinds in KINDS.items():
                if not isinstance(line[key], kinds) or isinstance(line[key], bool):
                    what = f"no sample of nemo-evaluator's runner ({key} is {kind(line[key])})"
                    raise DataError(place, what, AGAIN)
            if line["sample_id"] in seen:
                raise DataError(place, f"sample {line['sample_id']} comes twice", AGAIN)
            seen.add(line["sample_id"])
            yield line
    except OSError as error:
        raise unreadable(file, error) from None


@dataclass(slots=True)
class _Samples:
    """What the samples of one task come to. `values`: metric -> all its values; `truths`: metrics that say right or
    wrong; `choices`: of each sample, how many.
    """

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    truths: set[str] = field(default_factory=set)
    texts: dict[str, AnswerTexts] = field(default_factory=dict)
    read: list[ReadAnswer] = field(default_factory=list)
    choices: list[int] = field(default_factory=list)
    without: list[str] = field(default_factory=list)  # why samples have no score


def _task(task: str, file: Path, reported: Mapping[str, Any], notices: list[str]) -> LoggedTask:
    """Read one task's answers by metric; where it has none, a notice says so."""
    samples, identities = _Samples(), Identities()
    for line in _lines(file):
        _add(samples, identities, line)
    for metric, (value, count) in reported.items():
        if count != len(samples.values.get(metric, ())):
            what = f"{len(samples.values.get(metric, ()))} samples have a value of {metric}, and {RESULTS} says {count}"
            raise DataError(file, what, "both files of one run, whole and as they were written, would be right")
        check_reported(file, file.with_name(RESULTS), metric, samples.values.get(metric, ()), value, ROUNDED)
    if samples.without:
        count = len(samples.choices)
        notices.append(f"{task}: {len(samples.without)} of {count} samples got no score ({samples.without[0][:120]})")
    if not samples.answers:
        notices.append(f"{file}: no scored samples in it")
    golds = [texts.gold for texts in samples.texts.values()]
    chances = {
        metric: guessing(samples.choices, golds if metric in samples.truths else ()) for metric in samples.values
    }
    return LoggedTask(
        name=task,
        answers={metric: tuple(answers) for metric, answers in samples.answers.items()},
        stated={metric: _stated(values, chances[metric]) for metric, values in samples.values.items()},
        read={"none": tuple(samples.read)},
        texts=samples.texts,
        failed=len(samples.without),
    )


def _add(samples: _Samples, identities: Identities, line: DataRow) -> None:
    choices = line["metadata"].get("_choices")
    choices = [str(choice) for choice in choices] if isinstance(choices, list) else []
    prompt, target, response = line["prompt"], line["target"], line["response"] or ""
    key, document, content = identities.of(line["sample_id"], prompt, target, choices)
    samples.choices.append(len(choices))
    scores = line["scores"] if line["status"] == SCORED else None
    values = {
        metric: float(value) if is_score(value) else math.nan
        for metric, value in (scores or {}).items()
        if isinstance(value, int | float)
    }
    finite = {metric: value for metric, value in values.items() if not math.isnan(value)}
    if not finite or finite.keys().isdisjoint([*values][:1]):
        samples.without.append(str(line.get("error") or (line["status"] if not values else "no finite number")))
    samples.truths |= {metric for metric, value in (scores or {}).items() if isinstance(value, bool)}
    for metric, value in values.items():
        samples.values.setdefault(metric, []).append(value)
    for metric, value in finite.items():
        answer = Answer(key, document, key, value, content if prompt else "")
        samples.answers.setdefault(metric, []).append(answer)
    samples.texts[key] = AnswerTexts(prompt, response, str(target))
    samples.read.append(_read(choices, response, str(target).strip()))


def _read(choices: list[str], response: str, target: str) -> ReadAnswer:
    """What was answered: the choice that the runner put in the response, or the text."""
    if response in choices:
        named = [place for place, choice in enumerate(choices) if choice.strip().lower() == target.lower()]
        right = named or ([int(target)] if target.isascii() and target.isdigit() else [])
        if (chosen := picked(choices, choices.index(response), right)) is not None:
            return chosen
    return ReadAnswer(response.strip(), (target,), empty=not response.strip())


def _stated(values: list[float], chance: float | None) -> MetricStatement:
    """Guessing is worth `chance` by scores of 0 and 1."""
    return MetricStatement(chance=chance) if chance is not None and set(values) <= {0.0, 1.0} else MetricStatement()
