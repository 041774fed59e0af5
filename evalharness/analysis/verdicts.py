"""Give every judged row of one candidate its verdict, p-values adjusted over the gate units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalharness.analysis.early_stopping import settled
from evalharness.analysis.rows import ComparisonDraft
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Comparison, Estimate, Flag, Level, Stopping, Verdict
from evalharness.stats.multiplicity import benjamini_hochberg, holm

PARTS = ("p_forgotten", "p_difference")  # what is adjusted of the parts of gate units


def with_verdicts(rows: Sequence[ComparisonDraft], candidate: str, plan: ComparePlan) -> list[Comparison]:
    """Holm over the gate units without the suite, Benjamini and Hochberg over their parts, then a verdict for every
    judged row.
    """
    family = [i for i, row in enumerate(rows) if row.unit and row.level != Level.SUITE]
    stopping: Mapping[int, Stopping] = {}
    if plan.until_decided:
        rows, adjusted, stopping = settled(rows, plan)
    else:
        adjusted = dict(zip(family, holm([rows[i].finding.p_forgotten or 0.0 for i in family]), strict=True))
    adjusted |= {
        i: row.finding.p_forgotten or 0.0 for i, row in enumerate(rows) if row.unit and row.level == Level.SUITE
    }
    tests = dict.fromkeys(family, max(1, len(family)))
    found = [_comparison(row, candidate, plan, adjusted.get(i), tests.get(i, 1)) for i, row in enumerate(rows)]
    found = [
        replace(row, adjustment="Holm" if i in tests else None, stopping=stopping.get(i)) for i, row in enumerate(found)
    ]
    parts = [i for i, row in enumerate(rows) if row.part]
    for i, p_forgotten, p_difference in zip(
        parts, *(_q([getattr(found[i], p) for i in parts]) for p in PARTS), strict=True
    ):
        found[i] = replace(
            found[i], adjustment="Benjamini-Hochberg", q_forgotten=p_forgotten, q_difference=p_difference
        )
    return found


def _q(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini and Hochberg's over those that there are."""
    there = [i for i, p in enumerate(p_values) if p is not None]
    adjusted = dict(zip(there, benjamini_hochberg([p for p in p_values if p is not None]), strict=True))
    return [adjusted.get(i) for i in range(len(p_values))]


def _comparison(
    row: ComparisonDraft, candidate: str, plan: ComparePlan, adjusted: float | None, tests: int
) -> Comparison:
    """`adjusted`: p_forgotten within its family, None for rows outside it; `tests`: how many there are in the
    family.
    """
    finding = row.finding
    verdict: Verdict | None = None
    needed, flags = None, list[str]()
    if row.judged and finding.margin is not None and finding.p_forgotten is not None and finding.p_retained is not None:
        at_chance = finding.at_chance and finding.units > 0
        p_forgotten = finding.p_forgotten if adjusted is None else adjusted
        verdict = finding.verdict(p_forgotten, finding.p_retained, plan.alpha)
        if verdict == Verdict.INCONCLUSIVE and not at_chance and not (row.watch and row.watch.stopped):
            share = plan.final_alpha
            needed = finding.examples_needed((share / tests, share if finding.can_retain else 0.0))
        flags += [Flag.FORGOTTEN_UNADJUSTED] if finding.p_forgotten <= plan.alpha < p_forgotten else []
        flags += [Flag.BASE_AT_CHANCE] if at_chance else []
        flags += [Flag.MARGIN_EXCEEDS_SKILL] if finding.units and not (finding.can_retain or at_chance) else []
    low, high = finding.difference.low, finding.difference.high
    flags += [Flag.DROP_DETECTED] if high is not None and high < 0 and verdict != Verdict.FORGOTTEN else []
    flags += [Flag.IMPROVED] if low is not None and low > 0 else []
    flags += [Flag.FEW_CHANGES] if finding.few_changes else []
    return Comparison(
        task=row.task, family=row.family, level=row.level, unit=row.unit, metric=row.metric, primary=row.primary, candidate=candidate,
        n=finding.units, base=Estimate(*finding.base), candidate_score=Estimate(*finding.candidate), difference=Estimate(*finding.difference),
        ci_level=plan.level, lost=finding.lost, gained=finding.gained, p_forgotten=finding.p_forgotten, p_forgotten_adjusted=adjusted,
        p_retained=finding.p_retained, p_difference=finding.p_difference, margin=finding.margin, verdict=verdict,
        flags=(*flags, *row.flags), examples_needed=needed, available=row.available,
        retention=None if row.retention is None else Estimate(*row.retention), flips=row.flips, general=row.general,
        variant=row.variant,
    )  # fmt: skip
