"""Aggregate a gate unit's scores over wordings: worst, mean, best, and the verdict on each wording.

A gate unit is a task or group that the gate judges; a wording is one of several prompts that ask the same examples of
it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from evalharness.analysis.candidate_data import CandidateData, candidate_data
from evalharness.analysis.gate_units import Subject
from evalharness.analysis.pairing import pair_rows
from evalharness.analysis.rows import whole_of
from evalharness.records.comparison import Comparison, Estimate
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.tasks import VariantKind
from evalharness.records.wordings import WordingSpread, WorstToBest
from evalharness.stats.assess import assess_at_margin
from evalharness.stats.enums import Verdict


def wording_spreads(run: MeasuredRun, comparisons: Sequence[Comparison]) -> tuple[WordingSpread, ...]:
    """Return the spread of scores for every candidate and gate unit that was asked in several wordings, in the order of
    the comparisons.
    """
    table = {(m.task, m.metric, m.model): m for m in run.measurements}
    spreads: list[WordingSpread] = []
    for candidate in run.plan.candidates:
        own = [row for row in comparisons if row.candidate == candidate and row.n]
        with_wordings = [
            (unit, rows) for unit in own if unit.is_gate_unit and (rows := list(_other_wordings(unit, own)))
        ]
        if with_wordings:
            data = candidate_data(candidate, run.facts, table, run.plan)
            subjects = {(subject.name, subject.metric): subject for subject in data.subjects}
            spreads += [_spread(unit, rows, data, subjects) for unit, rows in with_wordings]
    return tuple(spreads)


def _other_wordings(unit: Comparison, rows: Iterable[Comparison]) -> Iterator[Comparison]:
    for row in rows:
        variant = row.variant
        if variant is None or variant.kind is not VariantKind.WORDING or not variant.beside:
            continue
        if (variant.of, row.metric) == (unit.task, unit.metric):
            yield row


def _spread(
    unit: Comparison, others: Sequence[Comparison], data: CandidateData, subjects: dict[tuple[str, str], Subject]
) -> WordingSpread:
    rows, subject = [unit, *others], subjects[unit.task, unit.metric]
    better_when_higher = subject.members[0][1].higher_is_better
    verdicts = [_verdict(subjects[row.task, row.metric], unit.margin, data) for row in rows]
    return WordingSpread(
        task=unit.task,
        level=unit.level,
        candidate=unit.candidate,
        metric=unit.metric,
        wordings=("", *(row.variant.way for row in others if row.variant)),
        base=_ends((row.base for row in rows), better_when_higher),
        candidate_score=_ends((row.candidate_score for row in rows), better_when_higher),
        difference=_ends(row.difference for row in rows),
        verdicts=None if data.plan.until_decided else tuple(verdicts),
    )


def _ends(scores: Iterable[Estimate | None], better_when_higher: bool = True) -> WorstToBest:
    values = sorted((score.value for score in scores if score is not None), reverse=not better_when_higher)
    return WorstToBest(worst=values[0], mean=math.fsum(values) / len(values), best=values[-1])


def _verdict(subject: Subject, margin: float | None, data: CandidateData) -> Verdict:
    """Return the verdict on one wording, as if nothing else were tested."""
    plan = data.plan
    parts = [pair_rows(task, metric, data.sides, data.table, plan.order_seed)[0] for task, metric in subject.members]
    finding = assess_at_margin(whole_of(subject, parts, margin), plan.level)
    return finding.verdict(finding.p_forgotten or 0.0, finding.p_retained or 0.0, plan.alpha)
