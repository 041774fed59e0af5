"""How HELM's run folders are changed: the one with two trials; a row is a request with its statistics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from imports.log_mutations import LogForm, Row

FOLDER, STATE, STATS = "simple_classification", "scenario_state.json", "per_instance_stats.json"


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / FOLDER / name).read_text())


def load(folder: Path) -> list[Row]:
    states, stats = read(folder, STATE)["request_states"], read(folder, STATS)
    named = {(each["instance_id"], each["train_trial_index"]): each for each in stats}
    return [{"state": each, "stats": named[each["instance"]["id"], each["train_trial_index"]]} for each in states]


def save(folder: Path, rows: list[Row]) -> None:
    state = {**read(folder, STATE), "request_states": [row["state"] for row in rows]}
    (folder / FOLDER / STATE).write_text(json.dumps(state))
    (folder / FOLDER / STATS).write_text(json.dumps([row["stats"] for row in rows]))


def second_model(folder: Path) -> None:
    shutil.copytree(folder / FOLDER, folder / "other")
    spec = json.loads((folder / "other" / "run_spec.json").read_text())
    spec["adapter_spec"]["model"] = "demo/other"
    (folder / "other" / "run_spec.json").write_text(json.dumps(spec))


def prepare(folder: Path) -> None:
    for file in folder.glob("*/display_*.json"):
        file.unlink()


EXACT_MATCH = 3  # its place among the statistics

FORM = LogForm(
    prepare=prepare,
    files=lambda folder: [run / name for run in sorted(folder.iterdir()) for name in (STATE, STATS, "run_spec.json")],
    load=load,
    save=save,
    ids=[("state", "instance", "id"), ("stats", "instance_id")],
    prompts=[("state", "request", "prompt")],
    golds=[("state", "instance", "references", 0, "tags")],
    scores=[("stats", "stats", EXACT_MATCH, "mean")],
    choices=[("state", "instance", "references")],
    second_model=second_model,
    other_gold=lambda old: [] if old else ["correct"],
)
