"""Write phrases that the gate and all reports share: what would decide an undecided row, or why nothing would."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from evalharness.records.comparison import Comparison, Flag, Level, WouldDecide, value_of
from evalharness.stats.enums import Assumption, Verdict
from evalharness.stats.power import MOST
from evalharness.stats.verdict import MIN_UNITS, SKILL_SHARE

NEVER: Final = {  # flags of rows that cannot be retained, and why; the first that holds is stated
    Flag.CHANCE_UNKNOWN: " as long as it is not known what guessing scores: state the chance of its units",
    Flag.BASE_AT_CHANCE: " as long as the base does no better than guessing",
    Flag.MARGIN_EXCEEDS_SKILL: ": the margin is more than a fifth of what the base scores over chance",
    Flag.NO_RANGE: ": the metric states no finite range, so that a loss has no end",
}


def units_of(row: Comparison) -> str:
    """Return the noun for a row's units: "examples", or "questions" if some are repeated, or "units (of 5 rows on
    average)" if some consist of several rows.
    """
    rows = f"{row.examples / max(1, row.n):.3g}"
    if row.examples <= row.n:
        return "examples"
    if rows == "1" or row.examples - row.n <= row.repeated:
        return "questions"
    return f"units (of {rows} rows on average)"


def leaning(row: Comparison) -> str:
    """Return "leans retained", or the verdict that more examples would give an undecided row; "" if it is decided or
    none would.
    """
    return "" if row.would_decide is None else f"leans {row.would_decide.verdict}"


def would_decide(row: Comparison) -> str:
    """Say in one clause what would decide an undecided row; "" for every other row.

    "about 34,750 examples would show “retained” with probability 0.8 if nothing is lost; the set has 500: this margin
    cannot be certified here"
    """
    if row.verdict != Verdict.INCONCLUSIVE:
        return ""
    what = row.would_decide
    if what is None:
        return _why_none(row)
    if what.examples is None and row.n < MIN_UNITS:
        return f"{row.n} of a task's {units_of(row)} are too few to tell how many would show “{what.verdict}”"
    number = f"more than {MOST:,}" if what.examples is None else f"about {what.examples:,}"
    over = " over all gate units" if row.level == Level.SUITE else ""
    sentence = f"{number} {units_of(row)}{over} would show “{what.verdict}” with probability {what.power:g}"
    sentence = f"{sentence} {_assumed(row, what)}"
    if what.there:
        return f"{sentence}; the set has {row.available:,}"
    subject = "margin cannot be certified" if what.verdict == Verdict.RETAINED else "loss cannot be shown"
    return f"{sentence}; the set has {row.available:,}: this {subject} here"


def never_retained(row: Comparison) -> str:
    """Say why no number of examples would show that a row is retained; "" if one could."""
    reasons = [why for flag, why in NEVER.items() if flag in row.flags]
    if row.level == Level.SUITE and Flag.MARGIN_EXCEEDS_SKILL in row.flags:
        reasons = [f": in its units' mean the base is less than {1 / SKILL_SHARE:.0f} margins above chance"]
    return f"no number of examples would show “{Verdict.RETAINED}”{reasons[0]}" if reasons else ""


def in_short(row: Comparison) -> str:
    """Say what would decide a row in a few words, for a narrow cell: "leans retained: 34,750 examples, the set has
    500".
    """
    what = row.would_decide
    if what is None:
        return ""
    number = f"more than {MOST:,}" if what.examples is None else f"{what.examples:,}"
    return f"{leaning(row)}: {number} {units_of(row).partition(' ')[0]}, the set has {row.available:,}"


def undecided_reasons(rows: Iterable[Comparison]) -> dict[str, list[str]]:
    """Return the sentences on what would decide undecided rows, each with the tasks to which it applies."""
    tasks: dict[str, list[str]] = {}
    for row in rows:
        if words := would_decide(row):
            tasks.setdefault(words, []).append(row.task)
    return tasks


def _assumed(row: Comparison, what: WouldDecide) -> str:
    if what.assumption == Assumption.NOTHING_LOST:
        return "if nothing is lost"
    return f"if the {'loss' if (value_of(row.difference) or 0.0) < 0 else 'difference'} is what was seen"


def _why_none(row: Comparison) -> str:
    """Say why it is not stated how many examples would decide."""
    if not row.n:
        return "nothing was measured"
    if Flag.SUITE_NOT_TESTED in row.flags:
        return "not tested, because a gate unit was stopped first"
    if row.stopping is not None and row.stopping.stopped:
        return f"asked no further than {row.stopping.asked:,} of {row.stopping.planned:,} {units_of(row)}"
    return never_retained(row)


def engine_noise(row: Comparison) -> str:
    """Say how many answers the engine alone changed, and by how much the row's tests are widened for it; "" if no
    placebo (the base with an adapter that changes nothing) was measured.
    """
    noise = row.engine_noise
    if noise is None:
        return ""
    widened = f", ±{noise.widened_by:.2g}" if noise.widened_by else ""
    return f"engine noise {noise.flips} of {noise.n}{widened}"
