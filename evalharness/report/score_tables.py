"""Tabulate the scores of all models by metric, with changes relative to the base and to a full fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evalharness.analysis.relative import reference_candidate, relative_scores
from evalharness.records.comparison import Comparison, Estimate, Level, base_of, value_of
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.order import targets_of
from evalharness.report.variants import variants_of

Scores = tuple[tuple[str, str, str], ...]  # for each metric: score, change over the base, over the full fine-tuning
Line = tuple[str, str, Scores]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """One task's table of models × metrics.

    `task`: its name. `target`: True if a candidate was trained for it. `metrics`: the titles of the score columns.
    `reference`: name of the fully fine-tuned candidate against which relative changes are shown, None if there is none.
    `lines`: one for each model, base first: (its name, its kind in words, its scores). If published human scores are
    known, a last line called "people" shows them.
    """

    task: str
    target: bool
    metrics: tuple[str, ...]
    reference: str | None
    lines: tuple[Line, ...]
    parts: tuple[str, ...] = ()  # what scores are made of, a line for each model and metric that has parts


def score_tables(results: Results) -> list[ScoreTable]:
    """Return a table for every task with more than one metric, and for every target (a task that a candidate was
    trained for), targets first. Variants of a task, such as other prompts, are left out: they have tables of their own.
    """
    relative, targets, variants = relative_scores(results), set(targets_of(results).values()), variants_of(results)
    tasks: dict[str, list[_Score]] = {}
    for c, over_base, over_full in zip(results.comparisons, relative["over_base"], relative["over_full"], strict=True):
        if c.level == Level.TASK and c.task not in variants:
            tasks.setdefault(c.task, []).append(_Score(row=c, over_base=over_base, over_full=over_full))
    tables = [
        _table(results, task, scores, task in targets)
        for task, scores in tasks.items()
        if len({score.row.metric for score in scores}) > 1 or task in targets
    ]
    return sorted(tables, key=lambda table: not table.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Score:
    """One comparison, with the relative change of the candidate's score over the base's and over the full
    fine-tuning's; NaN for a change that is not known.
    """

    row: Comparison
    over_base: float
    over_full: float


def _table(results: Results, task: str, scores: Sequence[_Score], target: bool) -> ScoreTable:
    kinds = {model.name: wording.kind_words(model.kind) for model in results.models}
    base = next((model.name for model in results.models if model.base is None), "base")
    by_metric: dict[str, list[Comparison]] = {}
    candidates: dict[str, dict[str, _Score]] = {}
    for score in scores:
        by_metric.setdefault(score.row.metric, []).append(score.row)
        candidates.setdefault(score.row.candidate, {}).setdefault(score.row.metric, score)
    places = {metric: _places(rows) for metric, rows in by_metric.items()}
    original = tuple((_plain(base_of(rows), places[metric]), "", "") for metric, rows in by_metric.items())
    lines = [(name, kinds.get(name, ""), _cells(own, places)) for name, own in candidates.items()]
    reference = reference_candidate(results)
    return ScoreTable(
        task=task,
        target=target,
        metrics=tuple(by_metric),
        reference=reference,
        lines=((base, "the original", original), *lines, *_people(by_metric, places)),
        parts=tuple(_parts(base, [score.row for score in scores])),
    )


def _parts(base: str, rows: Sequence[Comparison]) -> Iterator[str]:
    """Yield a line for the base and each candidate with the parts that a composite score consists of."""
    done_pairs = set[tuple[str, str]]()
    for row in rows:
        for name, parts in ((base, row.base_parts), (row.candidate, row.candidate_parts)):
            if parts and (name, row.metric) not in done_pairs:
                done_pairs.add((name, row.metric))
                yield f"{row.metric} of {name}: {', '.join(f'{part} {_part(value)}' for part, value in parts.items())}"


def _part(value: float) -> str:
    return wording.plain(value, 0 if value.is_integer() and value > 1 else 2 if value > 1 else 3)


def _people(by_metric: Mapping[str, Sequence[Comparison]], places: Mapping[str, int]) -> Iterator[Line]:
    """Yield a line of published human scores with their source, if there are any."""
    levels = {metric: level for metric, rows in by_metric.items() if (level := rows[0].human)}
    if levels:
        texts = [wording.plain(levels[each].value, places[each]) if each in levels else wording.NONE for each in places]
        source = "; ".join(dict.fromkeys(level.source for level in levels.values()))
        yield "people", f"as published: {source}", tuple((text, "", "") for text in texts)


def _places(rows: Sequence[Comparison]) -> int:
    return wording.places_for((value for c in rows for value in wording.values_of(c)[:2]), fine=4)


def _plain(score: Estimate | None, places: int) -> str:
    return wording.plain(value_of(score), places)


def _cells(own: Mapping[str, _Score], places: Mapping[str, int]) -> Scores:
    none = (wording.NONE, wording.NONE, wording.NONE)
    return tuple(_cell(own[metric], places) if metric in own else none for metric in places)


def _cell(score: _Score, places: Mapping[str, int]) -> tuple[str, str, str]:
    over_base, over_full = wording.signed_percent(score.over_base), wording.signed_percent(score.over_full)
    return _plain(score.row.candidate_score, places[score.row.metric]), over_base, over_full
