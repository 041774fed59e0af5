"""Tabulate candidates of bases of several sizes, the smallest base first."""

from __future__ import annotations

from collections.abc import Iterator

from evalharness.records.compare_plan import UNNAMED
from evalharness.report import wording
from evalharness.report.gate_lines import MARKS
from evalharness.report.sizes import SizedBase, SizedCandidate, Sizes
from evalharness.report.targets import why_unlearned
from evalharness.report.text_table import REMARKS, TextTable, from_rows

LONGEST = 40  # characters of a name


def size_table(sizes: Sizes) -> TextTable:
    """Return one row for each candidate, grouped by the size of its base."""
    several = len({each.target for base in sizes.bases for each in base.candidates}) > 1
    rows = [
        {**_row(base, each), REMARKS: "; ".join(_remarks(each, several))}
        for base in sizes.bases
        for each in base.candidates
    ]
    return from_rows("What was learned and forgotten, by size of the base", note(sizes), rows)


def note(sizes: Sizes) -> str:
    """Return the note below the table: suite, tasks, targets and coverage of the intervals."""
    suite = "" if sizes.suite in (None, UNNAMED) else f"suite {wording.one_line(sizes.suite or '', LONGEST)}, "
    of = f" {wording.one_line(sizes.target, LONGEST)}" if sizes.target else ""
    return (
        f"{suite}{wording.counted(len(sizes.tasks), 'task')}; every candidate against its own base; target:"
        f"{of or ' each its own'}; in brackets: {wording.coverage(sizes.level)} intervals."
    )


def in_count(n: int) -> str:
    """Return a number of parameters as text with three figures: "1.06 M", "135 M", "1.24 B"."""
    for unit, of in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= 0.9995 * of:
            value = n / of
            return f"{value:.0f} {unit}" if value >= 99.95 else f"{value:.3g} {unit}"
    return str(n)


def _row(base: SizedBase, candidate: SizedCandidate) -> dict[str, str]:
    outcome = candidate.outcome
    gain = outcome.gain
    places = wording.places_for(() if gain is None else (gain.value, gain.low, gain.high))
    return {
        "base": f"{in_count(base.parameters)} ({wording.one_line(base.name, LONGEST)})",
        "method": wording.one_line(candidate.series, LONGEST),
        "trainable": wording.NONE if candidate.trainable is None else in_count(candidate.trainable),
        "gain on the target": wording.NONE if gain is None else wording.with_interval(gain, places),
        "suite, in margins": wording.with_interval(outcome.suite, wording.IN_MARGINS),
        "forgotten": f"{len(outcome.forgotten)} of {outcome.units}",
        "gate": f"{MARKS[candidate.standing]} {candidate.standing}",
    }


def _remarks(candidate: SizedCandidate, several: bool) -> Iterator[str]:
    outcome = candidate.outcome
    if candidate.series != candidate.name:
        yield wording.one_line(candidate.name, LONGEST)
    if several and candidate.target:
        yield f"target {wording.one_line(candidate.target, LONGEST)}"
    if candidate.target is not None and outcome.learned is False:
        yield f"did not learn its target{why_unlearned(outcome.gain)}"
    elif candidate.target is not None and outcome.learned is None:
        yield "not shown to have learned its target"
    if candidate.incomplete:
        yield "incomplete"
