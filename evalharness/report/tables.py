"""Comparisons and models to the rows of the page's tables. Nothing is estimated here: numbers are formatted, and
divided by one another for the
two relative percentages of the classic fine-tuning table (change over the base; change over the fully fine-tuned
candidate).
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from evalharness.records.comparison import Comparison, Estimate, Level
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.order import candidates_of, groups_of, members_of, targets_of, with_families


@dataclass(frozen=True, slots=True)
class Cell:
    """One candidate on one task of the matrix. `flips`: the task's number in the list of examples, where some are shown
    there.
    """

    verdict: str | None
    score: str
    difference: str
    interval: str
    lost: int | None
    gained: int | None
    base: str  # only where it differs from the row's, because other examples were paired
    flags: tuple[str, ...]  # in words
    needed: str
    target: bool
    candidate: int
    flips: int | None
    calibration: str  # where it was measured
    kept: str  # of the base's skill, in percent


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One task, group, family or suite by its deciding metric; `cells` in the order of the candidates, None where one
    was not compared.
    """

    task: str
    level: str
    member: bool
    unit: bool
    target: bool
    metric: str
    n: int
    available: int
    margin: str
    base: str
    base_interval: str
    cells: tuple[Cell | None, ...]
    folded: int = 0  # tasks of a large group, which have no rows of their own here


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell of a sortable table: what is read, and what is sorted by (None: always last)."""

    text: str
    value: float | str | None
    kind: str = "number"
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabTable:
    """Models × metrics of one task. Each line: model, kind, then (score, over base, over the full fine-tuning) a
    metric.
    """

    task: str
    target: bool
    metrics: tuple[str, ...]
    reference: str | None  # the fully fine-tuned candidate that others are set against
    lines: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...]


COLLAPSED = 0.1  # share of the base's score at or below which a full fine-tuning is no reference on a task
MANY = 8  # tasks of a group; more stand in the table of all comparisons alone
CALIBRATION = {"ece": "calibration error", "brier_score": "Brier"}  # metrics that stand beside the task's own
TEXT_COLUMNS = ("Task", "Metric", "Candidate", "Verdict", "Remarks")
DETAIL_COLUMNS = tuple(
    (title, "text" if title in TEXT_COLUMNS else "number")
    for title in (
        "Task", "Metric", "Candidate", "Verdict", "n", "Base", "Candidate score", "Difference", "Interval", "vs base", "vs full", "Margin δ", "Lost",
        "Gained", "Forgotten without guesses", "Retention", "p forgotten", "Holm-adjusted", "p retained", "p difference", "q forgotten (BH)",
        "q difference (BH)", "Examples needed", "Remarks",
    )
)  # fmt: skip


def matrix(results: Results, flips: Mapping[tuple[str, str], int]) -> list[MatrixRow]:
    """Tasks × candidates. `flips`: the (task, candidate) pairs of which examples are listed, to the task's number in
    that list.
    """
    names, targets, group, calibrated = (
        candidates_of(results),
        targets_of(results),
        members_of(results),
        _calibration(results),
    )
    large = {name: len(tasks) for name, tasks in groups_of(results).items() if len(tasks) > MANY}
    rows = []
    for task, comparisons in with_families(results):
        first = comparisons[0]
        if first.level == Level.TASK and group.get(task) in large and task not in targets.values():
            continue
        places = _places(comparisons)
        aims, shown = ({}, {}) if first.level == Level.FAMILY else (targets, flips)  # a task may have a family's name
        cells = {
            c.candidate: replace(
                _cell(
                    c,
                    first,
                    places,
                    aims.get(c.candidate) == task,
                    names.index(c.candidate),
                    shown.get((task, c.candidate)),
                ),
                calibration=calibrated.get((c.level, task, c.candidate), ""),
            )
            for c in comparisons
        }
        rows.append(
            MatrixRow(
                task=task,
                level=first.level,
                member=first.level == Level.TASK and task in group,
                unit=first.unit,
                target=task in aims.values(),
                metric=first.metric,
                n=first.n,
                available=first.available,
                margin=wording.plain(first.margin, places),
                base=wording.plain(first.base.value, places) if first.n else wording.NONE,
                base_interval=wording.interval(first.base, places, sign=False),
                cells=tuple(cells.get(name) for name in names),
                folded=large.get(task, 0) if first.level == Level.GROUP else 0,
            )
        )
    return rows


def _places(comparisons: Sequence[Comparison]) -> int:
    return wording.places_for(
        value for c in comparisons for value in (c.base.value, c.candidate_score.value, c.difference.value)
    )


def _cell(c: Comparison, first: Comparison, places: int, target: bool, candidate: int, flips: int | None) -> Cell:
    return Cell(
        verdict=c.verdict,
        score=wording.plain(c.candidate_score.value, places) if c.n else wording.NONE,
        difference=wording.signed(c.difference.value, places) if c.n else wording.NONE,
        interval=wording.interval(c.difference, places),
        lost=c.lost,
        gained=c.gained,
        base="" if (c.base, c.n) == (first.base, first.n) else f"{wording.plain(c.base.value, places)}, n {c.n:,}",
        flags=tuple(wording.flag_words(flag)[0] for flag in c.flags if flag not in wording.QUIET),
        needed=f"≈ {c.examples_needed:,} examples needed" if c.examples_needed is not None else "",
        target=target,
        candidate=candidate,
        flips=flips,
        calibration="",
        kept="" if c.retention is None else f"{wording.percent(c.retention.value, 0)} of the skill kept",
    )


def _calibration(results: Results) -> dict[tuple[str, str, str], str]:
    """By (level, task, candidate): how far the candidate's certainty is from its accuracy, and the base's, where a run
    measured it.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for c in results.comparisons:
        if c.metric in CALIBRATION and not c.primary:
            words = (
                f"{CALIBRATION[c.metric]} {wording.plain(c.candidate_score.value)} (base {wording.plain(c.base.value)})"
            )
            found.setdefault((c.level, c.task, c.candidate), []).append(words)
    return {key: ", ".join(words) for key, words in found.items()}


