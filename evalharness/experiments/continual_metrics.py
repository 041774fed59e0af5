"""Follow every task over the stages of a training: its scores, and the first stage that forgot it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evalharness import fingerprint, results
from evalharness.analysis.comparison import compare
from evalharness.analysis.gate_units import Subject, subjects
from evalharness.experiments.continual_measures import (
    StagesRun,
    Track,
    estimate_of,
    measures_of,
    pairs_of_models,
    with_scales,
)
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Comparison, Flag, Level, base_of
from evalharness.report.stages import Stages, StageScore, StageTask
from evalharness.stats.enums import Verdict
from evalharness.stats.multiplicity import holm
from evalharness.stats.pairs import Pairs
from evalharness.stats.retention import retention
from evalharness.stats.verdict import decide

RULE = (
    "A task is tested after every stage but the one that taught it: against that stage if later, against the base "
    "if earlier or where no stage taught it. The test is at its margin, and Holm's correction is over all {tests} "
    "tests of tasks and stages: the chance that anything at all is called forgotten that lost no more than its margin "
    "is at most {alpha:g}. The first stage named is the first at which it is shown, not surely the first at which it "
    "is so."
)


def stages_of(out: Path, track: Track) -> Stages:
    """Follow every task through the stages of the finished run in `out`. Raises UsageError if there is no run."""
    measured = results.read_measurements(out)
    rows = results.read_results(out).comparisons
    run = StagesRun(
        track=track,
        facts=measured.facts,
        table={(m.task, m.metric, m.model): m for m in measured.measurements},
        plan=_plan_of(measured.plan, track),
        comparisons={(row.task, row.candidate): row for row in rows if row.primary and row.level != Level.SUITE},
    )
    columns_of = [subject for subject in subjects(run.facts, run.plan) if _is_column(subject)]
    pairs = {subject.name: pairs_of_models(run, subject) for subject in columns_of}
    columns = [_column(run, subject, pairs[subject.name]) for subject in columns_of]
    columns, scaled = with_scales(_tested(run, columns, _since(run, columns_of)), columns_of, pairs)
    tests = sum(cell.p_adjusted is not None for column in columns for cell in column.cells)
    return Stages(
        base=track.base,
        stages=track.stages,
        learned=track.learned,
        joint=track.joint,
        fresh=track.fresh,
        alpha=run.plan.alpha,
        level=run.plan.level,
        tests=tests,
        rule=RULE.format(tests=tests, alpha=run.plan.alpha),
        scaled=scaled,
        columns=tuple(columns),
        measures=tuple(measures_of(run, columns, pairs)),
        of=fingerprint.of_file(out / results.RESULTS),
    )


def _plan_of(plan: ComparePlan, track: Track) -> ComparePlan:
    """Reduce the run's plan to the parts that decide single tasks."""
    groups = tuple(replace(group, also=()) for group in plan.groups)
    alone = replace(plan, base=track.base, candidates=track.stages, groups=groups, targets={}, average=None)
    return replace(alone, references=(), until_decided=False)


# ---- columns ---------------------------------------------------------------------------------------------------------


def _is_column(subject: Subject) -> bool:
    """Return whether the subject (a task or group by one metric) is a gate unit, or a single task without a test."""
    return subject.unit or (subject.primary and subject.level == Level.TASK and not subject.inside)


def _column(run: StagesRun, subject: Subject, pairs: Mapping[str, Pairs]) -> StageTask:
    """Make a column with scores and differences to the base. `pairs`: the base's rows paired with each model's."""
    rows = {
        name: run.comparisons[subject.name, name]
        for name in (*run.track.stages, run.track.joint, run.track.fresh)
        if name is not None
    }
    first, metric, cells = rows[run.track.stages[0]], subject.members[0][1], list[StageScore]()
    for number, stage in enumerate(run.track.stages, 1):
        row, retained = rows[stage], None
        reference = run.track.known_by(run.learned(subject), number)
        if reference is not None and pairs:
            share = retention(replace(pairs[stage], base=pairs[reference].candidate), run.plan.level)
            retained = None if share is None else estimate_of(share)
        cells.append(
            StageScore(
                stage=stage,
                n=row.n,
                score=row.candidate_score,
                difference=row.difference,
                verdict=row.verdict,
                retained=retained,
            )
        )
    joint, fresh = (rows[name].candidate_score if name else None for name in (run.track.joint, run.track.fresh))
    return StageTask(
        name=subject.name,
        level=first.level,
        metric=first.metric,
        kind=metric.kind,
        higher_is_better=metric.higher_is_better,
        unit=first.unit,
        margin=first.margin,
        chance=next(iter(pairs.values())).chance if pairs else subject.members[0][0].chance,
        learned=run.learned(subject),
        base=base_of(rows.values()),
        cells=tuple(cells),
        joint=joint,
        fresh=fresh,
    )


