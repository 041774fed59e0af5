"""Tasks of the public data sets, and files of their published layouts, to read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evalharness.records.tasks import Task
from evalharness.tasks.spec import task_from


@pytest.fixture
def of(tmp_path: Path) -> Callable[..., Task]:
    """A task of a data set: of("nyu-mll/glue", "rte")."""

    def of(path: str, name: str | None = None, **changes: Any) -> Task:
        values = {
            "task": "mine",
            "dataset_path": path,
            "dataset_name": name,
            "test_split": "test",
            "doc_to_text": "q",
            "doc_to_target": "a",
        }
        return task_from({**values, **changes}, tmp_path / "defs" / "mine.yaml")

    return of


@pytest.fixture
def lay(tmp_path: Path) -> Callable[[Mapping[str, Any]], Path]:
    """A folder with these files: bytes and texts as they are, lists as JSON lines (in .json files as one JSON list),
    dictionaries as JSON.
    """

    def lay(files: Mapping[str, Any]) -> Path:
        root = tmp_path / "data"
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, list) and path.suffix == ".jsonl":
                content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
            if isinstance(content, (list, dict)):
                content = json.dumps(content)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return lay
