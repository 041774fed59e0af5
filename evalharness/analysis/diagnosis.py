"""Comparisons of choice tasks and of their written twins to diagnoses: where something was lost, is it knowledge or the
format of the answer?

The rule, all of it over intervals that are compared anyway ("fell": the whole interval of the difference lies below 0):

    knowledge  choosing is forgotten or fell, and so did the written answer's part that is readable and wrong; more are
    not unreadable
    both       choosing is forgotten or fell, and more of the right answers can no longer be read
               (neither where the written answer's interval lies wholly above choosing's: then writing shows less of a
               loss)
    format     choosing neither is forgotten nor fell, its interval lies above the written answer's, which fell, mostly
    to unreadable texts
               (the balance of the two parts fell); or only the answer that stands alone fell, the one anywhere in the
               text did not
    unclear    everything else, and wherever the base is not better than chance

It looks only where choosing or writing fell. It is a reading of intervals without correction for the number of tasks,
and no verdict uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from evalharness import fingerprint
from evalharness.analysis.pairing import paired
from evalharness.metrics import TEXTS
from evalharness.records.comparison import Comparison, Estimate, Flag, Level
from evalharness.records.diagnosis import Conclusion, Diagnosis, Leaning, Measure, Spread, WrittenFlips
from evalharness.records.measurements import Measurement, MetricFacts, TaskFacts
from evalharness.records.tasks import Group
from evalharness.stats.assess import assess
from evalharness.stats.enums import Verdict
from evalharness.stats.pairs import Pairs, pooled
from evalharness.stats.resample import Floats
from evalharness.tasks.variants import BIAS, CALIBRATION, LENIENT, STRICT, UNPARSED

ACCURACY = "acc"
HEADS: dict[Conclusion, str] = {
    Conclusion.KNOWLEDGE: "knowledge seems to be lost, not the format",
    Conclusion.BOTH: "it chooses worse, and more of what it writes cannot be read",
    Conclusion.FORMAT: "the knowledge seems to be there, the format not",
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


@dataclass(frozen=True, slots=True)
class Ground:
    """What diagnoses rest on. `asides`: by name, what other ways of asking are of (`of`, `way`, `kind`, `metric`), as
    the signature lists them.
    """

    facts: Sequence[TaskFacts]
    measurements: Sequence[Measurement]
    comparisons: Sequence[Comparison]
    asides: Mapping[str, Mapping[str, str]]
    base: str
    groups: Sequence[Group]
    seed: int


class Reading(NamedTuple):
    """A conclusion, and what there is to say beside it."""

    conclusion: Conclusion
    because: str = ""


def lost(choice: Comparison) -> bool:
    """Did a gate unit regress: forgotten, or the whole interval below 0?"""
    return choice.verdict == Verdict.FORGOTTEN or fell(choice.difference)


def fell(difference: Estimate) -> bool:
    return difference.high is not None and difference.high < 0


def diagnose(ground: Ground) -> tuple[Diagnosis, ...]:
    """One for every gate unit and candidate that lost something by choosing or by writing, where the answers were also
    asked to be written.
    """
    rows = {(c.task, c.metric, c.candidate): c for c in ground.comparisons}
    twins = {aside["of"]: name for name, aside in ground.asides.items() if aside["kind"] == "written"}
    found = []
    for choice in ground.comparisons:
        if not (choice.unit and choice.primary and choice.level in (Level.TASK, Level.GROUP) and choice.task in twins):
            continue
        twin = twins[choice.task]
        written, strict, unread = (rows.get((twin, metric, choice.candidate)) for metric in (LENIENT, STRICT, UNPARSED))
        if written is None or strict is None or unread is None:
            continue  # it did not lose here, so nobody asked it
        if lost(choice) or fell(written.difference) or fell(strict.difference):
            found.append(_Case(ground, rows, choice, twin).diagnosis(written, strict))
    return tuple(found)


def read(
    choice: Comparison, accuracy: Comparison, written: tuple[Comparison, Comparison], flips: WrittenFlips
) -> Reading:
    """The rule. `accuracy`: how choosing does on the scale of the written scores; `written`: the answer anywhere in the
    text, and alone.
    """
    lenient, strict = written
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


def _above(one: Comparison, other: Comparison) -> bool:
    """Does the whole interval of one difference lie above the other's?"""
    low, high = one.difference.low, other.difference.high
    return low is not None and high is not None and low > high


