"""Conclude from intervals whether knowledge or the format of the answer was lost, and say so in words.

"Fell" means that the whole interval of the difference lies below 0. The rule uses only intervals that are compared
anyway:

    constant   the candidate gives one answer to nine of ten rows or more, and the base does not: what it knows
               cannot be seen
    knowledge  choosing is forgotten or fell, and so did the part of written answers that are readable and wrong; more
               are not unreadable
    both       choosing is forgotten or fell, and more of the right answers can no longer be read
               (neither of these two if the written answer's interval lies wholly above choosing's: then writing shows
               less of a loss)
    format     choosing neither is forgotten nor fell, its interval lies above the written answer's, which fell, mostly
               to unreadable texts (the balance of the two parts fell); or only the answer that stands alone fell, and
               the one anywhere in the text did not
    unclear    everything else, and if the base is not better than chance

It applies only if choosing or writing fell. It reads intervals without correction for the number of tasks, and no
verdict uses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalharness.analysis.number_text import plain, signed
from evalharness.metrics import CHOOSE
from evalharness.records.comparison import Comparison, Estimate, Flag
from evalharness.records.diagnosis import ChoiceBias, Conclusion, Measure, WrittenFlips
from evalharness.records.results import Results
from evalharness.stats.enums import Verdict
from evalharness.tasks.variants import BIAS

HEADS: dict[Conclusion, str] = {
    Conclusion.KNOWLEDGE: "knowledge seems to be lost, not the format",
    Conclusion.BOTH: "it chooses worse, and more of what it writes cannot be read",
    Conclusion.FORMAT: "the knowledge seems to be there, the format not",
    Conclusion.CONSTANT: "it answers the same whatever is asked",
    Conclusion.UNCLEAR: "knowledge or format cannot be told apart",
}
CHANCE = "the base itself is not better than chance"
KEPT = "it chooses worse, and what it writes shows no loss"
LESS = "it chooses worse by more than it writes worse"
MORE = "writing fell by more than choosing, mostly to texts that cannot be read"
OTHERWISE = "what it would choose, it does not write"
ALIKE = "choosing may have fallen as much as writing"
ALONE = "the right answer is written as often, but less often alone"
STOPPED = "; of the rows asked before it was stopped, on which losses look a little larger than they are"
SIGNS = {
    "empty": "empty",
    "repetition": "repeated words",
    "cut": "cut off at the limit",
}  # measures that say how a text cannot be read


class Reading(NamedTuple):
    """One conclusion of the rule, and in words what led to it; "" if nothing more is to be said."""

    conclusion: Conclusion
    because: str = ""


def lost(choice: Comparison) -> bool:
    """Return whether a gate unit is forgotten, or its whole interval lies below 0."""
    return choice.verdict == Verdict.FORGOTTEN or fell(choice.difference)


def unexplained(results: Results) -> list[str]:
    """Return the gate units (tasks and groups that the gate judges) on which a candidate lost by choosing, and which no
    diagnosis explains.
    """
    explained = {(diagnosis.task, diagnosis.candidate) for diagnosis in results.diagnoses}
    units = [
        row
        for row in results.comparisons
        if row.is_gate_unit and row.primary and row.metric.partition(",")[0] in CHOOSE
    ]
    return list(dict.fromkeys(row.task for row in units if lost(row) and (row.task, row.candidate) not in explained))


def fell(difference: Estimate | None) -> bool:
    return difference is not None and difference.high is not None and difference.high < 0


def conclude(
    choice: Comparison, accuracy: Comparison, twins: tuple[Comparison, Comparison], flips: WrittenFlips
) -> Reading:
    """Apply the rule to one task of a candidate.

    `choice`: the row that decides it. `accuracy`: choosing, on the scale of the written scores. `twins`: writing the
    answer, scored with the answer anywhere in the text, and with the answer alone. `flips`: lost and gained written
    answers.
    """
    lenient, strict = twins
    if constant := _one_answer(choice):
        return Reading(Conclusion.CONSTANT, constant)
    if Flag.BASE_AT_CHANCE in choice.flags:
        return Reading(Conclusion.UNCLEAR, CHANCE)
    if lost(choice):
        unreadable, wrong = fell(flips.unreadable), fell(flips.wrong)
        if not (unreadable or wrong):
            return Reading(Conclusion.UNCLEAR, KEPT)
        if _above(lenient, accuracy):
            return Reading(Conclusion.UNCLEAR, LESS)
        mostly = MORE if _above(accuracy, lenient) and fell(flips.balance) else ""
        return Reading(Conclusion.BOTH, mostly) if unreadable else Reading(Conclusion.KNOWLEDGE)
    if not fell(lenient.difference):
        return (
            Reading(Conclusion.FORMAT, ALONE)
            if _above(lenient, strict) and _above(accuracy, strict)
            else Reading(Conclusion.UNCLEAR, ALIKE)
        )
    if not _above(accuracy, lenient):
        return Reading(Conclusion.UNCLEAR, ALIKE)
    return (
        Reading(Conclusion.FORMAT)
        if fell(flips.unreadable) and fell(flips.balance)
        else Reading(Conclusion.UNCLEAR, OTHERWISE)
    )


def _one_answer(choice: Comparison) -> str:
    """Return the answer that the candidate gives to nearly all examples and the base does not, with its share; ""
    without one.
    """
    base, counts = choice.base_answers, choice.candidate_answers
    if counts is None or not counts.constant or (base is not None and base.constant):
        return ""
    return f"“{counts.most_common}” in {_percent(counts.most_common_count / counts.answers)}"


def _above(one: Comparison, other: Comparison) -> bool:
    """Return whether the whole interval of one difference lies above the other's."""
    if one.difference is None or other.difference is None:
        return False
    low, high = one.difference.low, other.difference.high
    return low is not None and high is not None and low > high


