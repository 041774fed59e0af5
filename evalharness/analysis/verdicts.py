"""Give every judged row of one candidate its verdict, with p-values adjusted over the gate units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from evalharness.analysis.early_stopping import sequential_rows
from evalharness.analysis.rows import ComparisonDraft
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import (
    Adjustment,
    Comparison,
    EngineNoise,
    Estimate,
    Flag,
    Level,
    StoppingState,
    WouldDecide,
)
from evalharness.stats.assess import Finding
from evalharness.stats.enums import Verdict
from evalharness.stats.multiplicity import benjamini_hochberg, holm
from evalharness.stats.needed import POWER, needed
from evalharness.stats.verdict import is_suspect

PARTS = ("p_forgotten", "p_difference")  # what is adjusted of the parts of gate units


def with_verdicts(rows: Sequence[ComparisonDraft], candidate: str, plan: ComparePlan) -> list[Comparison]:
    """Give every judged row of one candidate its verdict, with adjusted p-values.

    Holm's adjustment is over the gate units (tasks and groups that the gate judges) without the suite; Benjamini and
    Hochberg's is over the parts of gate units.
    """
    family = [i for i, row in enumerate(rows) if row.is_gate_unit]
    stopping: Mapping[int, StoppingState] = {}
    if plan.until_decided:
        rows, adjusted, stopping = sequential_rows(rows, plan)
    else:
        adjusted = dict(zip(family, holm([rows[i].finding.p_forgotten or 0.0 for i in family]), strict=True))
    adjusted |= {
        i: row.finding.p_forgotten or 0.0 for i, row in enumerate(rows) if row.unit and row.level == Level.SUITE
    }
    tests = dict.fromkeys(family, max(1, len(family)))
    comparisons = [
        replace(
            _without_unmeasured(_described(row, _comparison(row, candidate, plan, adjusted.get(i), tests.get(i, 1)))),
            adjustment=Adjustment.HOLM if i in tests else None,
            stopping=stopping.get(i),
            span=row.span,
        )
        for i, row in enumerate(rows)
    ]
    parts = [i for i, row in enumerate(rows) if row.part]
    q_forgotten, q_difference = (_q([getattr(comparisons[i], p) for i in parts]) for p in PARTS)
    for i, forgotten, difference in zip(parts, q_forgotten, q_difference, strict=True):
        by = Adjustment.BENJAMINI_HOCHBERG
        comparisons[i] = replace(comparisons[i], adjustment=by, q_forgotten=forgotten, q_difference=difference)
    return comparisons


def _q(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Benjamini and Hochberg's q-values of the p-values that are not None."""
    there = [i for i, p in enumerate(p_values) if p is not None]
    adjusted = dict(zip(there, benjamini_hochberg([p for p in p_values if p is not None]), strict=True))
    return [adjusted.get(i) for i in range(len(p_values))]


def _comparison(
    row: ComparisonDraft, candidate: str, plan: ComparePlan, adjusted: float | None, tests: int
) -> Comparison:
    """Return the comparison with its verdict. `adjusted`: p_forgotten, adjusted over `tests` rows; None: it is not
    adjusted.
    """
    finding = row.finding
    verdict, would_decide, flags = _verdict(row, plan, adjusted, tests)
    return Comparison(
        task=row.task,
        family=row.family,
        level=row.level,
        unit=row.unit,
        metric=row.metric,
        primary=row.primary,
        candidate=candidate,
        n=finding.units,
        base=Estimate.of(finding.base),
        candidate_score=Estimate.of(finding.candidate),
        difference=Estimate.of(finding.difference),
        ci_level=plan.level,
        lost=finding.lost,
        gained=finding.gained,
        p_forgotten=finding.p_forgotten,
        p_forgotten_adjusted=adjusted,
        p_retained=finding.p_retained,
        p_difference=finding.p_difference,
        margin=finding.margin,
        verdict=verdict,
        flags=(*flags, *_of_difference(finding, verdict), *row.flags),
        would_decide=would_decide,
        available=row.available,
        points=row.points,
    )


