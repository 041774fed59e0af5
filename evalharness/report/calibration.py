"""Tabulate the calibration of models, if a run measured it."""

from __future__ import annotations

from evalharness.records.comparison import Comparison, base_of, value_of
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.text_table import TextTable

MEASURES = {"ece": "calibration error", "brier_score": "Brier score"}


def calibration(results: Results) -> TextTable | None:
    """Return a table of tasks and measures by models, base first; None if nothing was measured."""
    rows: dict[tuple[str, str], dict[str, Comparison]] = {}
    for c in results.comparisons:
        if c.metric in MEASURES and not c.primary and c.candidate in results.candidates:
            rows.setdefault((c.task, c.metric), {})[c.candidate] = c
    if not rows:
        return None
    names = [wording.one_line(name, 40) for name in results.candidates]
    return TextTable(
        title="Calibration",
        note="less is better: how far the certainty of a choice is from how often it is right; these describe",
        columns=("Task", "Measure", "Base", *names),
        rows=tuple(_row(results, *key, of) for key, of in rows.items()),
    )


def _row(results: Results, task: str, metric: str, of: dict[str, Comparison]) -> tuple[str, ...]:
    base = wording.plain(value_of(base_of(of.values())))
    own = (wording.plain(value_of(of[name].candidate_score)) if name in of else "" for name in results.candidates)
    return wording.one_line(task, 60), MEASURES[metric], base, *own
