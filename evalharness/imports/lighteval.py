"""Read lighteval's logs (0.11 and later, --save-details): the values of its samples; answers are not scored again.

OUT/details/MODEL/DATE/details_TASK|SHOTS_DATE.parquet has a row for each sample and way of asking (a task with choices
and written answers has two), with the columns `doc`, `metric`, `model_response`. OUT/results/MODEL/results_DATE.json
says what the metrics are, and has their values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from evalharness.data.files import DataRow, json_form, json_value, kind, parquet_batches
from evalharness.errors import DataError
from evalharness.imports.guessing import chance_level
from evalharness.imports.identities import Identities
from evalharness.imports.lighteval_answers import question_of, read_answer, texts_of
from evalharness.imports.logged import DATE, Answer, AnswerTexts, LoggedTask, ModelLog, is_score, one_model, stated_of
from evalharness.imports.metrics import score_of
from evalharness.imports.reported import check_reported
from evalharness.tasks.answer_counts import ReadAnswer
from evalharness.tasks.library import Library

DETAILS = re.compile(rf"details_(?P<task>.+)_{DATE}\.parquet")
COLUMNS = ("doc", "metric", "model_response")
READ = (  # the rest is long, above all the ids of all tokens
    *(f"doc.{field}" for field in ("id", "query", "instruction", "choices", "gold_index", "unconditioned_query")),
    *("doc.fewshot_samples", "doc.stop_sequences", "doc.generation_size", "metric"),
    *(f"model_response.{field}" for field in ("input", "text", "text_post_processed", "logprobs")),
)
RERUN = "run lighteval again with --save-details"
AGAIN = f"{RERUN}, or copy the files again"
MEAN = "mean"
SETTINGS = ("dtype", "max_length", "system_prompt", "override_chat_template", "add_special_tokens")
Document = Mapping[str, Any]


class _Details(NamedTuple):
    """One file of details. `model` is the path of the folders between details/ and the date."""

    file: Path
    model: str
    task: str
    date: str


def is_log(path: Path) -> bool:
    """Return whether the path is lighteval's output folder, a folder of details in it, or a folder with a dated folder
    of these.
    """
    return path.is_dir() and any(DETAILS.fullmatch(file.name) for file in _parquet_files(path))


def read(path: Path, name: str, _library: Library | None = None, model: str = "") -> ModelLog:
    """Read the newest details of every task of the `model`. It need not be named if there is only one.

    Raises UsageError if there are several models, DataError if details are damaged or have no scores.
    """
    files = _details(path)
    models = sorted({details.model for details in files})
    model_name = one_model(path, models, model, "details", "details")
    notices: list[str] = []
    newest = _newest([details for details in files if details.model == model_name], notices)
    about = {date: _results(path, date) for date in sorted({details.date for details in newest.values()})}
    tasks = {task: _task(of, about[of.date], notices) for task, of in newest.items()}
    if not any(task.answers for task in tasks.values()):
        raise DataError(path, f"no scored samples ({'; '.join(notices)})", RERUN)
    return ModelLog(
        name=name, path=str(path), tasks=tasks, groups=_groups(tasks), settings=_settings(about), notices=tuple(notices)
    )


def _parquet_files(path: Path) -> list[Path]:
    """List the parquet files in the folder of one date, up to three folders deeper (of dates, of models), and anywhere
    below details/.
    """
    depths = ("", "*/", "*/*/", "*/*/*/", "details/**/")
    return sorted({file for depth in depths for file in path.glob(f"{depth}details_*.parquet")})


def _details(path: Path) -> list[_Details]:
    details = []
    for file in _parquet_files(path):
        if match := DETAILS.fullmatch(file.name):
            folders = file.resolve().parts[:-1]
            start = len(folders) - folders[::-1].index("details") if "details" in folders else len(folders)
            details.append(_Details(file, "/".join(folders[start:-1]), match["task"], match["date"]))
    return details


def _newest(files: Sequence[_Details], notices: list[str]) -> dict[str, _Details]:
    """Find the newest details of every task. A task that was logged several times gets a notice."""
    by_task: dict[str, list[_Details]] = {}
    for details in files:
        by_task.setdefault(details.task, []).append(details)
    newest = {task: max(of, key=lambda details: details.date) for task, of in by_task.items()}
    notices += [
        f"{task} was logged {len(of)} times; the newest counts ({newest[task].date})"
        for task, of in by_task.items()
        if len(of) > 1
    ]
    return newest


@dataclass(frozen=True, slots=True)
class _Results:
    """The results file of one date; an empty document if there is none."""

    file: Path
    document: Document = field(default_factory=dict)

    def part(self, *keys: str) -> Any:
        """Return the value at nested keys; an empty object if there is none."""
        value: Any = self.document
        for key in keys:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        return value


def _results(path: Path, date: str) -> _Results:
    """Read the results file of a date: in the folder or below it, or in results/ beside details/.

    Raises DataError for one that is malformed.
    """
    name = f"results_{date}.json"
    above = next((each.parent / "results" for each in (path, *path.resolve().parents) if each.name == "details"), None)
    for folder in (path, path.resolve().parent, *([above] if above else [])):
        pattern = name if folder == path.resolve().parent else f"**/{name}"
        for file in sorted(folder.glob(pattern)):
            document = json_value(file, finite=False)
            if not isinstance(document, dict) or not isinstance(document.get("results"), dict):
                raise DataError(file, "no results of lighteval (without results)", AGAIN)
            return _Results(file, document)
    return _Results(path / name)


def _settings(about: Mapping[str, _Results]) -> dict[str, Any]:
    last = about[max(about)]
    config = last.part("config_general", "model_config")
    values = {key: config.get(key) for key in SETTINGS} if config else {}
    values |= {"max_samples": last.part("config_general").get("max_samples")} if last.document else {}
    generation = last.part("config_general", "model_config", "generation_parameters")
    values |= {key: generation.get(key) for key in ("temperature", "top_p", "max_new_tokens")} if generation else {}
    return values


def _groups(tasks: Mapping[str, LoggedTask]) -> dict[str, tuple[str, ...]]:
    """Group the tasks FAMILY:SUBTASK|SHOTS as lighteval averages them."""
    groups: dict[str, list[str]] = {}
    for task in tasks:
        family, colon, rest = task.partition(":")
        if colon:
            groups.setdefault(f"{family}|{rest.rpartition('|')[2]}", []).append(task)
    return {group: tuple(members) for group, members in groups.items() if len(members) > 1}


def _rows(file: Path) -> list[DataRow]:
    """Read the rows of a file. Their scores may be no finite numbers.

    Raises DataError for a file that is not parquet, and for one with other columns.
    """
    rows: list[DataRow] = []
    for batch in parquet_batches(file, READ):
        for row in batch.to_pylist():
            if missing := [column for column in COLUMNS if not isinstance(row.get(column), dict)]:
                what = f"no details of lighteval (without objects in the columns {', '.join(missing)})"
                raise DataError(f"{file}:{len(rows) + 1}", what, f"run lighteval 0.11 or later; {RERUN}")
            scores = {
                name: value if isinstance(value, float) else json_form(value) for name, value in row["metric"].items()
            }
            rows.append({column: json_form(row[column]) for column in COLUMNS} | {"metric": scores})
    return rows


def _task(details: _Details, results: _Results, notices: list[str]) -> LoggedTask:
    """Read one task's answers by metric, in the order of the log. If it has none, a notice says so."""
    answers: dict[str, list[Answer]] = {}
    texts: dict[str, AnswerTexts] = {}
    read: list[ReadAnswer] = []
    identities, system = Identities(), results.part("config_general", "model_config").get("system_prompt")
    choices, without, rows = list[int](), 0, _rows(details.file)
    for number, row in enumerate(rows, 1):
        place = f"{details.file}:{number}"
        document, prompt, judged = question_of(place, row, system)
        values = {metric: _value(value) for metric, value in row["metric"].items() if value is not None}
        key, asked_of, content = identities.of(document, prompt, *judged, among=" ".join(sorted(values)))
        scored = {metric: value for metric, value in values.items() if _finite(value)}
        without += not scored or not _finite(next(iter(values.values())))
        choices.append(len(row["doc"]["choices"]) if row["model_response"].get("logprobs") else 0)
        for metric, value in scored.items():
            answers.setdefault(metric, []).append(Answer(key, asked_of, key, value, content))
        if scored:
            answer = read_answer(row)
            read += [answer] if answer is not None else []
            texts[key] = texts_of(row, answer)
    if not answers:
        notices.append(f"{details.file.name}: no scored samples in it")
    about = _metrics(results, details.task)
    _check(details, results, rows, about)
    for metric, reported in _otherwise(details, results, answers, about).items():
        notices.append(f"{details.task}: {metric} is left out, lighteval computes it otherwise ({reported:.6g})")
        del answers[metric]
    chance, higher = chance_level(choices), {metric: of.get("higher_is_better") for metric, of in about.items()}
    return LoggedTask(
        name=details.task,
        answers={metric: tuple(of) for metric, of in answers.items()},
        stated={metric: stated_of(of, higher.get(metric), chance) for metric, of in answers.items()},
        version=str(results.part("config_tasks", details.task).get("version", "")),
        read={"none": tuple(read)},
        texts=texts,
        failed=without,
    )


