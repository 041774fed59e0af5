"""Make the head of the page: the bases, the suite and the number of tasks that a run compared."""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.records.compare_plan import UNNAMED
from evalharness.records.comparison import Level
from evalharness.records.results import Results
from evalharness.report.variants import variants_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The head of the page. `suite`: None: the tasks have no suite's name. `tasks`: how many were compared.
    `error_count`: examples without an answer. `level`: coverage of the intervals.
    """

    suite: str | None
    bases: tuple[str, ...]
    tasks: int
    error_count: int
    level: float


def header(results: Results) -> Header:
    """Return the head of the page of a run."""
    rows, variants = results.comparisons, variants_of(results)
    suite = next((c.task for c in rows if c.level == Level.SUITE), None) or results.signature.get("suite")
    return Header(
        suite=None if suite == UNNAMED else suite,
        bases=tuple(model.name for model in results.models if model.base is None),
        tasks=len(
            {c.task for c in rows if c.is_gate_unit}
            or {c.task for c in rows if c.level == Level.TASK} - variants.keys()
        ),
        error_count=len(results.errors),
        level=next((c.ci_level for c in rows), 0.9),
    )
