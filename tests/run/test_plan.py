"""What a run plans before any answer is computed."""

from __future__ import annotations

from pathlib import Path

from evalharness.paths import shipped
from evalharness.records.job_options import make_job
from evalharness.run.plan import make_run_plan

BASE = shipped("fixtures/models") / "tiny-base"


def test_people_were_asked_about_no_invented_rows(tmp_path: Path) -> None:
    """The demo's rows are the embedded world's, which have nothing to do with what is published of SST-2."""
    named = {"models": (f"same={BASE}",), "base": str(BASE), "allow_noop": True, "out": tmp_path / "out"}
    world = shipped("fixtures/world/rows")
    levels = {
        data_dir: {task.name: task.human for task in make_run_plan(make_job(**named, suite="demo", **given)).tasks}
        for data_dir, given in ((None, {}), (world, {"data_dir": world}))
    }
    assert not any(levels[None].values())
    assert levels[world]["sst2"] is not None and levels[world]["topics"] is None
