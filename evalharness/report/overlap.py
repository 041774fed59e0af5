"""Results to what candidates had seen of the evaluation in training: sentences for the terminal and the page, and a
table of both parts.

Nothing is judged here: verdicts stand on all examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalharness.records.comparison import Comparison, Level
from evalharness.records.results import Results
from evalharness.report import wording

CLEAN, OVERLAPPING = "@clean", "@overlapping"
LONGEST = 60  # characters of a name in a sentence
MOST = 8  # sentences about one candidate in a terminal


@dataclass(frozen=True, slots=True)
class Part:
    """Scores on one part of a task, as they are shown."""

    n: str = wording.NONE
    base: str = wording.NONE
    candidate: str = wording.NONE
    difference: str = wording.NONE
    interval: str = ""


@dataclass(frozen=True, slots=True)
class OverlapRow:
    """One candidate and one task (or group) of which it had seen some. `counts` is empty of a group."""

    candidate: str
    task: str
    level: str
    metric: str
    counts: str
    all: Part
    clean: Part
    overlapping: Part


@dataclass(frozen=True, slots=True)
class Overlap:
    """What the page says. `said`: sentences; `notices`: what could not be looked at; `rows` of tasks of which something
    had been seen.
    """

    said: tuple[str, ...]
    notices: tuple[str, ...]
    rows: tuple[OverlapRow, ...]
    run: int  # words in a row that make an overlap


def overlap(results: Results) -> Overlap | None:
    """None where nothing is known of what any candidate was fine-tuned on."""
    candidates = _candidates(results)
    if not candidates:
        return None
    said = [sentence for name, facts in candidates.items() for sentence in _sentences(results, name, facts)]
    notices = [
        f"{wording.one_line(name, LONGEST)}: {notice}"
        for name, facts in candidates.items()
        for notice in facts.get("notices", ())
    ]
    rows = [row for name, facts in candidates.items() for row in _rows(results, name, facts)]
    method = results.signature["overlap"].get("method", {})
    return Overlap(tuple(said), tuple(notices), tuple(rows), int(method.get("run", 0)))


def lines(results: Results) -> list[str]:
    """The sentences as a terminal shows them, the most overlapping tasks of each candidate first."""
    found: list[str] = []
    for name, facts in _candidates(results).items():
        said = _sentences(results, name, facts)
        found += said[:MOST]
        if len(said) > MOST:
            found.append(
                f"{wording.counted(len(said) - MOST, 'more task')} overlap with what {name} was {_used(facts)} on: see the report"
            )
    return ["", *found] if found else []


def _candidates(results: Results) -> dict[str, Mapping[str, Any]]:
    listed = results.signature.get("overlap")
    of = listed.get("candidates") if isinstance(listed, Mapping) else None
    there = {c.candidate for c in results.comparisons}
    return (
        {str(name): facts for name, facts in of.items() if name in there and isinstance(facts, Mapping)}
        if isinstance(of, Mapping)
        else {}
    )


def _seen(facts: Mapping[str, Any]) -> list[tuple[str, Mapping[str, int]]]:
    """Tasks of which something was seen, the largest share first."""
    tasks = [(str(task), counts) for task, counts in facts.get("tasks", {}).items() if counts["overlapping"]]
    return sorted(tasks, key=lambda of: -of[1]["overlapping"] / of[1]["examples"])


def _sentences(results: Results, name: str, facts: Mapping[str, Any]) -> list[str]:
    short = wording.one_line(name, LONGEST)
    found = [_sentence(results, name, task, counts, _used(facts)) for task, counts in _seen(facts)]
    if found or not facts.get("sources"):
        return found
    rows, asked = (
        sum(source["rows"] for source in facts["sources"]),
        sum(counts["examples"] for counts in facts["tasks"].values()),
    )
    return [
        f"none of {wording.counted(asked, 'example')} overlaps with the {wording.counted(rows, 'row')} that {short} was {_used(facts)} on"
    ]


def _used(facts: Mapping[str, Any]) -> str:
    """What its rows were for, by some of which weights may have been selected only."""
    return "fine-tuned or selected" if any(source.get("use") for source in facts.get("sources", ())) else "fine-tuned"


def _sentence(results: Results, name: str, task: str, counts: Mapping[str, int], used: str) -> str:
    n, seen = counts["examples"], counts["overlapping"]
    shown, short = wording.one_line(task, LONGEST), wording.one_line(name, LONGEST)
    verb = "overlaps" if seen == 1 else "overlap"
    head = f"{seen:,} of {wording.counted(n, 'example')} of {shown} {verb} with what {short} was {used} on "
    head += f"({counts['whole']:,} as a whole, {counts['with_answer']:,} with the answer)"
    whole, clean = _deciding(results, name, task), _part_of(results, name, task, CLEAN)
    if clean is None or whole is None:
        return f"{head}; none is left without"
    places = wording.places_for((clean.base.value, clean.candidate_score.value, whole.base.value))
    before, after = (wording.signed(c.difference.value, places) for c in (whole, clean))
    return f"{head}; without them the difference is {after} instead of {before}{_consequence(whole, clean)}"


def _consequence(whole: Comparison, clean: Comparison) -> str:
    """What a reader of the verdict should know: another sign, or another side of the margin."""
    was, now = whole.difference.value, clean.difference.value
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
    """The row of a part by the metric that decides the task."""
    deciding = _deciding(results, name, task)
    metric = deciding.metric if deciding else None
    return next(
        (c for c in results.comparisons if (c.task, c.candidate, c.metric) == (f"{task}{part}", name, metric)), None
    )


def _rows(results: Results, name: str, facts: Mapping[str, Any]) -> list[OverlapRow]:
    tasks = dict(_seen(facts))
    parts = {
        c.task.removesuffix(part)
        for part in (CLEAN, OVERLAPPING)
        for c in results.comparisons
        if c.candidate == name and c.task.endswith(part)
    }
    names = [
        *tasks,
        *(
            c.task
            for c in results.comparisons
            if c.level == Level.GROUP and c.candidate == name and c.primary and c.task in parts
        ),
    ]
    found = []
    for task in names:
        whole = _deciding(results, name, task)
        if whole is not None:
            of = [whole, *(_part_of(results, name, task, part) for part in (CLEAN, OVERLAPPING))]
            counts = tasks.get(task)
            said = f"{counts['overlapping']:,} of {counts['examples']:,}" if counts else ""
            found.append(OverlapRow(name, task, whole.level, whole.metric, said, *map(_shown, of)))
    return found


def _shown(c: Comparison | None) -> Part:
    if c is None:
        return Part()
    places = wording.places_for((c.base.value, c.candidate_score.value, c.difference.value))
    scores = (wording.plain(score.value, places) for score in (c.base, c.candidate_score))
    return Part(f"{c.n:,}", *scores, wording.signed(c.difference.value, places), wording.interval(c.difference, places))
