"""How the predictions of nemo-evaluator's runner are changed: those of the task with choices; a row is a line."""

from __future__ import annotations

import json
from pathlib import Path

from imports.log_mutations import LogForm, Row, folders_of_two_models

PREDICTIONS, RESULTS = "parity/byob_predictions.jsonl", "parity/byob_results.json"


def load(folder: Path) -> list[Row]:
    return [json.loads(line) for line in (folder / PREDICTIONS).read_text().splitlines()]


def save(folder: Path, rows: list[Row]) -> None:
    (folder / PREDICTIONS).write_text("".join(json.dumps(row) + "\n" for row in rows))


FORM = LogForm(
    prepare=lambda folder: None,
    files=lambda folder: [folder / PREDICTIONS, folder / RESULTS, *folder.glob("[sw]*/byob_*")],
    load=load,
    save=save,
    ids=[("sample_id",)],
    prompts=[("prompt",)],
    golds=[("target",)],
    scores=[("scores", "acc")],
    choices=[("metadata", "_choices")],
    second_model=folders_of_two_models,
    other_gold=lambda old: "even" if old == "odd" else "odd",
)
