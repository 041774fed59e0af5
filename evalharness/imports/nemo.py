"""Read nemo-evaluator's logs: the values that its scorers gave to every sample; answers are not scored again.

Version 0.2 does not log the system prompt, so a differing one is not detected there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalharness.errors import DataError, UsageError
from evalharness.imports.guessing import chance_level
from evalharness.imports.identities import Identities
from evalharness.imports.logged import Answer, AnswerTexts, LoggedTask, MetricStatement, ModelLog, is_score
from evalharness.imports.nemo_files import RERUN, REWARD, NemoSample, NemoTask, files_at, parse
from evalharness.imports.reported import WHOLE, check_reported
from evalharness.tasks.answer_counts import ReadAnswer, picked_answer
from evalharness.tasks.library import Library


def is_log(path: Path) -> bool:
    """Return whether the folder, one in it, or one in these has samples of nemo-evaluator."""
    return path.is_dir() and bool(files_at(path))


def read(path: Path, name: str, _library: Library | None = None) -> ModelLog:
    """Read one model's samples by task.

    Raises UsageError if there are several models, DataError if samples are damaged or have no scores.
    """
    files = files_at(path)
    models = sorted({file.parent.parent.resolve() for file in files})
    if len(models) > 1:
        names = ", ".join(model.name for model in models)
        raise UsageError(path, f"holds the logs of several models ({names})", "name one of them")
    tasks: dict[str, LoggedTask] = {}
    notices: list[str] = []
    for file in files:
        task = parse(file)
        if task.name in tasks:
            raise UsageError(file, f"is a second log of {task.name}", "leave one of them in the folder")
        tasks[task.name] = _task(task, notices)
    if not any(task.answers for task in tasks.values()):
        raise DataError(path, f"no scored samples ({'; '.join(notices)})", RERUN)
    return ModelLog(name=name, path=str(path), tasks=tasks, notices=tuple(notices))


@dataclass(slots=True)
class _Samples:
    """The collected samples of one task.

    `values` maps a metric to all its values. `truths` are the metrics whose values are truth values. `without` has the
    reasons of samples without a score.
    """

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    truths: set[str] = field(default_factory=lambda: {REWARD})
    texts: dict[str, AnswerTexts] = field(default_factory=dict)
    read: list[ReadAnswer] = field(default_factory=list)
    without: list[str] = field(default_factory=list)


def _task(task: NemoTask, notices: list[str]) -> LoggedTask:
    """Read one task's answers by metric. If it has none, a notice says so."""
    samples, identities = _Samples(), Identities()
    for sample in task.samples:
        _add(samples, identities, sample)
    for metric, (value, count) in task.reported.items():
        values = samples.values.get(metric, [])
        if count is not None and count != len(values):
            what = f"{len(values)} samples have a value of {metric}, and {task.results.name} says {count}"
            raise DataError(task.file, what, WHOLE)
        check_reported(task.file, task.results, metric, values, value, task.tolerance)
    if samples.without:
        count = len(task.samples)
        why = samples.without[0].partition("\n")[0][:120]
        notices.append(f"{task.name}: {len(samples.without)} of {count} samples got no score ({why})")
    if not samples.answers:
        notices.append(f"{task.file}: no scored samples in it")
    choices, golds = [len(sample.choices) for sample in task.samples], [each.gold for each in samples.texts.values()]
    chances = {metric: chance_level(choices, golds if metric in samples.truths else ()) for metric in samples.values}
    return LoggedTask(
        name=task.name,
        answers={metric: tuple(answers) for metric, answers in samples.answers.items()},
        stated={metric: _stated(metric, values, chances[metric]) for metric, values in samples.values.items()},
        read={"none": tuple(samples.read)},
        texts=samples.texts,
        failed=len(samples.without),
    )


def _add(samples: _Samples, identities: Identities, sample: NemoSample) -> None:
    target = "" if sample.target is None else str(sample.target)
    key, document, content = identities.of(sample.number[0], sample.prompt, sample.target, sample.choices)
    values = {
        metric: float(value) if is_score(value) else math.nan
        for metric, value in sample.scores.items()
        if isinstance(value, int | float)
    }
    for metric, value in values.items():
        samples.values.setdefault(metric, []).append(value)
    finite = {} if sample.error else {metric: value for metric, value in values.items() if not math.isnan(value)}
    if not finite or finite.keys().isdisjoint([*values][:1]):
        samples.without.append(sample.error or "no finite number")
    samples.truths |= {metric for metric, value in sample.scores.items() if isinstance(value, bool)}
    for metric, value in finite.items():
        answer = Answer(key, document, key, value, content if sample.question else "")
        samples.answers.setdefault(metric, []).append(answer)
    samples.texts[key] = AnswerTexts(sample.question, sample.response, target)
    samples.read.append(_read(sample.choices, sample.response, target.strip()))


def _read(choices: Sequence[str], response: str, target: str) -> ReadAnswer:
    """Return the answer: the choice that the runner put in the response, or the text."""
    if response in choices:
        places = [place for place, text in enumerate(choices) if text.strip().lower() == target.lower()]
        right = places or ([int(target)] if target.isascii() and target.isdigit() else [])
        if (choice := picked_answer(choices, choices.index(response), right)) is not None:
            return choice
    return ReadAnswer(response.strip(), (target,), empty=not response.strip())


def _stated(metric: str, values: Sequence[float], chance: float | None) -> MetricStatement:
    """Return the statement about a reward: more is better, and guessing is worth `chance` by scores of 0 and 1."""
    stated = MetricStatement(higher_is_better=True) if metric == REWARD else MetricStatement()
    if chance is not None and set(values) <= {0.0, 1.0}:
        stated["chance"] = chance
    return stated