def _described(row: ComparisonDraft, comparison: Comparison) -> Comparison:
    """Return the comparison with the fields that only describe."""
    return replace(
        comparison,
        retention=None if row.retention is None else Estimate.of(row.retention),
        flips=row.flips,
        general=row.general,
        capped=row.capped,
        median=row.median,
        variant=row.variant,
        examples=row.examples,
        repeated=row.repeated,
        left_out=row.left_out,
        base_answers=row.answers[0],
        candidate_answers=row.answers[1],
        unfit=row.unfit,
        base_parts=row.parts[0],
        candidate_parts=row.parts[1],
        human=row.human,
        engine_noise=_noise(row),
    )


def _noise(row: ComparisonDraft) -> EngineNoise | None:
    level = row.noise
    if level is None:
        return None
    return EngineNoise(n=level.units, flips=level.changed, mean_change=level.total, widened_by=level.bound)


def _without_unmeasured(row: Comparison) -> Comparison:
    """Return the row without placeholder numbers: those of a row without units, and the scores of a mean over gate
    units.
    """
    without = replace(row, base=None, candidate_score=None)
    if row.n:
        return row if row.level in (Level.TASK, Level.GROUP) else without
    without = replace(without, difference=None, lost=None, gained=None)
    return replace(without, p_forgotten=None, p_forgotten_adjusted=None, p_retained=None, p_difference=None)


def _verdict(
    row: ComparisonDraft, plan: ComparePlan, adjusted: float | None, tests: int
) -> tuple[Verdict | None, WouldDecide | None, list[Flag]]:
    """Return the verdict of a judged row, its flags, and what would decide it if it is undecided."""
    finding = row.finding
    if not row.judged or finding.margin is None or finding.p_forgotten is None or finding.p_retained is None:
        return None, None, []
    flags, would_decide = list[Flag](), None
    p_forgotten = finding.p_forgotten if adjusted is None else adjusted
    verdict = finding.verdict(p_forgotten, finding.p_retained, plan.alpha)
    if verdict == Verdict.INCONCLUSIVE and not (row.watch and row.watch.stopped):
        would_decide = _would_decide(row, (plan.final_alpha / tests, plan.final_alpha))
    if row.is_gate_unit and is_suspect(_p_of_suspicion(finding), plan.alpha, tests, finding.units):
        flags.append(Flag.SUSPECT)
    if finding.noise:
        flags.append(Flag.ENGINE_NOISE)
    if finding.units and finding.at_chance:
        flags.append(Flag.BASE_AT_CHANCE)
    elif finding.units and finding.bounded and not finding.can_retain and Flag.CHANCE_UNKNOWN not in row.flags:
        flags.append(Flag.MARGIN_EXCEEDS_SKILL)
    elif finding.units and not finding.bounded:
        flags.append(Flag.NO_RANGE)
    return verdict, would_decide, flags


def _p_of_suspicion(finding: Finding) -> float:
    """Return p_forgotten at the stated margin, not widened by the engine's noise, so that noise lets nothing pass. For
    a unit asked in rounds, return the smaller of that and the p-value that holds at any round.
    """
    p = 1.0 if finding.p_forgotten is None else finding.p_forgotten
    return min(p, finding.p_at(finding.margin)[0]) if finding.noise and finding.margin is not None else p


def _would_decide(row: ComparisonDraft, alphas: tuple[float, float]) -> WouldDecide | None:
    what = needed(row.finding, alphas)
    if what is None:
        return None
    there = what.units is not None and what.units <= row.available
    return WouldDecide(verdict=what.verdict, assumption=what.assumption, examples=what.units, power=POWER, there=there)


def _of_difference(finding: Finding, verdict: Verdict | None) -> Iterator[Flag]:
    """Yield the flags that the interval of the difference sets, whether the row is judged or not."""
    low, high = finding.difference.low, finding.difference.high
    if high is not None and high < 0 and verdict != Verdict.FORGOTTEN:
        yield Flag.DROP_DETECTED
    if low is not None and low > 0:
        yield Flag.IMPROVED
