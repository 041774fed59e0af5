"""How lighteval's details are changed: those of the task with choices."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from imports.log_mutations import LogForm, Row


def prepare(folder: Path) -> None:
    """Give the files their names again: not every system lets a file be called TASK|SHOTS."""
    for file in folder.rglob("*%7C*"):
        file.rename(file.with_name(file.name.replace("%7C", "|")))


def details(folder: Path) -> Path:
    return next(folder.glob("details/*/*/details_reviews*.parquet"))


def load(folder: Path) -> list[Row]:
    rows: list[Row] = pq.read_table(details(folder)).to_pylist()
    return rows


def save(folder: Path, rows: list[Row]) -> None:
    """Values that no column holds together are written as texts."""
    texts = [{key: json.dumps(value) for key, value in row.items()} for row in rows]
    file = details(folder)
    try:
        pq.write_table(pa.Table.from_pylist(rows), file)
    except (pa.ArrowException, OverflowError):
        pq.write_table(pa.Table.from_pylist(texts), file)


def second_model(folder: Path) -> None:
    for part in ("details", "results"):
        (model,) = (folder / part).iterdir()
        shutil.copytree(model, model.with_name("other"))


FORM = LogForm(
    prepare=prepare,
    files=lambda folder: [*folder.glob("details/*/*/*.parquet"), *folder.glob("results/*/*.json")],
    load=load,
    save=save,
    ids=[("doc", "id")],
    prompts=[("doc", "query")],
    golds=[("doc", "gold_index")],
    scores=[("metric", "acc")],
    choices=[("doc", "choices")],
    second_model=second_model,
    other_gold=lambda old: 1 - old,
)
