"""Read opencompass's predictions (0.5) and their scores, if its results have the details of every row.

The score of a row is that of its details (`correct`). If they have only a prediction and a reference, as those of the
accuracy evaluator do, a row is right if both are equal, provided that the accuracy agrees: 100 times the share of
right rows must be a score that opencompass reported. Otherwise the rows have no known scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalharness.errors import DataError
from evalharness.imports.guessing import chance_level
from evalharness.imports.identities import Identities
from evalharness.imports.logged import Answer, AnswerTexts, LoggedTask, MetricStatement, ModelLog, is_score, one_model
from evalharness.imports.opencompass_files import RESCORE, Object, TaskFiles, details_of, models_of, runs_of, tasks_of
from evalharness.tasks.answer_counts import ReadAnswer, picked_answer
from evalharness.tasks.library import Library

RIGHT = ("correct", "is_correct", "cascade_correct")
ACCURACY = "accuracy"
SHARES = (ACCURACY, "score", "acc", "em", "exact_match")  # what evaluators call a share of right rows
LABEL = "label: "
ASKED = ("origin_prompt", "prompt", "in-context examples")
COPY = "copy opencompass's folder predictions/, too, or run it again"
RERUN = f"score it again: {RESCORE}"


def is_log(path: Path) -> bool:
    """Return whether the path is a run of opencompass, a folder of runs, or a run's folder of predictions or
    results.
    """
    return path.is_dir() and bool(runs_of(path)[0])


def read(path: Path, name: str, _library: Library | None = None, model: str = "") -> ModelLog:
    """Read the newest run of the `model`. It need not be named if there is only one.

    Raises UsageError if there are several models, DataError if files are damaged or have no score of any row.
    """
    runs, model_named = runs_of(path)
    model = model or model_named
    models = sorted({each for run in runs for each in models_of(run)})
    model = one_model(path, models, model, "predictions", "predictions")
    runs = [run for run in runs if model in models_of(run)]
    notices = [f"{path}: {model} was run {len(runs)} times; the newest run counts ({runs[-1].name})"][: len(runs) > 1]
    lacking: dict[str, list[str]] = {}
    tasks = {files.task: _task(files, lacking) for files in tasks_of(runs[-1], model)}
    why = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in lacking.items())
    if not any(task.answers for task in tasks.values()):
        raise DataError(path, f"holds predictions and no scores of single rows ({why})", RERUN)
    if why:
        notices.append(f"{path}: tasks without scores of single rows ({why}); {RERUN}")
    return ModelLog(name=name, path=str(path), tasks=tasks, notices=tuple(notices))


def _task(files: TaskFiles, lacking: dict[str, list[str]]) -> LoggedTask:
    """Read one task's answers; none if the log does not tell which rows are right.

    `lacking` collects these tasks, by the reason.
    """
    details = details_of(files)
    scored = _scored(files, details)
    if isinstance(scored, str):
        lacking.setdefault(scored, []).append(files.task)
        return LoggedTask(name=files.task, answers={}, stated={})
    metric, values = scored
    identities, choices = Identities(), list[int]()
    answers: list[Answer] = []
    texts: dict[str, AnswerTexts] = {}
    read: list[ReadAnswer] = []
    for number, (row, detail, value) in enumerate(zip(files.predictions, details, values, strict=True)):
        labels = [key.removeprefix(LABEL) for key in row if key.startswith(LABEL)]
        prompts = [[key, row.get(key)] for key in ASKED] + [[key, _prompt(row[LABEL + key])] for key in labels]
        gold = [row.get("gold"), _reference(detail)]
        key, document, content = identities.of([files.task, number], prompts, gold, labels)
        answers.append(Answer(key, document, key, value, content))
        choices.append(len(labels))
        texts[key] = _texts(row, detail)
        read.append(_read(row, detail, labels))
    chance = chance_level(choices, [each.gold for each in texts.values()])
    return LoggedTask(
        name=files.task,
        answers={metric: tuple(answers)},
        stated={metric: MetricStatement(higher_is_better=True, chance=chance)},
        read={"none": tuple(read)},
        texts=texts,
    )


def _scored(files: TaskFiles, details: Sequence[Object]) -> tuple[str, list[float]] | str:
    """Return the metric and the value of every row, or why there is none.

    Raises DataError if the share of right rows that opencompass reported is not that of the details.
    """
    reported = {key: value for key, value in files.results.items() if is_score(value) and not isinstance(value, bool)}
    if not details:
        why = files.results.get("error") or ("no details" if files.results else "no file in results/")
        return str(why)[:200]
    right = [_right(detail) for detail in details]
    if lacking := sum(value is None for value in right):
        if ACCURACY not in reported or any(key in detail for key in RIGHT for detail in details):
            return f"its details do not say whether {lacking} of {len(right)} rows are right"
        right = [_equal(detail) for detail in details]
        reported = {ACCURACY: reported[ACCURACY]}
    values = [value for value in right if value is not None]
    share = 100 * sum(values) / len(values)
    names = sorted(reported, key=lambda key: key.partition(" (")[0] not in SHARES)
    if metric := next((key for key in names if _same(share, reported[key])), None):
        return metric.partition(" (")[0], values
    if any(key.partition(" (")[0] in SHARES for key in reported):
        scores = ", ".join(f"{key} {value:g}" for key, value in reported.items())
        what = f"its details have {share:g} of 100 rows right, and it reports {scores[:200]}"
        raise DataError(files.results_file, what, f"the file as opencompass wrote it would be right; {RERUN}")
    return f"no score that it reports ({', '.join(reported)[:200]}) is the share of right rows"


def _same(share: float, reported: float) -> bool:
    """Return whether both are the same score, to the digits that evaluators store."""
    return abs(share - reported) <= 1e-9 * max(1.0, share) or round(share, 2) == reported


def _right(detail: Object) -> float | None:
    """Return the score of a row in its details: 1, 0 or a share; None if they have none."""
    for key in RIGHT:
        value = detail.get(key)
        if is_score(value) and 0 <= value <= 1:
            return float(value)
    return None


def _equal(detail: Object) -> float:
    return float("predictions" in detail and str(detail["predictions"]) == str(detail.get("references")))


def _prompt(label: Any) -> Any:
    return label.get("prompt") if isinstance(label, dict) else None


def _reference(detail: Object) -> Any:
    """Return the right answer as the evaluator had it. Several are sorted, because evaluators shuffle them."""
    value = detail.get("references", detail.get("answer"))
    return sorted(map(str, value)) if isinstance(value, list) else value


def _text(value: Any) -> str:
    """Return the text of a prompt or an answer; the turns of a chat one after the other."""
    if isinstance(value, list):
        return "\n\n".join(_text(each) for each in value)
    if isinstance(value, dict):
        return f"{value.get('role', '')}: {_text(value.get('prompt', ''))}"
    return "" if value is None else str(value)


def _texts(row: Object, detail: Object) -> AnswerTexts:
    gold = row.get("gold", detail.get("references", detail.get("answer")))
    right = " | ".join(map(str, gold)) if isinstance(gold, list) else _text(gold)
    return AnswerTexts(_text(row.get("origin_prompt", row.get("prompt"))), _text(row["prediction"]), right)


def _read(row: Object, detail: Object, labels: Sequence[str]) -> ReadAnswer:
    """Return the answer as the evaluator extracted it: one of the labels whose perplexities were compared, or the
    text.
    """
    answer = _text(detail.get("predictions", detail.get("pred", row["prediction"]))).strip()
    gold = row.get("gold", _reference(detail))
    golds = tuple(str(each).strip() for each in (gold if isinstance(gold, list) else [gold]))
    if answer in labels:
        right = [place for place, label in enumerate(labels) if label in golds]
        if (choice := picked_answer(labels, labels.index(answer), right)) is not None:
            return choice
    return ReadAnswer(answer, golds, empty=not _text(row["prediction"]).strip(), unreadable=not answer)
