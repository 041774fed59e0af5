"""Estimate each row of a comparison of one candidate with its base, before any verdict.

A gate unit is a task or group that the gate judges.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalharness.analysis.answers import BothCounts, answer_flags, notable_counts, unfit_shares
from evalharness.analysis.candidate_data import CandidateData
from evalharness.analysis.draws import generator
from evalharness.analysis.gate_units import Subject
from evalharness.analysis.pairing import Sides, knows_chance, measures_of, opaque_finding, pair_rows
from evalharness.errors import NotComparableError
from evalharness.metrics.base import ByUnit, parts_of
from evalharness.metrics.build import from_facts
from evalharness.records.answers import UnfitShares
from evalharness.records.comparison import Flag, FlipShares, Level, MeanDifference
from evalharness.records.measurements import TaskFacts
from evalharness.records.tasks import HumanLevel, Variant
from evalharness.stats.assess import Finding, assess
from evalharness.stats.early_stopping import ROUNDS, SequentialUnit, sequential_unit
from evalharness.stats.engine_noise import NoiseLevel, noise_level, widen
from evalharness.stats.enums import MetricKind
from evalharness.stats.pairs import Interval, Pairs, pool_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundsAsked:
    """How far the units of one row were asked, in a run that may stop early.

    `rounds`: the rounds that were asked. `planned`: number of units in all rounds. `unit`: the answers for the row's
    e-process, a test that may be read after every round; None: the row is no gate unit, or its score allows none.
    """

    rounds: int
    planned: int
    unit: SequentialUnit | None

    @property
    def stopped(self) -> bool:
        return self.rounds < ROUNDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonDraft:
    """One row of a comparison before its verdict: a task, group, family or suite by one metric.

    `unit`: it is a gate unit or the suite. `primary`: the metric is the one that decides. `judged`: it gets a verdict.
    `available`: examples that the task has. `flags`: warnings about the data. `finding`: the difference with its
    p-values. `repeated`: examples that repeat another's question; `left_out`: examples that fit into no model's window.
    `general`, `capped` and `median` are the suite's. The fields from `part` on describe and change no verdict; those
    without a comment are explained at `Comparison` in records.
    """

    task: str
    family: str
    level: Level
    unit: bool
    metric: str
    primary: bool
    judged: bool
    available: int
    examples: int  # in the units that were compared
    flags: tuple[Flag, ...]
    finding: Finding
    noise: NoiseLevel | None = None  # what the engine alone moves, by which the finding is widened
    variant: Variant | None = None
    part: bool = False  # a judged task within a gate unit, to look into
    span: float | None = None  # the width of the metric's range; None where nothing bounds it
    points: bool = False  # scored from 0 to 1, 1 being the best
    retention: Interval | None = None
    flips: FlipShares | None = None
    general: MeanDifference | None = None
    capped: float | None = None
    median: float | None = None
    watch: RoundsAsked | None = None  # where units were asked in rounds
    repeated: int = 0
    left_out: int = 0
    answers: BothCounts = (None, None)  # of base and candidate, where there is something to be said of them
    unfit: UnfitShares | None = None  # of gate units
    parts: tuple[Mapping[str, float], Mapping[str, float]] = ({}, {})  # what the scores of both are made of
    human: HumanLevel | None = None

    @property
    def is_gate_unit(self) -> bool:
        """Whether it is a gate unit: a task or group that the gate judges, not the suite."""
        return self.unit and self.level != Level.SUITE


def draft(data: CandidateData, subject: Subject) -> ComparisonDraft:
    """Estimate the row of one subject. Raises NotComparableError if the models did not get the same prompts, a
    measurement is missing, or a score is not a finite number.
    """
    plan, measures, answers = data.plan, dict[str, Any](), notable_counts(subject.tasks, data.sides)
    if any(metric.kind == MetricKind.OPAQUE for _, metric in subject.members):
        finding, dropped = opaque_finding(*subject.members[0], data.sides, data.table)
        examples = finding.units
    else:
        each = [pair_rows(task, metric, data.sides, data.table, plan.order_seed) for task, metric in subject.members]
        parts, dropped = [pairs for pairs, _ in each], any(lacking for _, lacking in each)
        examples = int(sum(pairs.sizes.sum() for pairs in parts))
        alone, whole = subject.group is None, whole_of(subject, parts, subject.margin)
        finding, measures["noise"] = _assessed(data, whole, subject)
        chance_known = all(knows_chance(task, metric) for task, metric in subject.members)
        measures |= measures_of(finding, whole, parts, plan.level, chance_known)
        measures["part"] = subject.judged and not subject.unit and alone
        measures["parts"] = _parts(subject, whole) if alone else ({}, {})
        measures["watch"] = _rounds_asked(data, whole, subject, finding.noise)
    return ComparisonDraft(
        task=subject.name,
        family=subject.family,
        level=subject.level,
        unit=subject.unit,
        metric=subject.metric,
        primary=subject.primary,
        judged=subject.judged,
        available=sum(task.available for task in subject.tasks),
        examples=examples,
        flags=_data_flags(subject.tasks, data.sides, dropped, answers),
        finding=finding,
        variant=subject.variant,
        span=subject.span,
        repeated=sum(task.repeated for task in subject.tasks),
        left_out=sum(task.left_out for task in subject.tasks),
        answers=answers,
        human=subject.human,
        unfit=unfit_shares(subject.tasks, data.sides, examples) if subject.unit else None,
        **measures,
    )


def _parts(subject: Subject, pairs: Pairs) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return the parts of a composite score, of base and candidate; empty if no unit was measured."""
    metric, sums = from_facts(subject.members[0][1]), [rows.sum(axis=0) for rows in (pairs.base, pairs.candidate)]
    of_base, of_candidate = (parts_of(metric, each) if len(pairs.base) else {} for each in sums)
    return of_base, of_candidate