def diagnosis_text(
    reading: Reading, measures: Sequence[Measure], flips: WrittenFlips, leaning: Mapping[str, ChoiceBias] | None
) -> str:
    """Return the conclusion and the numbers that it rests on, on one line."""
    by_name = {measure.name: measure for measure in measures}
    head = HEADS[reading.conclusion] + (f" ({reading.because})" if reading.because else "")
    parts = [
        f"{name} {_moved(by_name[name])}"
        for name in ("choosing", "written", *(("strict",) if reading.because == ALONE else ()))
    ]
    losses = flips.lost_unreadable + flips.lost_wrong
    fates = f"{flips.lost_unreadable} can no longer be read, {flips.lost_wrong} are readable and wrong"
    parts.append(f"of {losses} right answers lost {fates}" if losses else "no right answer lost in writing")
    parts.append(f"{flips.gained_unreadable + flips.gained_wrong} gained")
    for name, word in SIGNS.items():
        now, before = (
            _percent(getattr(by_name[name], side).value) if name in by_name else "" for side in ("candidate", "base")
        )
        parts += [f"{word} {now} (base {before})"] if _rose(by_name, name) and now != before else []
    if leaning and _rose(by_name, BIAS):
        most = leaning["candidate"]
        parts.append(f"it picks “{most.choice}” in {_percent(most.picked)}, right in {_percent(most.right)}")
    return f"{head}: {'; '.join(parts)}"


def _rose(by_name: Mapping[str, Measure], name: str) -> bool:
    """Return whether a measure of which less is better rose: its whole interval is above 0."""
    return name in by_name and fell(by_name[name].difference)


def _moved(measure: Measure) -> str:
    low, high = measure.difference.low, measure.difference.high
    interval = f" [{signed(low)}, {signed(high)}]" if low is not None and high is not None else ""
    before, after = (plain(side.value) for side in (measure.base, measure.candidate))
    return f"{before} → {after} ({signed(measure.difference.value)}{interval})"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