# ---- every comparison ------------------------------------------------------------------------------------------------


def reference_candidate(results: Results) -> str | None:
    """The fully fine-tuned candidate with the largest gain on its target (the first where none was measured); None
    without one.
    """
    full = [model for model in results.models if model.base is not None and model.kind == "full"]
    return (
        max(full, key=lambda model: model.target_gain.value if model.target_gain else float("-inf")).name
        if full
        else None
    )


def frame(results: Results) -> pd.DataFrame:
    """One line a comparison, with `over_base` and `over_full` (shares; NaN where the divisor is missing or not above
    0); names made visible.

    A full fine-tuning that lost nine tenths of the base's score on a task is no reference there: `over_full` is NaN.
    """
    columns = ["level", "task", "metric", "candidate", "base", "score"]
    shown = wording.visible  # pandas cannot hold unpaired surrogates, which file names may bring
    scores = [(c.base.value, c.candidate_score.value) if c.n else (math.nan, math.nan) for c in results.comparisons]
    rows = [
        (c.level, shown(c.task), shown(c.metric), shown(c.candidate), *pair)
        for c, pair in zip(results.comparisons, scores, strict=True)
    ]
    table = pd.DataFrame(rows, columns=columns).astype({"base": float, "score": float})
    reference = shown(reference_candidate(results) or "")
    keys = ["level", "task", "metric"]
    full = (
        table[table["candidate"] == reference].drop_duplicates(keys)[[*keys, "score"]].rename(columns={"score": "full"})
    )
    table = table.merge(full, on=keys, how="left")
    table["over_base"] = table["score"] / table["base"].where(table["base"] > 0) - 1
    stands = (table["full"] > 0) & (table["full"] > COLLAPSED * table["base"])
    table["over_full"] = (table["score"] / table["full"].where(stands) - 1).where(table["candidate"] != reference)
    return table


def details(results: Results, without: Container[str] = ()) -> list[tuple[Entry, ...]]:
    """The lines of the table of all comparisons but those of tasks in `without`, in the columns of DETAIL_COLUMNS."""
    relative = frame(results)
    pairs = zip(results.comparisons, relative["over_base"], relative["over_full"], strict=True)
    return [_detail(c, over_base, over_full) for c, over_base, over_full in pairs if c.task not in without]


