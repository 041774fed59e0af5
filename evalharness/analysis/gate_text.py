"""Write the lines in which the gate states its reasons, and what a pass does not exclude.

A gate unit is a task or group that the gate judges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from evalharness.analysis.number_text import coverage, signed
from evalharness.analysis.phrases import engine_noise, never_retained, units_of, would_decide
from evalharness.records.comparison import Comparison, Flag, Level, value_of
from evalharness.records.measurements import ExampleError
from evalharness.records.models import NO_TARGET
from evalharness.records.policy import Waiver
from evalharness.records.results import Results
from evalharness.stats.enums import Verdict
from evalharness.stats.verdict import MIN_UNITS, SUSPECTS

WORDS_OF_LIMITS = {
    "truncated": "prompts were cut to the window",
    "cut_off": "answers were cut off at the length limit",
    "unparsed": "answers were unreadable",
    "empty": "answers were empty",
}
SHOWN_REASON = 200  # characters of an error's reason that are shown
SHOWN_UNITS = 3  # of those whose possible loss is largest


def forgotten(row: Comparison) -> str:
    p = row.p_forgotten if row.p_forgotten_adjusted is None else row.p_forgotten_adjusted
    return f"forgotten: {row.candidate} on {row.task}: {_difference(row)}, p {_p(p)}{_changes(row)}"


def suspect(row: Comparison) -> str:
    """Say why a unit that is not forgotten keeps the gate from passing."""
    without = "without the engine's noise, " if Flag.ENGINE_NOISE in row.flags else ""
    says = f"{without}alone it would count as forgotten"
    return f"suspect: {row.candidate} on {row.task}: {_difference(row)}, p {_p(row.p_forgotten)}: {says}"


def above_ceiling(row: Comparison, ceiling: float) -> str:
    low = loss_bound(row)
    possible = (
        f"no loss is excluded{_no_range(row)}" if low is None else f"a loss of {amount(-low, row)} is not excluded"
    )
    return f"ceiling: {row.candidate} on {row.task}: {possible}, the ceiling is {amount(ceiling, row)}"


def no_ceiling(row: Comparison) -> str:
    """Say why a unit does not pass under a ceiling that is only for scores from 0 to 1."""
    if row.span is None:
        return f"ceiling: {row.candidate} on {row.task}: no loss is excluded{_no_range(row)}"
    fix = f"give --ceiling {row.task}=… (it can lose up to {row.span:g})"
    return f"ceiling: {row.candidate}: no ceiling for {row.task} ({row.metric}): {fix}"


def loss_bound(row: Comparison) -> float | None:
    """Return the lower bound of the true difference at level 1 − α; None without an interval, or if the metric has no
    finite range: then a sample excludes nothing.
    """
    return None if row.difference is None or row.span is None else row.difference.low


def largest_possible_loss(rows: Sequence[Comparison]) -> Comparison | None:
    """Return the row that may have lost most, in its margins.

    It is the first row without a bound, else the one with the lowest bound. None if no loss is possible or nothing was
    measured.
    """
    bounds = [(loss_bound(row), row) for row in rows if row.difference is not None]
    if unbounded := [row for low, row in bounds if low is None]:
        return unbounded[0]
    losses = [(low / (row.margin or 1.0), row) for low, row in bounds if low is not None and low < 0]
    return min(losses, key=lambda loss_and_row: loss_and_row[0])[1] if losses else None


def undecided(suite: Comparison, units: Sequence[Comparison]) -> str:
    """Say why the suite is not retained, and what would decide it."""
    what = f"undecided: {suite.candidate} over {suite.task}: "
    if Flag.SUITE_NOT_TESTED in suite.flags:
        return f"{what}not tested, because a gate unit was stopped first"
    retained = sum(row.verdict == Verdict.RETAINED for row in units)
    parts = [_difference(suite) + ("" if suite.p_retained is None else f", p_retained {_p(suite.p_retained)}")]
    parts += [] if retained else [f"none of its {len(units)} gate units is retained" if len(units) > 1 else ""]
    if suite.n < MIN_UNITS:
        parts.append(f"fewer than {MIN_UNITS} {units_of(suite)} decide nothing")
    return what + "; ".join(
        dict.fromkeys(part for part in (*parts, would_decide(suite), never_retained(suite)) if part)
    )


def inconclusive(row: Comparison) -> str:
    """Say why a unit is not retained, and what would decide it. Such a unit alone does not stop the candidate."""
    parts = (_difference(row), would_decide(row), never_retained(row))
    return f"inconclusive: {row.candidate} on {row.task}: " + "; ".join(dict.fromkeys(filter(None, parts)))


def over_limit(row: Comparison, what: str, share: float, limit: float) -> str:
    """Say why a unit does not pass of whose answers more are unfit than the policy allows."""
    of = WORDS_OF_LIMITS[what]
    return (
        f"limit: {row.candidate} on {row.task}: {100 * share:.1f} % of its {of}, the policy allows {100 * limit:.3g} %"
    )


def within_limit(units: Sequence[Comparison], tolerated: Collection[str]) -> list[str]:
    """Name the gate units with failed examples, but no more than the policy allows."""
    failed = [(row, row.unfit.failed) for row in units if row.unfit and row.unfit.failed and row.task in tolerated]
    what = "of its examples got no answer and are left out, which the policy allows"
    return [f"failed: {row.candidate} on {row.task}: {100 * share:.1f} % {what}" for row, share in failed]


def waiver_expired(waiver: Waiver) -> str:
    return f"expired: the waiver of {waiver.words}: it no longer counts"


def target_unknown(suite: Comparison, units: Sequence[Comparison]) -> str:
    """Say why a candidate whose target (the task it was trained on) is not stated does not pass: the suite may include
    its gain there. Name the largest gain that is shown.
    """
    gains = [(row.difference.value / (row.margin or 1.0), row) for row in units if _is_gain(row) and row.difference]
    likely = max(gains, key=lambda gain_and_row: gain_and_row[0])[1] if gains else None
    gain = "a gain there" if likely is None else f"its gain on {likely.task} ({_difference(likely)})"
    name = "TASK" if likely is None else likely.task
    return (
        f"target unknown: {suite.candidate}: what it was trained for is not said, so that {gain} may stand in "
        f"the suite; run or compare with --target {name}, or --target {NO_TARGET} where it was trained for none of "
        "these tasks"
    )


def not_alike(name: str, units: Sequence[Comparison]) -> list[str]:
    """Name the gate units whose prompts or decoding rules differ between base and candidate."""
    ways = {Flag.PROMPTS_DIFFER: "asked in other prompts than", Flag.DECODED_DIFFERENTLY: "decoded by other rules than"}
    differing = ((words, [row.task for row in units if flag in row.flags]) for flag, words in ways.items())
    return [f"{name} was {words} the base in {', '.join(tasks)}" for words, tasks in differing if tasks]


def _is_gain(row: Comparison) -> bool:
    low = None if row.difference is None else row.difference.low
    return low is not None and row.margin is not None and low > row.margin


def not_measured(row: Comparison, results: Results) -> str:
    """Say that a row has no units, and why if that is known."""
    target = next((model.target_task for model in results.models if model.name == row.candidate), None)
    own = [c for c in results.comparisons if c.candidate == row.candidate and c.is_gate_unit]
    where = "over" if row.level == Level.SUITE else "on"
    why = ""
    if row.level == Level.SUITE and own and all(c.task == target for c in own):
        why = f": {target} is its target, and the suite leaves that out"
    return f"incomplete: nothing was measured of {row.candidate} {where} {row.task}{why}"


def failed(errors: Sequence[ExampleError]) -> str:
    """Return one line on the failures of one model on one task."""
    first = errors[0]
    return f"incomplete: {len(errors)} × {first.model} on {first.task}: {first.reason[:SHOWN_REASON]}"


def not_excluded(name: str, units: Sequence[Comparison]) -> str:
    """Return the losses that a pass leaves possible, the largest in margins first, and whether any answer changed at
    all.
    """
    measured = [(loss_bound(row), row) for row in units if row.difference is not None]
    unbounded = [row.task for low, row in measured if low is None]
    lows = [(low / (row.margin or 1.0), low, row) for low, row in measured if low is not None and low < 0]
    largest = sorted(lows, key=lambda low_and_row: low_and_row[0])[:SHOWN_UNITS]
    losses_shown = [f"{amount(-low, row)} on {row.task}" for _, low, row in largest]
    if unbounded:
        losses_shown.append(f"any on {', '.join(unbounded)}, where no bound is known")
    level = units[0].ci_level if units else 0.9
    each = f", each at {coverage((1 + level) / 2)}"
    which = "losses" if len(losses_shown) > 1 else "loss"
    same = "" if any(map(_any_change, units)) else "no answer changed; "
    losses = "; ".join(losses_shown) + each if losses_shown else "none"
    return f"passed: {name}: {same}the largest {which} not excluded: {losses}"


def candidates_tried(rows: Sequence[Comparison], candidates: Sequence[str]) -> str:
    """Say how many candidates were tried, and how many suspect units chance alone would give of them.

    Of m units, each is suspect with probability at most min(α, 0.75 / m): at most min(α m, 0.75) a candidate.
    """
    units = [row for row in rows if row.is_gate_unit]
    suspects = sum(Flag.SUSPECT in row.flags for row in units)
    count = len(candidates)
    alpha = (1 - units[0].ci_level) / 2 if units else 0.0
    most = min(alpha * max(Counter(row.candidate for row in units).values(), default=0), SUSPECTS)
    who = "1 candidate was tried" if count == 1 else f"{count} candidates were tried"
    of = "" if count == 1 else f" of each ({most * count:.2g} of all)"
    chance = f"where nothing is lost, chance alone makes at most {most:.2g} gate units suspect{of}"
    return f"{who}; {chance}; {suspects} of {len(units)} are"


def amount(loss: float, row: Comparison) -> str:
    """Return a loss as text, in the unit of the row's metric: in points if that is scored from 0 to 1."""
    return f"{100 * loss:.1f} points" if row.points else f"{loss:.3g} {row.metric}"


def one_line(text: str) -> str:
    """Return the text on one line, without unprintable characters."""
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))


def _difference(row: Comparison) -> str:
    """Return the difference with its interval and its margin, in the metric's unit."""
    if row.difference is None:
        return f"{row.metric} not measured"
    value, low, high = row.difference.value, row.difference.low, row.difference.high
    interval = "" if low is None or high is None else f" [{signed(low)}, {signed(high)}]"
    margin = "" if row.margin is None else f", margin {row.margin:g}"
    noise = f", {words}" if row.margin is not None and (words := engine_noise(row)) else ""
    return f"{row.metric} {signed(value)}{interval}{margin}{noise}"


def _any_change(row: Comparison) -> bool:
    return bool(row.lost or row.gained or value_of(row.difference))


def _no_range(row: Comparison) -> str:
    return "" if row.span is not None else f", because {row.metric} states no finite range"


def _changes(row: Comparison) -> str:
    return "" if row.lost is None else f", {row.lost} lost and {row.gained} gained of {row.n}"


def _p(value: float | None) -> str:
    if value is None:
        return "unknown"
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"