# ---- one candidate on one task or group ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    ground: Ground
    rows: Mapping[tuple[str, str, str], Comparison]
    choice: Comparison
    twin: str

    def diagnosis(self, lenient: Comparison, strict: Comparison) -> Diagnosis:
        measures, flips, leaning = tuple(self.measures()), self.flips(), self.leaning()
        accuracy = self._more(ACCURACY) or self.choice
        reading = read(self.choice, accuracy, (lenient, strict), flips)
        return Diagnosis(
            task=self.choice.task,
            level=self.choice.level,
            candidate=self.choice.candidate,
            twin=self.twin,
            n=lenient.n,
            ci_level=self.choice.ci_level,
            conclusion=reading.conclusion,
            says=words(reading, measures, flips, leaning)
            + (STOPPED if self.choice.stopping and self.choice.stopping.stopped else ""),
            measures=measures,
            flips=flips,
            leaning=leaning,
            spread=self.spread(),
        )

    def measures(self) -> Iterator[Measure]:
        """Every number that was compared, in one order; what was not asked is left out."""
        of = self.choice.candidate
        named: list[tuple[str, Comparison | None]] = [("choosing", self.choice)]
        if self.choice.metric != ACCURACY:
            named.append(("accuracy", self._more(ACCURACY)))
        for name, metric in (
            ("written", LENIENT),
            ("strict", STRICT),
            ("unparsed", UNPARSED),
            *zip(TEXTS, TEXTS, strict=True),
        ):
            named.append((name, self.rows.get((self.twin, metric, of))))
        named += [(name, self._more(name)) for name in (BIAS, *CALIBRATION)]
        for name, c in named:
            if c is not None:
                yield Measure(name, c.task, c.metric, c.base, c.candidate_score, c.difference)

    def flips(self) -> WrittenFlips:
        """Lost and gained written answers by whether they can be read; the parts' intervals are those of any paired
        score.
        """
        of_tasks = [self._went(task) for task in self._members(self.twin)]
        counts = np.concatenate([rows for rows, _ in of_tasks]).sum(axis=0)
        macro = next((group.macro for group in self.ground.groups if group.name == self.twin), False)

        def part(name: str, lost_at: list[int], gained_at: list[int]) -> Estimate:
            parts = [_part(rows, pairs, lost_at, gained_at) for rows, pairs in of_tasks]
            whole = pooled(parts, None, macro)
            return Estimate(*assess(whole, self.choice.ci_level, partial(self._draw, name)).difference)

        whole = [round(float(count)) for count in counts]
        estimates = (part("unreadable", [0], [2]), part("wrong", [1], [3]), part("balance", [0, 3], [2, 1]))
        return WrittenFlips(whole[4], *whole[:4], *estimates)

    def leaning(self) -> dict[str, Leaning] | None:
        """What each side picks most beyond its right share; None where the choices are not the same for all
        examples.
        """
        compared = self._more(BIAS)
        if compared is None:
            return None
        of_tasks = [(self._metric(task, BIAS), self._pairs(task, BIAS)) for task in self._members(compared.task)]
        choices = of_tasks[0][0].options["choices"]
        sums = {side: sum(getattr(pairs, side).sum(axis=0) for _, pairs in of_tasks) for side in ("base", "candidate")}
        return {side: _leaning(choices, rows) for side, rows in sums.items()} if compared.n else None

    def spread(self) -> Spread | None:
        """Over the task's own wording and the others in which it was asked; None where there is one."""
        of = [
            name
            for name, aside in self.ground.asides.items()
            if aside["of"] == self.choice.task and aside["kind"] == "wording"
        ]
        rows = [
            self.choice,
            *(c for name in of if (c := self.rows.get((name, self.choice.metric, self.choice.candidate))) is not None),
        ]
        sides = [[getattr(c, side).value for c in rows] for side in ("base", "candidate_score", "difference")]
        return Spread(len(rows), *((min(values), max(values)) for values in sides)) if len(rows) > 1 else None

    def _more(self, metric: str) -> Comparison | None:
        """The row of another number of the ranking: of the task, else of the same requests read once more."""
        names = [
            self.choice.task,
            *(
                name
                for name, aside in self.ground.asides.items()
                if (aside["of"], aside["kind"]) == (self.choice.task, "chosen")
            ),
        ]
        return next(
            (row for name in names if (row := self.rows.get((name, metric, self.choice.candidate))) is not None), None
        )

    def _members(self, name: str) -> list[TaskFacts]:
        """The tasks whose rows the task or group pools."""
        inside = next((group.tasks for group in self.ground.groups if group.name == name), (name,))
        return [fact for fact in self.ground.facts if fact.name in inside]

    def _metric(self, task: TaskFacts, metric: str) -> MetricFacts:
        return next(each for each in task.metrics if each.id == metric)

    def _pairs(self, task: TaskFacts, metric: str) -> Pairs:
        found = {(m.task, m.metric, m.model): m for m in self.ground.measurements if m.task == task.name}
        return paired(task, self._metric(task, metric), (self.ground.base, self.choice.candidate), found)[0]

    def _went(self, task: TaskFacts) -> tuple[Floats, Pairs]:
        """Per unit (lost to unreadable, lost to wrong, gained from unreadable, gained from wrong, answers), and the
        pairs they come from.

        Of a unit's net loss as much is to unreadable texts as there are more of them, and no more than all of it; so
        with gains. Where a unit is one answer that is which of its four fates it had.
        """
        right, unread = self._pairs(task, LENIENT), self._pairs(task, UNPARSED)
        change, more = right.candidate[:, 0] - right.base[:, 0], unread.candidate[:, 0] - unread.base[:, 0]
        losses, gains = np.maximum(-change, 0.0), np.maximum(change, 0.0)
        to_unread, from_unread = np.clip(more, 0.0, losses), np.clip(-more, 0.0, gains)
        return np.stack(
            [to_unread, losses - to_unread, from_unread, gains - from_unread, right.base[:, 1]], axis=1
        ), right

    def _draw(self, name: str, purpose: str) -> np.random.Generator:
        """It knows no candidate's name, as comparisons' draws do not."""
        return fingerprint.generator([self.ground.seed, self.twin, name, purpose])


