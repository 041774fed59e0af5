"""A plain table (CSV, TSV, JSONL, parquet) of one model's scores to a Logged.

Columns: `id`; `score`, or `prediction` and `answer` (right where they are equal, white space around them aside); and, if there are any, `task`
(else the file's name), `unit` (rows that belong together), `metric` (one only), `prompt` (any text that tells how the question was asked).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from evalharness import fingerprint
from evalharness.errors import DataError
from evalharness.imports.logged import Answer, Logged, LoggedTask

FORMS = (".csv", ".tsv", ".jsonl", ".parquet")
NEEDED = "columns `id` and `score`, or `id`, `prediction` and `answer`"
SCORED = "score"


def is_table(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in FORMS


def read(path: Path, name: str) -> Logged:
    """The file's scores by task. Raises DataError naming the file and the first row (from 1, without the head) that is wrong."""
    frame = _frame(path)
    frame.columns = [str(column).strip() for column in frame.columns]
    graded = "score" in frame.columns
    if "id" not in frame.columns or not (graded or {"prediction", "answer"} <= set(frame.columns)):
        raise DataError(path, f"has the columns {', '.join(map(str, frame.columns)) or 'none'}", f"{NEEDED} would be right")
    if frame.empty:
        return Logged(name, str(path), {}, notices=(f"{path}: no rows in it",))
    metrics = sorted(set(frame["metric"])) if "metric" in frame.columns else [SCORED if graded else "exact_match"]
    if len(metrics) > 1:
        raise DataError(path, f"several metrics ({', '.join(map(str, metrics))})", "give a file for each")
    tasks = frame["task"].astype(str) if "task" in frame.columns else pd.Series([path.stem] * len(frame), index=frame.index)
    found = {}
    for task, rows in frame.groupby(tasks, sort=False):
        answers = tuple(_answer(path, number, row, graded) for number, row in zip(rows.index + 1, rows.to_dict("records"), strict=True))
        doubled = [answer.document for answer in answers]
        if len(set(doubled)) < len(doubled):
            again = next(each for each in doubled if doubled.count(each) > 1)
            raise DataError(path, f"{task} has the id {again!r} several times", "ids must be distinct within a task")
        found[str(task)] = LoggedTask(str(task), {str(metrics[0]): answers}, {str(metrics[0]): True}, 0.0)
    return Logged(name, str(path), found)


def _frame(path: Path) -> pd.DataFrame:
    form = path.suffix.lower()
    try:
        if form == ".parquet":
            return pd.read_parquet(path).reset_index(drop=True)
        if form == ".jsonl":
            return pd.DataFrame([_object(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()])
        return pd.read_csv(path, sep="\t" if form == ".tsv" else ",", dtype=str, keep_default_na=False)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise DataError(path, f"cannot be read as {form[1:]} ({(str(error).splitlines() or [''])[0]})", NEEDED + " would be right") from None


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"a line holds {value!r}, no object")
    return value


def _answer(path: Path, number: int, row: Mapping[str, Any], graded: bool) -> Answer:
    """One row. `number` is for the reader of the error."""
    identity = str(row["id"])
    if graded:
        try:
            value = float(row["score"])
        except (TypeError, ValueError):
            value = float("nan")
        if not -1e300 < value < 1e300:
            raise DataError(f"{path}:{number}", f"the score {row['score']!r} is no number", "a finite number would be right")
    else:
        value = float(str(row["prediction"]).strip() == str(row["answer"]).strip())
    asked = [str(row[column]) for column in ("prompt", "answer") if column in row]
    return Answer(f"{identity}-{fingerprint.of_value(asked)[:16]}" if asked else identity, identity, str(row.get("unit", identity)), value)
