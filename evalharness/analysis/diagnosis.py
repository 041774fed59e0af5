"""Diagnose whether a candidate that lost on a choice task lost knowledge or the format of the answer.

It needs the task's written twin: the variant whose prompts ask for the answer as text. The rule is in
diagnosis_rule.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evalharness.analysis.diagnosis_rule import STOPPED, conclude, diagnosis_text, fell, lost
from evalharness.analysis.pairing import pair_rows
from evalharness.metrics import TEXTS
from evalharness.records.comparison import Comparison, Estimate, Flag, Level
from evalharness.records.diagnosis import ChoiceBias, Diagnosis, Measure, WrittenFlips
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import MetricFacts, TaskFacts
from evalharness.records.tasks import VariantKind
from evalharness.stats.assess import assess
from evalharness.stats.pairs import Pairs, pool_pairs
from evalharness.stats.resample import Floats
from evalharness.tasks.variants import BIAS, CALIBRATION, LENIENT, STRICT, UNPARSED

ACCURACY = "acc"


def diagnose(run: MeasuredRun, comparisons: Sequence[Comparison]) -> tuple[Diagnosis, ...]:
    """Diagnose every candidate on every gate unit (a task or group that the gate judges) on which it lost by choosing
    or by writing.

    A unit whose written twin was not asked is left out.
    """
    rows = {(row.task, row.metric, row.candidate): row for row in comparisons}
    rows_written = [row for row in comparisons if row.variant is not None and row.variant.kind is VariantKind.WRITTEN]
    twins = {row.variant.of: row.task for row in rows_written if row.variant}
    diagnoses = []
    for choice in comparisons:
        if not (choice.unit and choice.primary and choice.level in (Level.TASK, Level.GROUP) and choice.task in twins):
            continue
        twin = twins[choice.task]
        lenient, strict, unread = (rows.get((twin, metric, choice.candidate)) for metric in (LENIENT, STRICT, UNPARSED))
        if lenient is None or strict is None or unread is None or not lenient.n:
            continue  # the twin was not asked, since nothing was lost, or has no answers
        if lost(choice) or fell(lenient.difference) or fell(strict.difference):
            diagnoses.append(_UnitDiagnosis(run=run, rows=rows, choice=choice, twin=twin).diagnosis(lenient, strict))
    return tuple(diagnoses)


@dataclass(frozen=True, slots=True, kw_only=True)
class _UnitDiagnosis:
    """One gate unit of one candidate.

    `rows`: all comparisons, by (task, metric, candidate). `choice`: the row of the task or group whose answers are
    chosen. `twin`: the name of its variant whose answers are written.
    """

    run: MeasuredRun
    rows: Mapping[tuple[str, str, str], Comparison]
    choice: Comparison
    twin: str

    def diagnosis(self, lenient: Comparison, strict: Comparison) -> Diagnosis:
        measures, flips, leaning = tuple(self.measures()), self.flips(), self.leaning()
        accuracy = self._more(ACCURACY) or self.choice
        reading = conclude(self.choice, accuracy, (lenient, strict), flips)
        return Diagnosis(
            task=self.choice.task,
            level=self.choice.level,
            candidate=self.choice.candidate,
            twin=self.twin,
            n=lenient.n,
            ci_level=self.choice.ci_level,
            conclusion=reading.conclusion,
            says=diagnosis_text(reading, measures, flips, leaning)
            + (STOPPED if self.choice.stopping and self.choice.stopping.stopped else ""),
            measures=measures,
            flips=flips,
            leaning=leaning,
        )

    def measures(self) -> Iterator[Measure]:
        """Yield the measures that were compared, in a fixed order. Those that the run did not take are left out."""
        of = self.choice.candidate
        compared: list[tuple[str, Comparison | None]] = [("choosing", self.choice)]
        if self.choice.metric != ACCURACY:
            compared.append(("accuracy", self._more(ACCURACY)))
        for name, metric in (
            ("written", LENIENT),
            ("strict", STRICT),
            (Flag.UNPARSED, UNPARSED),
            *zip(TEXTS, TEXTS, strict=True),
        ):
            compared.append((name, self.rows.get((self.twin, metric, of))))
        compared += [(name, self._more(name)) for name in (BIAS, *CALIBRATION)]
        for name, c in compared:
            if c is None or c.base is None or c.candidate_score is None or c.difference is None:
                continue
            yield Measure(
                name=name,
                task=c.task,
                metric=c.metric,
                base=c.base,
                candidate=c.candidate_score,
                difference=c.difference,
            )

    def flips(self) -> WrittenFlips:
        """Count lost and gained written answers by whether they can be read, with intervals as for any paired score."""
        of_tasks = [self._went(task) for task in self._members(self.twin)]
        counts = np.concatenate([rows for rows, _ in of_tasks]).sum(axis=0)
        macro = next((group.macro for group in self.run.plan.groups if group.name == self.twin), False)

        def part(lost_at: list[int], gained_at: list[int]) -> Estimate:
            parts = [_part(rows, pairs, lost_at, gained_at) for rows, pairs in of_tasks]
            whole = pool_pairs(parts, None, macro)
            return Estimate.of(assess(whole, self.choice.ci_level, np.random.default_rng(0), 1).difference)

        return WrittenFlips(
            answers=round(float(counts[4])),
            lost_unreadable=round(float(counts[0])),
            lost_wrong=round(float(counts[1])),
            gained_unreadable=round(float(counts[2])),
            gained_wrong=round(float(counts[3])),
            unreadable=part([0], [2]),
            wrong=part([1], [3]),
            balance=part([0, 3], [2, 1]),
        )

    def leaning(self) -> dict[str, ChoiceBias] | None:
        """Return the choice that each side overuses most; None if the choices are not the same for all examples."""
        compared = self._more(BIAS)
        if compared is None:
            return None
        of_tasks = [(self._metric(task, BIAS), self._pairs(task, BIAS)) for task in self._members(compared.task)]
        choices = of_tasks[0][0].options["choices"]
        sums = {side: sum(getattr(pairs, side).sum(axis=0) for _, pairs in of_tasks) for side in ("base", "candidate")}
        return {side: _leaning(choices, rows) for side, rows in sums.items()} if compared.n else None

    def _more(self, metric: str) -> Comparison | None:
        """Return the row of another metric of the ranking of choices: the task's own, else that of its variant in which
        choices are ranked.
        """
        names = [self.choice.task, *self._variants(VariantKind.CHOSEN)]
        rows = (self.rows.get((name, metric, self.choice.candidate)) for name in names)
        return next((row for row in rows if row is not None), None)

    def _variants(self, kind: VariantKind) -> list[str]:
        """Return the names of the task's or group's variants of one kind that were compared."""
        of = [row for row in self.rows.values() if row.variant is not None and row.variant.kind is kind]
        return list(dict.fromkeys(row.task for row in of if row.variant and row.variant.of == self.choice.task))

    def _members(self, name: str) -> list[TaskFacts]:
        """Return the tasks whose rows the task or group pools."""
        inside = next((group.tasks for group in self.run.plan.groups if group.name == name), (name,))
        return [fact for fact in self.run.facts if fact.name in inside]

    def _metric(self, task: TaskFacts, metric: str) -> MetricFacts:
        return next(each for each in task.metrics if each.id == metric)

    def _pairs(self, task: TaskFacts, metric: str) -> Pairs:
        table = {(m.task, m.metric, m.model): m for m in self.run.measurements if m.task == task.name}
        return pair_rows(task, self._metric(task, metric), (self.run.plan.base, self.choice.candidate), table)[0]

    def _went(self, task: TaskFacts) -> tuple[Floats, Pairs]:
        """Return what became of written answers, as rows (units, 5), and the pairs from which they come.

        The columns: lost to unreadable, lost to wrong, gained from unreadable, gained from wrong, answers. A unit's net
        loss counts as unreadable up to its number of additional unreadable texts, the rest as wrong; gains likewise.
        """
        right, unread = self._pairs(task, LENIENT), self._pairs(task, UNPARSED)
        change, more = right.candidate[:, 0] - right.base[:, 0], unread.candidate[:, 0] - unread.base[:, 0]
        losses, gains = np.maximum(-change, 0.0), np.maximum(change, 0.0)
        to_unread, from_unread = np.clip(more, 0.0, losses), np.clip(-more, 0.0, gains)
        return np.stack(
            [to_unread, losses - to_unread, from_unread, gains - from_unread, right.base[:, 1]], axis=1
        ), right


def _part(rows: Floats, pairs: Pairs, lost_at: Sequence[int], gained_at: Sequence[int]) -> Pairs:
    """Return pairs whose difference is one part of the whole: losses are the base's right answers, gains the
    candidate's.
    """
    sides = [np.stack([rows[:, list(at)].sum(axis=1), rows[:, 4]], axis=1) for at in (lost_at, gained_at)]
    return replace(pairs, base=sides[0], candidate=sides[1], chance=0.0)


def _leaning(choices: Sequence[str], sums: Any) -> ChoiceBias:
    """Return the choice whose picks exceed its right answers most. `sums` (2 × choices): picks of each choice, then how
    often each is right.
    """
    picks, rights = np.split(np.asarray(sums) / max(float(np.sum(sums)) / 2, 1.0), 2)
    most = int(np.argmax(picks - rights))
    return ChoiceBias(choice=str(choices[most]), picked=float(picks[most]), right=float(rights[most]))
