"""Read inspect_ai's logs (.eval and JSON): the values that its scorers logged; answers are not scored again.

One file is one task of one model. A sample with several epochs is one answer, whose score is the reduction of the
epochs that the log states: their mean, or the value in its `reductions`. A sample with a failed epoch has no answer.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalharness.data.files import json_form, kind
from evalharness.errors import DataError
from evalharness.imports.guessing import chance_level
from evalharness.imports.identities import Identities
from evalharness.imports.inspect_answers import answer_read, question_of, read_answer, texts_of, with_attachments
from evalharness.imports.inspect_files import AGAIN, EvalLog, Object, log_files, read_header, read_samples
from evalharness.imports.logged import (
    Answer,
    AnswerTexts,
    LoggedTask,
    MetricStatement,
    ModelLog,
    is_score,
    mapping,
    one_model,
)
from evalharness.tasks.answer_counts import ReadAnswer
from evalharness.tasks.library import Library

RERUN = "run inspect eval again, with samples logged (log_samples)"
GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}  # scorer/_metric.py, value_to_float
WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
MORE_IS_BETTER = ("exact", "match", "includes", "pattern", "answer", "choice")  # scorers whose values may be numbers
MEAN = "mean"


def is_log(path: Path) -> bool:
    """Return whether the path is a log of inspect_ai, or a folder of these."""
    return bool(log_files(path))


def read(path: Path, name: str, _library: Library | None = None, model: str = "") -> ModelLog:
    """Read the newest finished log of every task of the `model`. It need not be named if there is only one.

    Raises UsageError if there are several models, DataError if a log is damaged, unfinished or without samples.
    """
    logs = [read_header(file) for file in log_files(path)]
    models = sorted({log.model for log in logs})
    model_name = one_model(path, models, model, "log", "logs")
    notices: list[str] = []
    newest = _newest([log for log in logs if log.model == model_name], notices)
    tasks = {task: _task(log, notices) for task, log in newest.items()}
    last = max(newest.values(), key=lambda log: str(log.spec.get("created")))
    return ModelLog(name=name, path=str(path), tasks=tasks, settings=_settings(last), notices=tuple(notices))


def _newest(logs: Sequence[EvalLog], notices: list[str]) -> dict[str, EvalLog]:
    """Find the newest finished log of every task. Raises DataError for a task without one."""
    by_task: dict[str, list[EvalLog]] = {}
    for log in logs:
        by_task.setdefault(log.task, []).append(log)
    newest = {}
    for task, of in by_task.items():
        finished = [log for log in of if log.header.get("status") == "success"]
        if not finished:
            what = f"{task} was not finished (status {of[-1].header.get('status')})"
            raise DataError(of[-1].path, what, "finish it with `inspect eval-retry FILE`")
        newest[task] = max(finished, key=lambda log: str(log.spec.get("created")))
        if len(of) > 1:
            counts = newest[task].path.name
            notices.append(f"{task} was logged {len(of)} times; the newest finished log counts ({counts})")
    return newest


def _settings(log: EvalLog) -> dict[str, Any]:
    config, spec = mapping(log.spec, "config"), log.spec
    generation = {**mapping(mapping(log.header, "plan"), "config"), **mapping(spec, "model_generate_config")}
    values = {key: generation.get(key) for key in ("temperature", "top_p", "max_tokens", "seed", "system_message")}
    values |= {"epochs": config.get("epochs"), "limit": config.get("limit"), "solver": spec.get("solver")}
    values["inspect_ai_version"] = mapping(spec, "packages").get("inspect_ai")
    return {key: json_form(value) for key, value in values.items() if value is not None}


@dataclass(slots=True)
class _Question:
    """One sample with its epochs in order. `place` is its position in the file, for messages."""

    place: str
    epochs: list[Object] = field(default_factory=list)


def _questions(log: EvalLog, samples: Sequence[tuple[str, Object]]) -> list[_Question]:
    """Gather the epochs of each sample. Raises DataError for a malformed sample and one that comes twice."""
    questions: dict[str, _Question] = {}
    for place, sample in samples:
        identity, epoch = sample.get("id"), sample.get("epoch", 1)
        if not isinstance(identity, str | int) or not isinstance(epoch, int):
            what = f"no sample of inspect_ai (id is {kind(identity)}, epoch is {kind(epoch)})"
            raise DataError(place, what, AGAIN)
        question = questions.setdefault(str(identity), _Question(place))
        if any(each.get("epoch", 1) == epoch for each in question.epochs):
            raise DataError(place, f"epoch {epoch} of sample {identity} comes twice", AGAIN)
        question.epochs.append(with_attachments(sample))
    for question in questions.values():
        question.epochs.sort(key=lambda sample: sample.get("epoch", 1))
    return list(questions.values())


def _task(log: EvalLog, notices: list[str]) -> LoggedTask:
    """Read one log's answers by metric. Raises DataError if it has none."""
    samples, reductions = read_samples(log)
    questions, reduced = _questions(log, samples), _reduced(log, reductions)
    answers: dict[str, list[Answer]] = {}
    texts: dict[str, AnswerTexts] = {}
    read: list[ReadAnswer] = []
    single: dict[str, set[float]] = {}  # by metric, the values of single epochs
    identities, lacking, reads = Identities(), list[str](), any(answer_read(sample) for _, sample in samples)
    for question in questions:
        first, scored = question.epochs[0], [_scores(question.place, each) for each in question.epochs]
        prompt, choices, target = question_of(question.place, question.epochs)
        key, document, content = identities.of(first["id"], prompt, target, choices)
        if len(scored) != log.epochs or not all(scored):
            lacking.append(_why(question, log.epochs))
            continue
        means = _means(scored, single) if log.by_mean else {}
        for metric, value in (*means.items(), *_reduced_of(reduced, str(first["id"]))):
            answers.setdefault(metric, []).append(Answer(key, document, key, value, content))
        texts[key] = texts_of(first, target)
        read += [
            answer for each in question.epochs if (answer := read_answer(each, choices, target, reads)) is not None
        ]
    if not answers:
        raise DataError(log.path, f"no scored samples ({lacking[0] if lacking else 'it is empty'})", RERUN)
    if lacking:
        notices.append(f"{log.path}: {len(lacking)} of {len(questions)} samples got no score ({lacking[0]})")
    numbers = [len(question.epochs[0].get("choices") or ()) for question in questions]
    chance = chance_level(numbers, [each.gold for each in texts.values()])
    graded = {metric for place, sample in samples for metric, value in _raw_scores(place, sample) if _is_grade(value)}
    return LoggedTask(
        name=log.task,
        answers={metric: tuple(of) for metric, of in _deciding_first(log, answers).items()},
        stated={metric: _stated(metric, graded, single.get(metric, set()), chance) for metric in answers},
        version=str(log.spec.get("task_version", "")),
        read={metric.partition(",")[2] or "none": tuple(read) for metric in answers},
        texts=texts,
        failed=len(lacking),
    )


