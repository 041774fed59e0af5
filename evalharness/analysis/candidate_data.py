"""One candidate beside its base: everything that was measured of both, as it stands or as it stood after fewer
rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from evalharness.analysis.compare_plan import ComparePlan
from evalharness.analysis.pairing import Found
from evalharness.records.measurements import TaskFacts
from evalharness.records.tasks import Group
from evalharness.stats.early_stopping import ROUNDS
from evalharness.stats.resample import FULL, Effort


@dataclass(frozen=True, slots=True)
class Case:
    """`facts`: of every task; `found`: every measurement, by task, metric and model; `effort`: how much is
    resampled.
    """

    candidate: str
    facts: Sequence[TaskFacts]
    found: Found
    plan: ComparePlan
    effort: Effort = FULL

    @property
    def tasks(self) -> Mapping[str, TaskFacts]:
        return {task.name: task for task in self.facts}

    @property
    def groups(self) -> list[Group]:
        tasks = self.tasks
        return [group for group in self.plan.groups if any(name in tasks for name in group.tasks)]

    @property
    def grouped(self) -> AbstractSet[str]:
        """Tasks within gate units."""
        return {name for group in self.groups if group.unit for name in group.tasks}

    def after(self, rounds: int) -> Case:
        """As it stood when neither model had been asked more than so many rounds."""
        models = (self.plan.base, self.candidate)
        facts = [
            replace(task, rounds={model: min(rounds, task.rounds.get(model, ROUNDS)) for model in models})
            for task in self.facts
        ]
        return replace(self, facts=facts)
