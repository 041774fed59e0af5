"""A plain table (CSV, TSV, JSONL, parquet) of one model's scores to a Logged.

Columns: `id`; `score`, or `prediction` and `answer` (right where they are equal, white space around them aside); and, if there are any, `task`
(else the file's name), `unit` (rows that belong together), `metric` (one only), `prompt` (any text that tells how the question was asked). A row
without a value in a column that others have is an error.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from evalharness import fingerprint
from evalharness.errors import DataError
from evalharness.imports.logged import Answer, Logged, LoggedTask

FORMS = (".csv", ".tsv", ".jsonl", ".parquet")
NEEDED = "columns `id` and `score`, or `id`, `prediction` and `answer`"
SCORED = "score"
READ = ("id", "score", "prediction", "answer", "task", "unit", "metric", "prompt")


def is_table(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in FORMS


def read(path: Path, name: str) -> Logged:
    """The file's scores by task. Raises DataError naming the file and the first row (from 1, without the head) that is wrong."""
    rows = _rows(path)
    if not rows:
        return Logged(name, str(path), {}, notices=(f"{path}: no rows in it",))
    columns = list(dict.fromkeys(column for row in rows for column in row))
    graded = "score" in columns
    if "id" not in columns or not (graded or {"prediction", "answer"} <= set(columns)):
        raise DataError(path, f"has the columns {', '.join(columns)}", f"{NEEDED} would be right")
    for number, row in enumerate(rows, 1):
        for column in (column for column in columns if column in READ):
            if _nothing(row.get(column)) or (column == "id" and row[column] == ""):
                raise DataError(f"{path}:{number}", f"no {column}", "every row needs one; an empty text says that nothing was answered")
    metrics = sorted({str(row["metric"]) for row in rows}) if "metric" in columns else [SCORED if graded else "exact_match"]
    if len(metrics) > 1:
        raise DataError(path, f"several metrics ({', '.join(metrics)})", "give a file for each")
    answers: dict[str, dict[str, Answer]] = {}
    for number, row in enumerate(rows, 1):
        task, answer = str(row.get("task", path.stem)), _answer(path, number, row, graded)
        if answer.document in answers.setdefault(task, {}):
            raise DataError(path, f"{task} has the id {answer.document!r} several times", "ids must be distinct within a task")
        answers[task][answer.document] = answer
    tasks = {task: LoggedTask(task, {metrics[0]: tuple(found.values())}, {}, 0.0) for task, found in answers.items()}
    return Logged(name, str(path), tasks, settings={"columns": ", ".join(sorted({"prompt", "answer", "unit"} & set(columns)))})


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows with the types that they have: a number beside an empty cell stays the number that it is."""
    form = path.suffix.lower()
    try:
        if form == ".parquet":
            found = pq.read_table(path).to_pylist()
        elif form == ".jsonl":
            found = [_object(json.loads(line)) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        else:
            found = pd.read_csv(path, sep="\t" if form == ".tsv" else ",", dtype=str, keep_default_na=False).to_dict("records")
    except (OSError, ValueError, pa.ArrowException, pd.errors.ParserError) as error:
        raise DataError(path, f"cannot be read as {form[1:]} ({(str(error).splitlines() or [''])[0]})", NEEDED + " would be right") from None
    return [{str(column).strip(): value for column, value in row.items()} for row in found]


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"a line holds {value!r}, no object")
    return value


def _answer(path: Path, number: int, row: Mapping[str, Any], graded: bool) -> Answer:
    """One row. `number` is for the reader of the error."""
    identity = str(row["id"])
    if graded:
        value = math.nan
        with contextlib.suppress(TypeError, ValueError):
            value = float(row["score"])
        if not -1e300 < value < 1e300:
            raise DataError(f"{path}:{number}", f"the score {row['score']!r} is no number", "a finite number would be right")
    else:
        value = float(row["prediction"] == row["answer"] or str(row["prediction"]).strip() == str(row["answer"]).strip())
    asked = [str(row[column]) for column in ("prompt", "answer") if column in row]
    return Answer(f"{identity}-{fingerprint.of_value(asked)[:16]}" if asked else identity, identity, str(row.get("unit", identity)), value)