def whole_of(subject: Subject, parts: Sequence[Pairs], margin: float | None) -> Pairs:
    """Return the pairs of a task, or the pooled pairs of a group's members (`parts`), at a margin."""
    if subject.group is None:
        return replace(parts[0], margin=margin)
    return pool_pairs(parts, margin, subject.macro)


def _noise(data: CandidateData, subject: Subject) -> NoiseLevel | None:
    """Return the engine's noise on a subject's score; None if no placebo (the base with an adapter that changes
    nothing) ran.
    """
    if data.placebo is None or any((t.name, m.id, data.placebo) not in data.table for t, m in subject.members):
        return None
    sides = (data.plan.base, data.placebo)
    parts = [pair_rows(task, metric, sides, data.table, data.plan.order_seed)[0] for task, metric in subject.members]
    level = noise_level(whole_of(subject, parts, subject.margin), data.plan.final_alpha)
    return level if level.units else None


def _rounds_asked(data: CandidateData, pairs: Pairs, subject: Subject, noise: float) -> RoundsAsked | None:
    """Return how far the units of a row were asked; None if the run has no rounds. Only a gate unit whose score is a
    mean over units has an e-process.
    """
    if not data.plan.until_decided:
        return None
    rounds = min(task.rounds.get(model, ROUNDS) for task in subject.tasks for model in data.sides)
    largest = max(
        1 if isinstance(from_facts(metric), ByUnit) and not task.repeated else task.largest
        for task, metric in subject.members
    )
    unit = None
    if subject.unit and not subject.macro and pairs.order is not None:
        unit = sequential_unit(pairs, pairs.order, float(largest), noise)
    return RoundsAsked(rounds=rounds, planned=sum(task.planned for task in subject.tasks), unit=unit)


def _assessed(data: CandidateData, pairs: Pairs, subject: Subject) -> tuple[Finding, NoiseLevel | None]:
    """Return the finding of a subject, widened by the engine's noise, and that noise.

    Its random swaps do not depend on the candidate's name, so renaming a candidate changes no number.
    """
    plan = data.plan
    rng = generator([plan.seed, subject.name, subject.metric, "swap"])
    finding = assess(pairs, plan.level, rng, data.swaps, plan.final_level if subject.unit else None)
    numbers = (*finding.base, *finding.candidate, *finding.difference)
    if not all(math.isfinite(number) for number in numbers if number is not None):
        what = f"{subject.metric} is not a finite number"
        raise NotComparableError(subject.name, what, "it must have a value for every sum of rows")
    noise = _noise(data, subject)
    return widen(finding, noise.bound if noise else 0.0), noise


def _data_flags(tasks: Sequence[TaskFacts], sides: Sides, dropped: bool, answers: BothCounts) -> tuple[Flag, ...]:
    base, candidate = sides
    unparsed = any(task.unparsed.get(model, 0) for task in tasks for model in (base, candidate))
    incomplete = dropped or any(task.failed.get(model, 0) for task in tasks for model in (base, candidate))
    differ = any(
        task.prompts.get(candidate, task.prompts_digest) != task.prompts.get(base, task.prompts_digest)
        for task in tasks
    )
    flags = {
        Flag.TRUNCATED: any(task.truncated for task in tasks),
        Flag.UNPARSED: unparsed,
        Flag.INCOMPLETE: incomplete,
        Flag.PROMPTS_DIFFER: differ,
        Flag.DECODED_DIFFERENTLY: any(candidate in task.decoded for task in tasks),
        Flag.REPEATED_PROMPTS: any(task.repeated for task in tasks),
        **answer_flags(answers),
    }
    return tuple(flag for flag, is_set in flags.items() if is_set)


def unjudged(row: ComparisonDraft) -> ComparisonDraft:
    """Return the row of a reference model: without margin, p-values and flags that could decide."""
    finding = replace(row.finding, margin=None, p_forgotten=None, p_retained=None)
    return replace(
        row,
        unit=False,
        judged=False,
        flags=tuple(flag for flag in row.flags if flag not in (Flag.BASE_AT_CHANCE, Flag.ENGINE_NOISE)),
        finding=finding,
    )
