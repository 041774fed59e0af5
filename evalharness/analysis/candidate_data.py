"""Collect the measurements of one candidate and its base, as they are now or as they were after an earlier round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalharness.analysis.gate_units import Subject, gate_units, subjects
from evalharness.analysis.pairing import MeasurementTable, Sides
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.measurements import TaskFacts
from evalharness.stats.early_stopping import ROUNDS
from evalharness.stats.resample import SWAPS


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateData:
    """The measurements of one candidate and its base.

    `facts`: of every task. `table`: measurements by task, metric and model. `plan`: how they are compared. `swaps`:
    number of random swaps for p_difference. `placebo`: name of the reference model that is the base with an adapter
    that changes nothing, by which the engine's noise is measured; None: there is none.
    """

    candidate: str
    facts: Sequence[TaskFacts]
    table: MeasurementTable
    plan: ComparePlan
    swaps: int = SWAPS
    placebo: str | None = None

    @property
    def sides(self) -> Sides:
        return self.plan.base, self.candidate

    @property
    def subjects(self) -> list[Subject]:
        return subjects(self.facts, self.plan)

    @property
    def gate_units(self) -> list[Subject]:
        return gate_units(self.facts, self.plan)

    def after(self, rounds: int) -> CandidateData:
        """Return the data as it was after this many rounds, without answers of later rounds."""
        facts = [
            replace(task, rounds={model: min(rounds, task.rounds.get(model, ROUNDS)) for model in self.sides})
            for task in self.facts
        ]
        return replace(self, facts=facts)


def candidate_data(
    candidate: str, facts: Sequence[TaskFacts], table: MeasurementTable, plan: ComparePlan, placebo: str | None = None
) -> CandidateData:
    """Collect the measurements of a candidate. Variants that only describe may be missing. A reference model is
    compared without a placebo.
    """
    there = [
        task
        for task in facts
        if task.name not in plan.describing
        or any((task.name, metric.id, candidate) in table for metric in task.metrics)
        or task.failed.get(candidate)
    ]
    noise = None if candidate in plan.references else placebo
    return CandidateData(candidate=candidate, facts=there, table=table, plan=plan, placebo=noise)