def _detail(c: Comparison, over_base: float, over_full: float) -> tuple[Entry, ...]:
    places = wording.places_for((c.base.value, c.candidate_score.value, c.difference.value))
    words = [wording.flag_words(flag)[0] for flag in c.flags] + ([] if c.primary else ["describes only"])
    return (
        Entry(c.task, c.task, "task" if c.level == Level.TASK else c.level),
        Entry(c.metric, c.metric, "text"),
        Entry(c.candidate, c.candidate, "text"),
        Entry(c.verdict or wording.NONE, c.verdict, "verdict"),
        Entry(f"{c.n:,}" + (f" of {c.available:,}" if c.available > c.n else ""), c.n),
        Entry(wording.plain(c.base.value, places) if c.n else wording.NONE, c.base.value),
        Entry(wording.plain(c.candidate_score.value, places) if c.n else wording.NONE, c.candidate_score.value),
        Entry(wording.signed(c.difference.value, places) if c.n else wording.NONE, c.difference.value),
        Entry(wording.interval(c.difference, places) or wording.NONE, c.difference.low),
        Entry(wording.signed_percent(over_base), _finite(over_base)),
        Entry(wording.signed_percent(over_full), _finite(over_full)),
        Entry(wording.plain(c.margin, places), c.margin),
        *(Entry(wording.NONE if count is None else f"{count:,}", count) for count in (c.lost, c.gained)),
        _share(c.flips.forgotten if c.flips else None),
        _share(c.retention),
        *(
            Entry(wording.p_value(p), p)
            for p in (
                c.p_forgotten,
                c.p_forgotten_adjusted,
                c.p_retained,
                c.p_difference,
                c.q_forgotten,
                c.q_difference,
            )
        ),
        Entry(wording.NONE if c.examples_needed is None else f"{c.examples_needed:,}", c.examples_needed),
        Entry("; ".join(words), "; ".join(words), "flags", c.flags),
    )


def _share(estimate: Estimate | None) -> Entry:
    """A share with its interval."""
    if estimate is None:
        return Entry(wording.NONE, None)
    return Entry(f"{wording.plain(estimate.value)} {wording.interval(estimate, sign=False)}".strip(), estimate.value)


def _finite(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


# ---- the classic table -----------------------------------------------------------------------------------------------


def lab_tables(results: Results) -> list[LabTable]:
    """Tasks with more than one metric, and every target: scores of all models with both relative percentages. Targets
    first.

    Other ways of asking a task have tables of their own.
    """
    table, targets = frame(results), {wording.visible(task) for task in targets_of(results).values()}
    asides = results.signature.get("asides")
    beside = {wording.visible(str(name)) for name in asides} if isinstance(asides, Mapping) else set()
    table = table[(table["level"] == "task") & ~table["task"].isin(beside)]
    found = []
    for task, part in table.groupby("task", sort=False):
        if part["metric"].nunique() > 1 or task in targets:
            found.append(_lab_table(results, str(task), part, task in targets))
    return sorted(found, key=lambda lab: not lab.target)


def _lab_table(results: Results, task: str, part: pd.DataFrame, target: bool) -> LabTable:
    metrics = tuple(part["metric"].unique())
    kinds = {wording.visible(model.name): wording.kind_words(model.kind) for model in results.models}
    base_names = [model.name for model in results.models if model.base is None] or ["base"]
    places = {
        metric: wording.places_for([*rows["base"], *rows["score"]], fine=4) for metric, rows in part.groupby("metric")
    }
    base = part.drop_duplicates("metric").set_index("metric")["base"]
    lines = [
        (
            base_names[0],
            "the original",
            tuple((wording.plain(base[metric], places[metric]), "", "") for metric in metrics),
        )
    ]
    for candidate, rows in part.groupby("candidate", sort=False):
        by_metric = rows.drop_duplicates("metric").set_index("metric").reindex(list(metrics))
        cells = [
            (
                wording.plain(line.score, places[str(line.Index)]),
                wording.signed_percent(line.over_base),
                wording.signed_percent(line.over_full),
            )
            for line in by_metric.itertuples()
        ]
        lines.append((str(candidate), kinds.get(str(candidate), ""), tuple(cells)))
    return LabTable(task, target, metrics, reference_candidate(results), tuple(lines))
