"""Write the report.html of a run's folder."""

from __future__ import annotations

from pathlib import Path

from evalharness import results
from evalharness.report.page import render
from evalharness.report.stages import read_stages
from evalharness.report.sweep import read_sweep


def write(run: Path) -> Path:
    """Render the page of a finished run and return its path. Raises UsageError where the folder holds no results,
    StoreError.
    """
    run = run.parent if run.name == results.RESULTS else run
    path, run_results, sweep = run / results.REPORT, results.read_results(run), read_sweep(run)
    names = {model.name for model in run_results.models}
    of_this_run = sweep is not None and sweep.chosen and all(names.issuperset(choice.names) for choice in sweep.chosen)
    page = render(run_results, results.read_run(run), sweep if of_this_run else None, read_stages(run))
    results.write_text(path, page)
    return path
