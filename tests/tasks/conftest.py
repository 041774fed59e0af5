"""Small task files and rows to test with."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from task_files import task_from_file

from evalharness.data.sources import DataSource
from evalharness.records.tasks import Task

BASE: dict[str, Any] = {
    "task": "mine",
    "dataset_path": "rows",
    "test_split": "test",
    "training_split": "train",
    "output_type": "multiple_choice",
    "doc_to_text": "{{q}}",
    "doc_to_target": "label",
    "doc_to_choice": ["no", "yes"],
    "metric_list": [{"metric": "acc"}],
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A task file of BASE with changes; None takes a key away."""

    def write(name: str = "mine.yaml", **changes: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            yaml.safe_dump(
                {key: value for key, value in {**BASE, **changes}.items() if value is not None}, allow_unicode=True
            )
        )
        return path

    return write


@pytest.fixture
def make(write: Callable[..., Path]) -> Callable[..., Task]:
    def make(**changes: Any) -> Task:
        return task_from_file(write(**changes))

    return make


@pytest.fixture
def data(tmp_path: Path) -> Callable[..., DataSource]:
    """A data folder with the splits of the data set `rows`."""

    def data(**splits: Sequence[dict[str, Any]]) -> DataSource:
        folder = tmp_path / "data" / "rows" / "default"
        folder.mkdir(parents=True, exist_ok=True)
        for split, rows in splits.items():
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return DataSource(tmp_path / "data")

    return data


@pytest.fixture
def folder(tmp_path: Path, write: Callable[..., Path]) -> Path:
    """Task files, groups, tags and a suite, some that inherit and one that is broken."""
    for name, tags in (("red", ["warm"]), ("orange", "warm"), ("blue", ["cold", "dark"])):
        more = {"metric_list": [{"metric": "acc"}, {"metric": "f1"}]} if name == "blue" else {}
        write(f"{name}.yaml", task=name, tag=tags, metadata={"family": "demo"}, **more)
    (tmp_path / "inherits.yaml").write_text("include: red.yaml\ntask: pink\n")
    (tmp_path / "quoted.yaml").write_text('include: red.yaml\n"task": "name with spaces" # a comment\n')
    (tmp_path / "_template_yaml").write_text("task: not_seen\n")
    (tmp_path / "broken.yaml").write_text("task: broken\n  x: [\n")
    (tmp_path / "group.yaml").write_text(
        "group: warm_ones\ntask: [red, orange]\naggregate_metric_list: [{metric: acc}]\n"
        "metadata: {unit: true, margin: 0.05}\n"
    )
    (tmp_path / "all.yaml").write_text(
        "group: colours\ntask:\n  - warm_ones\n  - cold\n  - group: inner\n    task: [pink, red]\n"
    )
    (tmp_path / "suite.yaml").write_text("suite: few\ntasks: [warm_ones, blue]\nlimit: 7\nmargins: {blue: 0.1}\n")
    return tmp_path