# ---- what was forgotten when -----------------------------------------------------------------------------------------


def _since(run: StagesRun, tested: Sequence[Subject]) -> dict[tuple[str, str], Comparison]:
    """Compare every stage with the model that knew the task, by (column, stage). Comparisons with the base come from
    the run.
    """
    rows_since: dict[tuple[str, str], Comparison] = {}
    for taught_at in sorted({run.learned(subject) for subject in tested}):
        names, later = (
            {subject.name for subject in tested if run.learned(subject) == taught_at},
            run.track.stages[taught_at:],
        )
        with_base = run.track.stages[: taught_at - 1] if taught_at else later
        rows_since |= {(name, stage): run.comparisons[name, stage] for name in names for stage in with_base}
        if taught_at and later:
            of = [subject for subject in tested if subject.name in names]
            facts = [replace(fact, metrics=(metric,)) for subject in of for fact, metric in subject.members]
            groups = tuple(subject.group for subject in of if subject.group is not None)
            plan = replace(run.plan, base=run.track.stages[taught_at - 1], candidates=later, groups=groups)
            rows = compare(facts, list(run.table.values()), plan)
            rows_since |= {
                (row.task, row.candidate): row
                for row in rows
                if row.task in names and row.primary and row.level != Level.SUITE
            }
    return rows_since


def _tested(
    run: StagesRun, columns: Sequence[StageTask], since: Mapping[tuple[str, str], Comparison]
) -> list[StageTask]:
    """Add the tests to the columns, with Holm's correction over all tests."""
    keys = [
        (column.name, cell.stage)
        for column in columns
        for cell in column.cells
        if column.unit and (row := since.get((column.name, cell.stage))) is not None and row.p_forgotten is not None
    ]
    adjusted = dict(zip(keys, holm([since[key].p_forgotten or 0.0 for key in keys]), strict=True))
    tested = []
    for column in columns:
        cells = []
        for number, cell in enumerate(column.cells, 1):
            row, p = since.get((column.name, cell.stage)), adjusted.get((column.name, cell.stage))
            if row is not None:
                cell = replace(cell, reference=run.track.known_by(column.learned, number), since=row.difference)
            if row is not None and p is not None:
                cell = replace(cell, p_forgotten=row.p_forgotten, p_adjusted=p, state=_state(row, p, run.plan.alpha))
            cells.append(cell)
        tested.append(_with_first(replace(column, cells=tuple(cells))))
    return tested


def _state(row: Comparison, adjusted: float, alpha: float) -> Verdict:
    can_retain = not {Flag.MARGIN_EXCEEDS_SKILL, Flag.BASE_AT_CHANCE, Flag.NO_RANGE} & set(row.flags)
    p_retained = 1.0 if row.p_retained is None else row.p_retained
    return decide(adjusted, p_retained, alpha, units=row.n, can_retain=can_retain)


def _with_first(column: StageTask) -> StageTask:
    states = [cell.state for cell in column.cells]
    early, states = states[: column.learned], states[column.learned :]
    if Verdict.FORGOTTEN in early:
        column = replace(column, untaught=column.cells[early.index(Verdict.FORGOTTEN)].stage)
    if Verdict.FORGOTTEN not in states:
        return column
    place = states.index(Verdict.FORGOTTEN)
    later = states[place + 1 :]
    if not later:
        after = "last"
    elif set(later) == {Verdict.FORGOTTEN}:
        after = "stays"
    else:
        after = "comes_back" if later[-1] == Verdict.RETAINED else "undecided"
    return replace(column, first=column.cells[column.learned + place].stage, after=after)
