"""Logs in lm-eval's form, written line by line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from imports.tiny_logs import DATE, Line


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[..., Path]:
    """A folder of one model: task to its lines, and what results_DATE.json says beside."""

    def write(
        name: str, tasks: Mapping[str, Sequence[Line]], about: Mapping[str, Any] | None = None, date: str = DATE
    ) -> Path:
        folder = tmp_path / name / "model__name"
        folder.mkdir(parents=True, exist_ok=True)
        for task, lines in tasks.items():
            (folder / f"samples_{task}_{date}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
        if about is not None:
            (folder / f"results_{date}.json").write_text(json.dumps(about))
        return tmp_path / name

    return write
