"""Read a plain table (CSV, TSV, JSONL, parquet) of one model's scores.

It has the columns `id`, and `score` or both `prediction` and `answer`, which are right if they are equal without the
white space around them. It may have `task` (else the file's name), `unit` (rows that belong together), `metric` (one
only), `prompt` (any text that tells how the question was put), `higher_is_better`, `score_low` and `score_high` (the
same in every row of a task), and `chance` (of the row; a task's is their mean). Rows with the same prompt and answer
repeat a question, unless prompts are so few that they cannot be texts of questions. A row without a value in a column
that others have is an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from evalharness import fingerprint
from evalharness.data.contents import form_of, unreadable
from evalharness.data.files import DataRow, numbered_rows, parquet_rows
from evalharness.data.tables import table
from evalharness.errors import DataError
from evalharness.imports.guessing import chance_level
from evalharness.imports.logged import Answer, AnswerTexts, LoggedTask, MetricStatement, ModelLog, statement_of
from evalharness.json_text import number_in
from evalharness.results import MEASUREMENTS
from evalharness.tasks.answer_counts import ReadAnswer
from evalharness.tasks.library import Library

FORMS = (".csv", ".tsv", ".jsonl", ".parquet")
NEEDED = "columns `id` and `score`, or `id`, `prediction` and `answer`"
SCORED = "score"
MANY_PROMPTS = 10  # distinct prompts that are surely texts of questions, not names of templates
SAME = {"higher_is_better": "higher_is_better", "score_low": "low", "score_high": "high"}  # column -> what it states
READ = ("id", "score", "prediction", "answer", "task", "unit", "metric", "prompt", *SAME, "chance")


def is_log(path: Path) -> bool:
    """Return whether the path is a table, and not one of a run's files."""
    return path.is_file() and form_of(path) in FORMS and path.name != MEASUREMENTS


def read(path: Path, name: str, _library: Library | None = None) -> ModelLog:
    """Read the file's scores by task.

    Raises DataError naming the file and the first line that is wrong (in a parquet file: the row, from 1).
    """
    rows = _rows(path)
    if not rows:
        return ModelLog(name=name, path=str(path), tasks={}, notices=(f"{path}: no rows in it",))
    columns = dict.fromkeys(column for _, row in rows for column in row)
    graded = "score" in columns
    if "id" not in columns or not (graded or {"prediction", "answer"} <= columns.keys()):
        raise DataError(path, f"has the columns {', '.join(columns)}", f"{NEEDED} would be right")
    needed = [column for column in READ if column in columns]
    for number, row in rows:
        for column in needed:
            if _nothing(row.get(column)) or (column == "id" and row[column] == ""):
                fix = "every row needs one; an empty text says that nothing was answered"
                raise DataError(f"{path}:{number}", f"no {column}", fix)
    metrics = sorted({str(row.get("metric", SCORED if graded else "exact_match")) for _, row in rows})
    if len(metrics) > 1:
        raise DataError(path, f"several metrics ({', '.join(metrics)})", "give a file for each")
    predicted, pipe = _predicted(path, rows), metrics[0].partition(",")[2] or "none"
    texts = _texts(path, rows) if {"prompt", "prediction"} & columns.keys() else {}
    tasks = {
        task: LoggedTask(
            name=task,
            answers={metrics[0]: answers},
            stated={metrics[0]: _statement(path, task, rows, graded)},
            read={pipe: predicted.get(task, ())},
            texts=dict(zip((answer.key for answer in answers), texts.get(task, ()), strict=False)),
        )
        for task, answers in _by_task(path, rows, graded).items()
    }
    settings = {"columns": ", ".join(sorted({"prompt", "answer", "unit"} & columns.keys()))}
    return ModelLog(name=name, path=str(path), tasks=tasks, settings=settings, unnamed="task" not in columns)


def _by_task(path: Path, rows: Sequence[tuple[int, DataRow]], graded: bool) -> dict[str, tuple[Answer, ...]]:
    """Group the answers by task.

    Raises DataError for a value that is no score and for an id that comes twice in a task.
    """
    by_task: dict[str, dict[str, Answer]] = {}
    prompts: dict[str, set[str]] = {}
    for number, row in rows:
        task, answer = str(row.get("task", path.stem)), _answer(f"{path}:{number}", row, graded)
        if answer.document in by_task.setdefault(task, {}):
            what = f"{task} has the id {answer.document!r} several times"
            raise DataError(f"{path}:{number}", what, "ids must be distinct within a task")
        by_task[task][answer.document] = answer
        prompts.setdefault(task, set()).add(str(row.get("prompt", "")))
    return {task: _with_repeats(tuple(of.values()), len(prompts[task])) for task, of in by_task.items()}