def _value(value: Any) -> Any:
    """Return a logged value: a number as it is, a corpus metric's record of a sample as [gold, prediction].

    Of several texts the first counts, as in lighteval.
    """
    if isinstance(value, dict) and value.keys() == {"golds", "preds"}:
        gold, prediction = value["golds"], value["preds"]
        first = [each[0] if isinstance(each, list) and each else each for each in (gold, prediction)]
        return first if isinstance(first[0], str) or gold in (first[:1], first[0]) else [gold, prediction]
    return float(value) if isinstance(value, bool) else value


def _finite(value: Any) -> bool:
    return not isinstance(value, int | float) or is_score(value)


def _metrics(results: _Results, task: str) -> dict[str, Document]:
    """Return the facts about each metric of a task in the results file: `higher_is_better`, `corpus_level_fn`."""
    listed = results.part("config_tasks", task).get("metrics", ())
    metrics: dict[str, Document] = {}
    for metric in listed if isinstance(listed, list) else ():
        if isinstance(metric, dict):
            names = metric.get("metric_name")
            for name in names if isinstance(names, list) else [names]:
                parts = {key: metric.get(key) for key in ("higher_is_better", "corpus_level_fn")}
                metrics[str(name)] = {
                    key: part.get(name) if isinstance(part, dict) else part for key, part in parts.items()
                }
    return metrics


