"""Write sentences and a table on examples that candidates saw in training, for the terminal and the page.

Nothing is judged here: verdicts are over all examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalharness.analysis.overlap_split import CLEAN, OVERLAPPING
from evalharness.records.comparison import Comparison, Level, value_of
from evalharness.records.results import Results
from evalharness.records.tasks import VariantKind
from evalharness.report import wording

LONGEST = 60  # characters of a name in a sentence
MOST = 8  # sentences about one candidate in a terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class PartScores:
    """The scores on one part of a task, as texts. `n`: the number of examples."""

    n: str
    scores: wording.ScoreChange


NOT_COMPARED = PartScores(
    n=wording.NONE,
    scores=wording.ScoreChange(base=wording.NONE, candidate=wording.NONE, difference=wording.NONE, interval=""),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapRow:
    """One candidate's scores on a task or group of which it saw examples in training: all, unseen, and seen ones.

    `level`: "task" or "group"; `counts`: how many examples it saw, of how many; "" for a group. `all`, `clean`,
    `overlapping`: the scores on all examples, on those that it did not see, and on those that it saw.
    """

    candidate: str
    task: str
    level: str
    metric: str
    counts: str
    all: PartScores
    clean: PartScores
    overlapping: PartScores


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """The page's section on overlap. `notices`: what could not be searched. `rows`: tasks with overlapping examples."""

    sentences: tuple[str, ...]
    notices: tuple[str, ...]
    rows: tuple[OverlapRow, ...]
    run: int  # words in a row that make an overlap


def overlap(results: Results) -> Overlap | None:
    """Return the section of the page; None if no candidate's training rows are known."""
    candidates = _candidates(results)
    if not candidates:
        return None
    sentences = [sentence for name, facts in candidates.items() for sentence in _sentences(results, name, facts)]
    notices = [
        f"{wording.one_line(name, LONGEST)}: {notice}"
        for name, facts in candidates.items()
        for notice in facts.get("notices", ())
    ]
    rows = [row for name, facts in candidates.items() for row in _rows(results, name, facts)]
    method = results.signature["overlap"].get("method", {})
    return Overlap(sentences=tuple(sentences), notices=tuple(notices), rows=tuple(rows), run=int(method.get("run", 0)))


def lines(results: Results) -> list[str]:
    """Return the sentences for a terminal, for each candidate the tasks with the largest overlap first."""
    sentences_shown: list[str] = []
    for name, facts in _candidates(results).items():
        sentences = _sentences(results, name, facts)
        sentences_shown += sentences[:MOST]
        if len(sentences) > MOST:
            more = wording.counted(len(sentences) - MOST, "more task")
            sentences_shown.append(f"{more} overlap with what {name} was {_use_of_rows(facts)} on: see the report")
    return ["", *sentences_shown] if sentences_shown else []


def _candidates(results: Results) -> dict[str, Mapping[str, Any]]:
    listed = results.signature.get("overlap")
    of = listed.get("candidates") if isinstance(listed, Mapping) else None
    there = {c.candidate for c in results.comparisons}
    return (
        {str(name): facts for name, facts in of.items() if name in there and isinstance(facts, Mapping)}
        if isinstance(of, Mapping)
        else {}
    )


def _overlapping_tasks(facts: Mapping[str, Any]) -> list[tuple[str, Mapping[str, int]]]:
    """Return tasks with overlapping examples, the largest share first."""
    tasks = [(str(task), counts) for task, counts in facts.get("tasks", {}).items() if counts["overlapping"]]
    return sorted(tasks, key=lambda of: -of[1]["overlapping"] / of[1]["examples"])