def _predicted(path: Path, rows: Sequence[tuple[int, DataRow]]) -> dict[str, tuple[ReadAnswer, ...]]:
    """Return the answers by task, if the table has predictions."""
    by_task: dict[str, list[ReadAnswer]] = {}
    for _, row in rows:
        if not _nothing(row.get("prediction")):
            text, right = str(row["prediction"]).strip(), str(row.get("answer", "")).strip()
            by_task.setdefault(str(row.get("task", path.stem)), []).append(ReadAnswer(text, (right,), empty=not text))
    return {task: tuple(answers) for task, answers in by_task.items()}


def _texts(path: Path, rows: Sequence[tuple[int, DataRow]]) -> dict[str, list[AnswerTexts]]:
    """Return the texts of every row by task, in the order of the rows."""
    by_task: dict[str, list[AnswerTexts]] = {}
    for _, row in rows:
        texts = AnswerTexts(*(str(row.get(column, "")) for column in ("prompt", "prediction", "answer")))
        by_task.setdefault(str(row.get("task", path.stem)), []).append(texts)
    return by_task


def _with_repeats(answers: tuple[Answer, ...], prompts: int) -> tuple[Answer, ...]:
    """Return the answers, with their contents only if these are texts of questions.

    If few prompts are distinct, they name templates and not questions.
    """
    texts = prompts >= MANY_PROMPTS or 2 * prompts > len(answers)
    return answers if texts else tuple(answer._replace(content="") for answer in answers)


def _statement(path: Path, task: str, rows: Sequence[tuple[int, DataRow]], graded: bool) -> MetricStatement:
    """Return what the columns state about a task's metric. Raises DataError and UsageError.

    If predictions are matched with answers, chance is 1 / the number of different answers.
    """
    own = [(number, row) for number, row in rows if str(row.get("task", path.stem)) == task]
    texts: dict[str, str] = {}
    for column, key in SAME.items():
        values = {str(row[column]).strip() for _, row in own if column in row}
        if len(values) > 1:
            raise DataError(path, f"{task} has several values of {column}", "the same in every row would be right")
        if values:
            texts[key] = values.pop()
    statement = statement_of(path, texts)
    if any("chance" in row for _, row in own):
        cells = [(number, str(row["chance"]).strip()) for number, row in own]
        chances = [statement_of(f"{path}:{number}", {"chance": text}).get("chance") for number, text in cells]
        numbers = [chance for chance in chances if chance is not None]
        statement["chance"] = math.fsum(numbers) / len(numbers) if len(numbers) == len(chances) else None
    elif not graded and (chance := chance_level((), [str(row["answer"]).strip() for _, row in own])) is not None:
        statement["chance"] = chance
    return statement


def _rows(path: Path) -> list[tuple[int, DataRow]]:
    """Read (line or row number, row). Cells of CSV and TSV files are texts; those of others have their types."""
    form = form_of(path)
    rows: Iterable[tuple[int, DataRow]]
    try:
        if form == ".parquet":
            rows = enumerate(parquet_rows(path), 1)
        elif form == ".jsonl":
            rows = numbered_rows(path)
        else:
            header, lines = table(path)
            rows = [(number, dict(zip(header, cells, strict=True))) for number, cells in lines]
        return [(number, {column.strip(): value for column, value in row.items()}) for number, row in rows]
    except OSError as error:
        raise unreadable(path, error) from None


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _answer(place: str, row: DataRow, graded: bool) -> Answer:
    """Compute the score of one row. `place` (file and line) is named in errors."""
    identity = str(row["id"])
    if graded:
        if not -1e300 < (value := number_in(row["score"])) < 1e300:
            raise DataError(place, f"the score {row['score']!r} is no number", "a finite number would be right")
    else:
        value = float(
            row["prediction"] == row["answer"] or str(row["prediction"]).strip() == str(row["answer"]).strip()
        )
    wording = [str(row[column]) for column in ("prompt", "answer") if column in row]
    digest = fingerprint.of_value(wording)[:16]
    key = f"{identity}-{digest}" if wording else identity
    return Answer(key, identity, str(row.get("unit", identity)), value, digest if "prompt" in row else "")