def _part(rows: Floats, pairs: Pairs, lost_at: Sequence[int], gained_at: Sequence[int]) -> Pairs:
    """Losses as the base's right answers and gains as the candidate's: their difference is this part of the whole."""
    sides = [np.stack([rows[:, list(at)].sum(axis=1), rows[:, 4]], axis=1) for at in (lost_at, gained_at)]
    return replace(pairs, base=sides[0], candidate=sides[1], chance=0.0)


def _leaning(choices: Sequence[str], sums: Any) -> Leaning:
    """`sums` (2 × choices): picks and rights."""
    picks, rights = np.split(np.asarray(sums) / max(float(np.sum(sums)) / 2, 1.0), 2)
    most = int(np.argmax(picks - rights))
    return Leaning(str(choices[most]), float(picks[most]), float(rights[most]))


# ---- in words --------------------------------------------------------------------------------------------------------


def words(
    reading: Reading, measures: Sequence[Measure], flips: WrittenFlips, leaning: Mapping[str, Leaning] | None
) -> str:
    """The conclusion and the numbers that it rests on, on one line."""
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
    """Is there beyond doubt more of something that is better the less of it there is?"""
    return name in by_name and fell(by_name[name].difference)


def _moved(measure: Measure) -> str:
    low, high = measure.difference.low, measure.difference.high
    interval = f" [{_signed(low)}, {_signed(high)}]" if low is not None and high is not None else ""
    return f"{_signed(measure.base.value, '')} → {_signed(measure.candidate.value, '')} ({_signed(measure.difference.value)}{interval})"


def _signed(value: float, sign: str = "+") -> str:
    return f"{value:{sign}.3f}".replace("-", "−")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
