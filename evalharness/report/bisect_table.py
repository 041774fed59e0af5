"""Write sentences and a table on a bisection, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from evalharness.report import wording
from evalharness.report.bisect import Bisection, CheckpointLook, UnitLook
from evalharness.report.text_table import REMARKS, TextTable, from_rows
from evalharness.stats.enums import Verdict

NAME = 60  # characters of a checkpoint's name
OUTCOMES = {
    "nothing_forgotten": "nothing forgotten",
    "found": "found",
    "not_monotone": "not monotone",
    "undecided": "undecided",
}


def looks_table(bisection: Bisection) -> TextTable:
    """Return a row for each evaluated checkpoint, in the order of the training."""
    rows = [
        {
            "place": f"{look.place:,}",
            "checkpoint": wording.one_line(look.checkpoint, NAME),
            "state": look.state,
            "worst unit": _worst(look),
            REMARKS: _remark(bisection, look),
        }
        for look in sorted(bisection.looks, key=lambda look: look.place)
    ]
    looked = f"{len(bisection.looks)} of {wording.counted(len(bisection.checkpoints), 'checkpoint')}"
    return from_rows("Looked at", f"{looked}, against {wording.one_line(bisection.base, NAME)}", rows)


def sentences(bisection: Bisection) -> list[str]:
    """Return sentences on the result of the bisection, on what contradicts it, and on its error rate."""
    return list(_sentences(bisection))


def _sentences(bisection: Bisection) -> Iterator[str]:
    last = wording.one_line(bisection.checkpoints[-1], NAME)
    of = wording.one_line(bisection.unit, 40) if bisection.unit else "any gate unit"
    outcome = OUTCOMES[bisection.outcome]
    if bisection.first is None:
        open_units = any(unit.verdict != Verdict.RETAINED for look in bisection.looks for unit in look.units)
        proof = "; that is no proof of retention, for not every unit is shown to be retained" if open_units else ""
        yield f"{outcome}: {last}, the last checkpoint, is not shown to have forgotten {of}{proof}."
        yield "Checkpoints before it were not looked at."
    else:
        first = wording.one_line(bisection.first, NAME)
        yield f"{outcome}: the search by halves ends at {first}, the first checkpoint shown to have forgotten {of};"
        before = bisection.before
        yield (
            "it is the first of all."
            if before is None
            else f"{wording.one_line(before, NAME)}, the one before it, is not shown to have."
        )
        yield from _both_sides(bisection)
        yield from _against(bisection)
    yield (
        f"Each look is tested at α / {bisection.most_looks} = {bisection.alpha_of_look:.2g} (Bonferroni over the looks "
        f"there may be), with Holm's correction over its gate units; α = {bisection.alpha:g}."
    )


def _both_sides(bisection: Bisection) -> Iterator[str]:
    """Yield the differences of the forgotten units at the first checkpoint that forgot, and at the one before it."""
    first, before = bisection.look_at(bisection.first), bisection.look_at(bisection.before)
    units_before = {unit.unit: unit for unit in before.units} if before else {}
    for unit in first.units if first else ():
        if unit.verdict == Verdict.FORGOTTEN:
            name = unit.unit
            earlier = f", {_difference(units_before[name])} before" if name in units_before else ""
            yield f"  {wording.one_line(name, 40)} ({unit.metric}): {_difference(unit)}{earlier}"


def _against(bisection: Bisection) -> Iterator[str]:
    """Yield the signs that losses are not monotone, so that the search may have missed an earlier checkpoint."""
    for back in bisection.returned:
        yield (
            f"Not monotone: {wording.one_line(back.unit, 40)} is forgotten at {wording.one_line(back.forgotten, NAME)} "
            f"and retained at {wording.one_line(back.retained, NAME)}, which is later."
        )
    if bisection.earlier is not None:
        yield (
            f"{wording.one_line(bisection.earlier, NAME)}, which is earlier, is shown to have forgotten, too: "
            "which is the first is not decided."
        )
    if bisection.returned or bisection.earlier is not None:
        yield "A search by halves does not suit this training: evalharness trace measures every checkpoint."


def _worst(look: CheckpointLook) -> str:
    """Return the unit that lost most in its margins, with its difference."""
    measured = [unit for unit in look.units if unit.difference is not None and unit.margin]
    if not measured:
        return "–"
    worst = min(measured, key=_in_margins)
    return f"{wording.one_line(worst.unit, 40)} {_difference(worst)}"


def _in_margins(unit: UnitLook) -> float:
    assert unit.difference is not None and unit.margin
    return unit.difference.value / unit.margin


def _difference(unit: UnitLook) -> str:
    value = None if unit.difference is None else unit.difference.value
    return wording.with_interval(unit.difference, wording.places_for([value]))


def _remark(bisection: Bisection, look: CheckpointLook) -> str:
    if look.checkpoint == bisection.first:
        return "● first that forgot" if bisection.outcome == "found" else "where the search ends"
    return "the one before" if look.checkpoint == bisection.before else ""
