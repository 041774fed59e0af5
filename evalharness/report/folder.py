"""Write report.html into a run's folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evalharness import results
from evalharness.analysis.judging import judged_results
from evalharness.report.formats import frame
from evalharness.report.page import HARD_STOP, page
from evalharness.report.repair import REPAIR, REPAIRS, Repair, repairs_in
from evalharness.report.stages import STAGES, read_stages
from evalharness.report.sweep import SWEEP

COMPARISONS = "comparisons.csv"  # beside a page that is too large for all comparisons


def write(run: Path, notify: Callable[[str], None] = lambda notice: None, most: int = HARD_STOP) -> Path:
    """Write the page of a finished run in at most `most` bytes, and comparisons.csv if the page lacks some numbers;
    return the page's path.

    `notify` gets a notice if the verdicts were judged again. Raises UsageError if the folder holds no results,
    StoreError if it cannot be written.
    """
    run = run.parent if run.name == results.RESULTS else run
    path, (run_results, notice) = run / results.REPORT, judged_results(run)
    sweep, stages, repairs = None, None, tuple[Repair, ...]()
    if notice:  # the documents beside the results were made by the older rule, too
        beside = [name for name in (SWEEP.name, STAGES.name, REPAIR.name, REPAIRS) if (run / name).exists()]
        notify("; ".join([notice, *(f"{name} is left out: give the command that made it again" for name in beside)]))
    else:
        sweep, stages, repairs = SWEEP.read(run), read_stages(run), repairs_in(run, run_results)
    names = {model.name for model in run_results.models}
    of_this_run = sweep is not None and sweep.chosen and all(names.issuperset(choice.names) for choice in sweep.chosen)
    rendered = page(run_results, results.read_run(run), sweep if of_this_run else None, stages, most, repairs)
    numbers = run / COMPARISONS
    if rendered.left_out:
        results.write_text(numbers, frame(run_results).to_csv(index=False))
    else:
        numbers.unlink(missing_ok=True)
    results.write_text(path, rendered.text)
    return path