def _check(details: _Details, results: _Results, rows: Sequence[DataRow], about: Mapping[str, Document]) -> None:
    """Check that each metric that is a mean has the mean that the results file states. Raises DataError."""
    if results.document and not isinstance(results.part("results", details.task), dict):
        raise DataError(results.file, f"no results of lighteval ({details.task} has no metrics)", AGAIN)
    for metric, reported in results.part("results", details.task).items():
        values = [value for row in rows if (value := row["metric"].get(metric)) is not None]
        if about.get(metric, {}).get("corpus_level_fn") != MEAN:
            continue
        if wrong := next((value for value in values if not isinstance(value, int | float)), None):
            raise DataError(details.file, f"no details of lighteval (a value of {metric} is {kind(wrong)})", AGAIN)
        check_reported(details.file, results.file, metric, [float(value) for value in values], reported)


def _otherwise(
    details: _Details, results: _Results, answers: Mapping[str, Sequence[Answer]], about: Mapping[str, Document]
) -> dict[str, float]:
    """Find the corpus metrics whose scores here differ from the results file (as BLEU with another tokenisation).

    Returns each of them with the score in the results file.
    """
    scores = {}
    for metric, reported in results.part("results", details.task).items():
        if metric in answers and is_score(reported) and about.get(metric, {}).get("corpus_level_fn") != MEAN:
            ours = score_of(details.task, metric, [answer.value for answer in answers[metric]])
            if ours is not None and not abs(ours - reported) <= 1e-6 * max(1.0, abs(reported)):
                scores[metric] = reported
    return scores
