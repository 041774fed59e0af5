"""Tabulate tasks by candidates, each task by the metric that decides it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evalharness.analysis.metric_unit import MetricUnit
from evalharness.analysis.phrases import in_short, undecided_reasons
from evalharness.records.comparison import Comparison, Flag, Level, value_of
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.answers import beside_score
from evalharness.report.flags import flag_words, shown_flags
from evalharness.report.order import groups_of, in_order, members_of, targets_of, with_families

MANY = 8  # tasks of a group; larger groups have theirs only in the table of all comparisons


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixCell:
    """One candidate on one task.

    `difference`, `interval`: as texts. `lost`, `gained`: numbers of units that got worse or better; None for corpus
    metrics. `base`: the base's score, if it differs from the row's because other examples were paired; else "".
    `answers`: remarks on the candidate's answers. `flags`: in words. `needed`: what would decide it. `skill_kept`: how
    much of the base's skill over chance remains, and the median gate unit. `target`: the candidate was trained for this
    task. `candidate`: its number. `flips`: the task's number in the list of changed examples; None: none are shown
    there.
    """

    verdict: str | None
    difference: str
    interval: str
    lost: int | None
    gained: int | None
    base: str
    answers: str
    flags: tuple[str, ...]
    needed: str
    skill_kept: str
    target: bool = False
    candidate: int = 0
    flips: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """One task, group, family or suite by its deciding metric.

    `member`: it is part of a group. `unit`: it is a gate unit (the gate judges it). `target`: a candidate was trained
    for it. `unit_name`: the unit of all numbers in the row. `n`: units of data compared; `available`: examples that
    there are. `margin`, `base`, `base_interval`: texts. `base_answers`: remarks on the base's answers. `cells`: in the
    order of the candidates; None: not compared. `folded`: number of tasks of a large group, which have no rows of their
    own.
    """

    task: str
    level: str
    member: bool
    unit: bool
    target: bool
    metric: str
    unit_name: str
    n: int
    available: int
    margin: str
    base: str
    base_answers: str
    base_interval: str
    cells: tuple[MatrixCell | None, ...]
    folded: int = 0


def matrix(results: Results, flips: Mapping[tuple[str, str], int]) -> list[MatrixRow]:
    """Return the rows of the table of tasks × candidates.

    `flips`: by (task, candidate), the task's number in the list of changed examples, for those that have some there.
    """
    targets, group = set(targets_of(results).values()), members_of(results)
    large = {name: len(tasks) for name, tasks in groups_of(results).items() if len(tasks) > MANY}
    rows = []
    for task, comparisons in with_families(results):
        first, metric_unit = comparisons[0], wording.unit_of(*comparisons)
        is_task, is_family = first.level == Level.TASK, first.level == Level.FAMILY
        if is_task and group.get(task) in large and task not in targets:
            continue
        row = MatrixRow(
            task=task,
            level=first.level,
            member=is_task and task in group,
            unit=first.unit,
            target=task in targets and not is_family,  # a task may have a family's name
            metric=first.metric,
            unit_name=metric_unit.name,
            n=first.n,
            available=first.available,
            margin=metric_unit.score(first.margin),
            base=metric_unit.score(value_of(first.base)),
            base_answers=next((remark for c in comparisons if (remark := beside_score(c.base_answers))), ""),
            base_interval=metric_unit.interval(first.base, sign=False),
            cells=_cells(results, comparisons, {} if is_family else flips),
            folded=large.get(task, 0) if first.level == Level.GROUP else 0,
        )
        rows.append(row)
    return rows


def what_decides(results: Results) -> list[tuple[str, str, str]]:
    """Return what would decide the undecided rows of the table: (candidate, tasks, what would decide them)."""
    rows = [
        (name, [c for _, of in in_order(results) for c in of if c.candidate == name]) for name in results.candidates
    ]
    return [
        (name, wording.listed(tasks), words) for name, own in rows for words, tasks in undecided_reasons(own).items()
    ]


def _cells(
    results: Results, comparisons: Sequence[Comparison], flips: Mapping[tuple[str, str], int]
) -> tuple[MatrixCell | None, ...]:
    targets, names, metric_unit = targets_of(results), results.candidates, wording.unit_of(*comparisons)
    cells = {
        c.candidate: replace(
            _cell(c, comparisons[0], metric_unit),
            target=targets.get(c.candidate) == c.task and c.level != Level.FAMILY,
            candidate=names.index(c.candidate),
            flips=flips.get((c.task, c.candidate)),
        )
        for c in comparisons
    }
    return tuple(cells.get(name) for name in names)


def _cell(c: Comparison, first: Comparison, metric_unit: MetricUnit) -> MatrixCell:
    return MatrixCell(
        verdict=c.verdict,
        difference=metric_unit.change(value_of(c.difference)),
        interval=metric_unit.interval(c.difference),
        lost=c.lost,
        gained=c.gained,
        base="" if (c.base, c.n) == (first.base, first.n) else f"{metric_unit.score(value_of(c.base))}, n {c.n:,}",
        answers=beside_score(c.candidate_answers),
        flags=tuple(flag_words(flag).words for flag in shown_flags(c) if flag != Flag.NO_TARGET),
        needed=in_short(c),
        skill_kept=", ".join(wording.beside_mean(c)),
    )
