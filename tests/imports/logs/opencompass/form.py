"""How opencompass's runs are changed: the task with perplexities; a row is a prediction with its details."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from imports.log_mutations import LogForm, Row

TASK, METRIC = "parity.json", "accuracy"


def file_in(folder: Path, part: str) -> Path:
    return next(folder.glob(f"*/{part}/*/{TASK}"))


def load(folder: Path) -> list[Row]:
    predictions = json.loads(file_in(folder, "predictions").read_text())
    details = json.loads(file_in(folder, "results").read_text())["details"]
    return [{"id": key, "prediction": row, "detail": details[key]} for key, row in predictions.items()]


def written(rows: list[Row], key: str) -> str:
    """An object by ids, also where one comes twice."""
    return "{" + ", ".join(f"{json.dumps(str(row.get('id')))}: {json.dumps(row[key])}" for row in rows) + "}"


def save(folder: Path, rows: list[Row]) -> None:
    (key,) = {key for row in rows for key in row if key.startswith("detail")} or {"detail"}
    results = json.loads(file_in(folder, "results").read_text())
    value: Any = results[METRIC]
    named = json.dumps(key.replace("detail", METRIC))
    file_in(folder, "predictions").write_text(written(rows, "prediction"))
    file_in(folder, "results").write_text(f'{{{named}: {value}, "details": {written(rows, key)}}}')


def second_model(folder: Path) -> None:
    for part in ("predictions", "results"):
        model = file_in(folder, part).parent
        shutil.copytree(model, model.with_name("other"))


LABELS = ("even", "odd")

FORM = LogForm(
    prepare=lambda folder: None,
    files=lambda folder: [*folder.glob("*/predictions/*/*.json"), *folder.glob("*/results/*/*.json")],
    load=load,
    save=save,
    ids=[("id",)],
    prompts=[
        ("prediction", "origin_prompt"), ("detail", "origin_prediction", "origin_prompt"),
        *(("prediction", f"label: {label}", "prompt") for label in LABELS),
    ],
    golds=[("prediction", "gold"), ("detail", "references"), ("detail", "origin_prediction", "gold")],
    scores=[("detail", "correct")],
    choices=[],
    second_model=second_model,
    other_gold=lambda old: "even" if old == "odd" else "odd",
)  # fmt: skip
