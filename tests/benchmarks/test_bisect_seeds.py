"""The committed outcome of bisect over draws of the rows is as good as docs/stages.md says."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_bisect_names_what_looking_at_all_checkpoints_names() -> None:
    rows = json.loads((ROOT / "benchmarks" / "bisect_seeds.json").read_text("utf-8"))
    assert {row["seed"] for row in rows} <= {*range(20)} and {len(row["course"]) for row in rows} == {16}
    equal = sum(row["bisect"] == row["scan"] and row["outcome"] in ("found", "nothing_forgotten") for row in rows)
    assert equal * 20 >= 19 * len(rows) and max(row["evaluations"] for row in rows) <= 6
    page = (ROOT / "docs" / "stages.md").read_text("utf-8")
    assert f"the same in {equal} of {len(rows)} draws" in page and "benchmarks/bisect_seeds.py" in page
