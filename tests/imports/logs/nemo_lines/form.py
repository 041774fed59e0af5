"""How the samples of nemo-evaluator 0.3 are changed: those of one task; a row holds a line."""

from __future__ import annotations

import json
from pathlib import Path

from imports.log_mutations import LogForm, Row, folders_of_two_models

SAMPLES = "sums/results.jsonl"


def load(folder: Path) -> list[Row]:
    return [{"line": json.loads(line)} for line in (folder / SAMPLES).read_text().splitlines()]


def save(folder: Path, rows: list[Row]) -> None:
    """Write the lines, of another metric where that was renamed."""
    lines = []
    for row in rows:
        ((name, line),) = row.items()
        if name != "line":
            line["reward_otherwise"] = line.pop("reward")
        lines.append(line)
    (folder / SAMPLES).write_text("".join(json.dumps(line) + "\n" for line in lines))


FORM = LogForm(
    prepare=lambda folder: None,
    files=lambda folder: [folder / SAMPLES, *folder.glob("*/eval-*.json"), folder / "words" / "results.jsonl"],
    load=load,
    save=save,
    ids=[("line", "problem_idx")],
    prompts=[("line", "prompt")],
    golds=[("line", "expected_answer")],
    scores=[("line", "reward")],
    choices=[],
    second_model=folders_of_two_models,
    other_gold=lambda old: f"{old}0",
)
