"""A finished run in a moment: tables of a base and candidates, compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import evalharness

LOST = {"task1": 0, "task2": 0, "task3": 0, "task4": 60}


Changes = Mapping[str, Mapping[str, tuple[int, int]]]  # candidate and task: examples lost and gained


def compared_candidates(folder: Path, changes: Changes, examples: int = 1000, **options: Any) -> Path:
    """The folder of a run of candidates that all name the same tasks; the base is right about four of five examples.
    `options`: of the comparison; without a target they are said to have none.
    """
    tasks = next(iter(changes.values()))
    unchanged = dict.fromkeys(tasks, (0, 0))
    for name, of in {"base": unchanged, **changes}.items():
        rows = [
            f"{task},{i},{int(lost <= i < examples * 4 // 5 or i >= examples - gained)}"
            for task, (lost, gained) in of.items()
            for i in range(examples)
        ]
        (folder / f"{name}.csv").write_text("\n".join(("task,id,score", *rows, "")))
    tables = [str(folder / f"{name}.csv") for name in ("base", *changes)]
    options = {"target": "none", **options}
    evalharness.compare(tables, metrics={"score": {"chance": 0.25}}, out=folder / "run", **options)
    return folder / "run"


def compared(folder: Path, lost: Mapping[str, int] = LOST, examples: int = 1000) -> Path:
    """The folder of a run in which `new` lost so many examples of each task; the base is right about four of five."""
    return compared_candidates(folder, {"new": {task: (count, 0) for task, count in lost.items()}}, examples)