def _why(question: _Question, epochs: int) -> str:
    """Return why a sample has no score: its error, an epoch that is missing, or a scorer that gave none."""
    for sample in question.epochs:
        if error := mapping(sample, "error").get("message"):
            return str(error).partition("\n")[0][:120]
    return f"{len(question.epochs)} of {epochs} epochs" if len(question.epochs) != epochs else "without scores"


def _raw_scores(place: str, sample: Object) -> Iterator[tuple[str, Any]]:
    """Yield the scores of one sample by metric; none if it was invalidated. Raises DataError."""
    scores = sample.get("scores")
    if sample.get("invalidation") is not None or scores is None:
        return
    each = list(scores.values()) if isinstance(scores, dict) else [None]
    if not all(isinstance(score, dict) and "value" in score for score in each):
        raise DataError(place, "no sample of inspect_ai (scores without values)", AGAIN)
    for scorer, score in scores.items():
        value = score["value"]
        if isinstance(value, dict):
            yield from ((f"{scorer}/{key}", part) for key, part in value.items())
        else:
            yield scorer, value


def _is_grade(value: Any) -> bool:
    """Return whether a value is a grade or a truth value. Of these, higher is better."""
    return isinstance(value, bool) or (isinstance(value, str) and value in GRADES)


def _scores(place: str, sample: Object) -> dict[str, Any]:
    """Return the scores of one sample by metric; grades, truth values and numeric texts as numbers."""
    return {metric: _number(value) for metric, value in _raw_scores(place, sample)}


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return value
    if (graded := GRADES.get(value, WORDS.get(value.lower()))) is not None:
        return graded
    try:
        return float(value)
    except ValueError:
        return value


def _reduced(log: EvalLog, reductions: Sequence[Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Read reductions of epochs other than the mean: (metric, reducer) -> sample -> value."""
    reduced: dict[tuple[str, str], dict[str, Any]] = {}
    for reduction in reductions:
        samples = reduction.get("samples") if isinstance(reduction, dict) else None
        if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
            raise DataError(log.path, "no log of inspect_ai (reductions without samples)", AGAIN)
        if (reducer := reduction.get("reducer")) in (None, MEAN):
            continue
        for sample in samples:
            scores = {str(reduction.get("scorer")): {"value": sample.get("value")}}
            for metric, value in _scores(str(log.path), {"scores": scores}).items():
                reduced.setdefault((metric, str(reducer)), {})[str(sample.get("sample_id"))] = value
    return reduced


def _means(scored: Sequence[Mapping[str, Any]], single: dict[str, set[float]]) -> dict[str, Any]:
    """Average the epochs of one sample, by metric.

    A value that is no finite number is left out, as if unanswered. `single` collects the values of single epochs.
    """
    means: dict[str, Any] = {}
    for metric, first in scored[0].items():
        numbers = [float(value) for each in scored if is_score(value := each.get(metric))]
        if len(numbers) == len(scored):
            means[metric] = math.fsum(numbers) / len(numbers)
            single.setdefault(metric, set()).update(numbers)
        elif len(scored) == 1 and isinstance(first, str | list):
            means[metric] = first
    return means


def _reduced_of(reduced: Mapping[tuple[str, str], Mapping[str, Any]], sample: str) -> Iterator[tuple[str, float]]:
    for (metric, reducer), of in reduced.items():
        if is_score(value := of.get(sample)):
            yield f"{metric},{reducer}", float(value)


def _deciding_first(log: EvalLog, answers: Mapping[str, list[Answer]]) -> dict[str, list[Answer]]:
    """Put the metric first that the task calls its headline, if it names one."""
    headline = mapping(log.spec, "headline_metric")
    scorer, score = headline.get("scorer"), headline.get("score")
    headline_names = {scorer, score, f"{scorer}/{score}"}
    return {metric: answers[metric] for metric in sorted(answers, key=lambda metric: metric not in headline_names)}


def _stated(metric: str, graded: Collection[str], values: set[float], chance: float | None) -> MetricStatement:
    """Return what is known of a metric: more is better for grades, and guessing is worth `chance` by scores of 0 and
    1.
    """
    more_is_better = metric.partition(",")[0] in graded or metric.partition(",")[0] in MORE_IS_BETTER
    stated = MetricStatement(higher_is_better=True) if more_is_better else MetricStatement()
    if more_is_better and chance is not None and values and values <= {0.0, 1.0}:
        stated["chance"] = chance
    return stated