def _sentences(results: Results, name: str, facts: Mapping[str, Any]) -> list[str]:
    sentences = [
        _sentence(results, name, task, counts, _use_of_rows(facts)) for task, counts in _overlapping_tasks(facts)
    ]
    if sentences or not facts.get("sources"):
        return sentences
    rows = wording.counted(sum(source["rows"] for source in facts["sources"]), "row")
    examples = wording.counted(sum(counts["examples"] for counts in facts["tasks"].values()), "example")
    short = wording.one_line(name, LONGEST)
    return [f"none of {examples} overlaps with the {rows} that {short} was {_use_of_rows(facts)} on"]


def _use_of_rows(facts: Mapping[str, Any]) -> str:
    """Say what the candidate's rows were used for: training, or also selecting its weights."""
    return "fine-tuned or selected" if any(source.get("use") for source in facts.get("sources", ())) else "fine-tuned"


def _sentence(results: Results, name: str, task: str, counts: Mapping[str, int], used: str) -> str:
    n, count = counts["examples"], counts["overlapping"]
    task_name, short = wording.one_line(task, LONGEST), wording.one_line(name, LONGEST)
    verb = "overlaps" if count == 1 else "overlap"
    head = f"{count:,} of {wording.counted(n, 'example')} of {task_name} {verb} with what {short} was {used} on "
    head += f"({counts['whole']:,} as a whole, {counts['with_answer']:,} with the answer)"
    whole, clean = _deciding(results, name, task), _part_of(results, name, task, CLEAN)
    if clean is None or whole is None:
        return f"{head}; none is left without"
    places = wording.places_for((*wording.values_of(clean)[:2], value_of(whole.base)))
    before, after = (wording.signed(value_of(c.difference), places) for c in (whole, clean))
    return f"{head}; without them the difference is {after} instead of {before}{_consequence(whole, clean)}"


def _consequence(whole: Comparison, clean: Comparison) -> str:
    """Say whether the difference without overlap has another sign, or lies on another side of the margin."""
    was, now = value_of(whole.difference), value_of(clean.difference)
    if was is None or now is None:
        return ""
    if whole.margin is not None and (was < -whole.margin) != (now < -whole.margin):
        return f": {'beyond' if now < was else 'within'} the margin of {whole.margin:g}, unlike on all examples"
    return ": of the other sign" if was * now < 0 else ""


def _deciding(results: Results, name: str, task: str) -> Comparison | None:
    return next(
        (
            c
            for c in results.comparisons
            if (c.task, c.candidate, c.primary) == (task, name, True) and c.level != Level.SUITE
        ),
        None,
    )


def _part_of(results: Results, name: str, task: str, part: str) -> Comparison | None:
    """Return the row of one part of a task, by the metric that decides the task."""
    deciding = _deciding(results, name, task)
    metric = deciding.metric if deciding else None
    rows = (c for c in results.comparisons if c.variant is not None and (c.candidate, c.metric) == (name, metric))
    return next((c for c in rows if c.variant and (c.variant.of, c.variant.way) == (task, part)), None)


def _rows(results: Results, name: str, facts: Mapping[str, Any]) -> list[OverlapRow]:
    tasks = dict(_overlapping_tasks(facts))
    own = [c for c in results.comparisons if c.candidate == name]
    parts = {c.variant.of for c in own if c.variant is not None and c.variant.kind is VariantKind.PART}
    groups = [c.task for c in own if c.level == Level.GROUP and c.primary and c.task in parts]
    rows = []
    for task in (*tasks, *groups):
        whole = _deciding(results, name, task)
        if whole is None:
            continue
        counts = tasks.get(task)
        row = OverlapRow(
            candidate=name,
            task=task,
            level=whole.level,
            metric=whole.metric,
            counts=f"{counts['overlapping']:,} of {counts['examples']:,}" if counts else "",
            all=_part_scores(whole),
            clean=_part_scores(_part_of(results, name, task, CLEAN)),
            overlapping=_part_scores(_part_of(results, name, task, OVERLAPPING)),
        )
        rows.append(row)
    return rows


def _part_scores(c: Comparison | None) -> PartScores:
    return NOT_COMPARED if c is None else PartScores(n=f"{c.n:,}", scores=wording.change_of(c))
