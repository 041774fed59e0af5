"""Describe the reference models of a run, which are compared like candidates and never judged.

The base with an adapter that changes nothing shows the engine's noise, and the base without quantisation shows what
quantisation alone changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.records.comparison import Comparison, Level
from evalharness.records.models import ModelKind
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.order import in_order


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisationChange:
    """One task's scores of the quantised base (`scores.base`) and of the base without quantisation
    (`scores.candidate`).
    """

    task: str
    level: str
    metric: str
    n: int
    scores: wording.ScoreChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantisation:
    """The page's part on what quantisation changes of the base. `says`: a sentence on the direction."""

    says: str
    changes: tuple[QuantisationChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """The page's section on reference models. `engine_noise`: a sentence, "" if it was not measured. `quantisation`:
    None if it was not measured.
    """

    engine_noise: str
    quantisation: Quantisation | None


def references(results: Results) -> References | None:
    """Return the section of the page; None if no reference was measured."""
    measured = References(engine_noise=noise_text(results), quantisation=quantisation(results))
    return measured if measured.engine_noise or measured.quantisation else None


def noise_text(results: Results) -> str:
    """Say how far the scores of the base with an adapter that changes nothing are from the base's; "" if not
    measured.
    """
    rows = [
        c
        for _, of_task in in_order(results, _names_of_kind(results, ModelKind.PLACEBO))
        for c in of_task
        if c.level == Level.TASK
    ]
    moved = [(abs(c.difference.value), c) for c in rows if c.difference is not None]
    if not moved:
        return ""
    size, furthest = max(moved, key=lambda size_and_row: size_and_row[0])
    flips = sum((c.lost or 0) + (c.gained or 0) for c in rows)
    answers = f"{wording.counted(sum(c.n for c in rows), 'answer')} on {wording.counted(len(rows), 'task')}"
    if not size and not flips:
        return (
            f"engine noise 0: through an adapter that changes nothing the base scores as without one ({answers}), "
            "so attaching alone moves no score"
        )
    return (
        f"engine noise: largest |difference| {wording.plain(size, wording.places_for([size], 4))} "
        f"({wording.one_line(furthest.task, 40)}, {wording.one_line(furthest.metric, 40)}), "
        f"{wording.counted(flips, 'flip')} in {answers}, through an adapter that changes nothing; "
        "a candidate's difference of that size is no finding"
    )


def quantisation(results: Results) -> Quantisation | None:
    """Return the comparison of the quantised base with the base without quantisation; None if it was not measured."""
    rows = [c for _, of_task in in_order(results, _names_of_kind(results, ModelKind.UNQUANTISED)) for c in of_task]
    if not rows:
        return None
    precision = wording.one_line(str(results.signature.get("precision") or "quantised"), 20)
    says = (
        f"quantisation alone: the base as it is minus the base in {precision}, with which candidates are compared; "
        "above 0 is what quantising took away"
    )
    return Quantisation(says=says, changes=tuple(map(_change, rows)))


def _names_of_kind(results: Results, kind: str) -> tuple[str, ...]:
    return tuple(model.name for model in results.models if model.kind == kind)


def _change(c: Comparison) -> QuantisationChange:
    return QuantisationChange(task=c.task, level=c.level, metric=c.metric, n=c.n, scores=wording.change_of(c))
