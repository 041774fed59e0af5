"""Ask base and candidates one round of every task at a time, until each gate unit's verdict is certain or all is asked.

A gate unit is a task or group that the gate judges. After every round, the verdicts on the answers so far decide for
each candidate which tasks go on (analysis/early_stopping.py, stats/early_stopping.py). The base is asked the rounds of
every candidate. Rounds are drawn by uniform_hash from seed, task and unit, so that a run which is killed and resumed
asks the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from evalharness.analysis.candidate_data import CandidateData
from evalharness.analysis.early_stopping import suite_at, verdicts_so_far
from evalharness.analysis.pairing import unit_order
from evalharness.errors import UsageError
from evalharness.metrics.build import build
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.job import Job
from evalharness.records.measurements import Measurement, TaskFacts, TaskOutcome
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Failure, PreparedTask, Response
from evalharness.run.collect import collect
from evalharness.run.facts import facts_before
from evalharness.run.measure import measure
from evalharness.run.plan import RunPlan
from evalharness.run.prompts import Prompts
from evalharness.run.session import RunContext, Session, part_of
from evalharness.run.spread import answer_ahead
from evalharness.stats.early_stopping import LOOKS, ROUNDS, round_of, units_to_continue
from evalharness.stats.enums import MetricKind, Verdict

OPTION = "--until-decided"
Key = tuple[str, str]  # model, task


def check_early_stopping(job: Job, run_plan: RunPlan) -> None:
    """Check that the run can stop early. Raises UsageError for groups and variants that cannot be stopped early."""
    if not job.statistics.until_decided:
        return
    memberships = Counter(name for group in run_plan.groups if group.unit for name in group.tasks)
    if shared := [name for name, count in memberships.items() if count > 1]:
        what = f"{shared[0]} is in several groups that are gate units, of which one may be stopped and the other not"
        raise UsageError(
            OPTION, what, "let one of the groups only describe (unit: false), or let the run go to its end"
        )
    if beside := [each.name for each in run_plan.tasks_and_groups if each.beside]:
        what = f"{len(beside)} other ways of asking ({beside[0]} …) would be asked of what was stopped early"
        raise UsageError(
            OPTION,
            what,
            "leave out --template all and --describe robustness, fairness, generation; or let the run go to its end",
        )


@dataclass(slots=True, kw_only=True)
class RoundsOfRun:
    """The state of a run in rounds.

    Keys are (model, task). `rounds_asked`: how many rounds were asked. `answers`: request id -> the answer so far.
    `rows`: (task, metric, model) -> the measurement of each round. `failed`: the number of examples without a row.
    `places`: the round of each example. `stopped`: candidate -> the tasks that are at an end. `suites`: candidate ->
    the suite's verdict, once a look (a test between rounds) has decided it. `facts`: about every task that is compared.
    """

    context: RunContext
    run_plan: RunPlan
    prompts: Prompts
    plan: ComparePlan
    rounds_asked: dict[Key, int] = field(default_factory=dict)
    answers: dict[Key, dict[str, Response | Failure]] = field(default_factory=dict)
    rows: dict[tuple[str, str, str], list[Measurement]] = field(default_factory=dict)
    failed: dict[Key, int] = field(default_factory=dict)
    places: dict[Key, NDArray[np.int_]] = field(default_factory=dict)
    stopped: dict[str, frozenset[str]] = field(default_factory=dict)
    suites: dict[str, Verdict] = field(default_factory=dict)
    facts: list[TaskFacts] = field(default_factory=list)

    def ask(self, order: Sequence[Checkpoint], outcomes: Mapping[str, Sequence[TaskOutcome]]) -> None:
        """Ask all rounds. `outcomes`: the base's measurements if an earlier run has them. At the end the references
        (models that are measured and not judged) are asked the rounds that the base was asked.
        """
        self.facts = facts_before(self.prompts.by_model[self.plan.base])
        beside = {reference.name for reference in self.run_plan.references}
        turn = [checkpoint for checkpoint in order if checkpoint.name not in beside]
        for name, measured in outcomes.items():
            for of_task in measured:
                self.rows |= {(m.task, m.metric, name): [m] for m in of_task.measurements}
            self.rounds_asked |= {(name, task.task.name): ROUNDS for task in self.prompts.by_model[name]}
        for number in range(1, ROUNDS + 1):
            if not any(self._next_tasks(checkpoint.name) for checkpoint in turn):
                break
            self.context.listener.phase(f"round {number} of {ROUNDS}")
            answer_ahead(self.context, [(each, self._parts(each, number)) for each in turn])
            for checkpoint in turn:
                self._ask_round(checkpoint, number)
            turn.reverse()  # the model that answered last is still in memory
            for candidate in self.run_plan.candidates:
                self._look(candidate.name, number)
        references = [checkpoint for checkpoint in order if checkpoint.name in beside]
        rounds = range(1, ROUNDS + 1)
        answer_ahead(self.context, [(each, self._parts(each, number)) for each in references for number in rounds])
        for reference in references:
            for number in rounds:
                self._ask_round(reference, number)

    def measured(self, session: Session) -> list[TaskOutcome]:
        """Score all answers that one model gave, and write its samples."""
        name, outcomes = session.checkpoint.name, []
        for task in self.prompts.by_model[name]:
            key = (name, task.task.name)
            rounds = self.rounds_asked.get(key, 0)
            part = self._part(name, task, (1, rounds))
            scored = session.score(replace(part, failures=task.failures), self.answers.get(key, {}))
            outcomes.append(replace(scored, rounds=rounds if rounds < ROUNDS else None))
        return outcomes

    # ---- one round ---------------------------------------------------------------------------------------------------

    def _next_tasks(self, model: str) -> list[PreparedTask]:
        """List the tasks that go on for a candidate; for the base, those that go on for any candidate."""
        candidates = [candidate.name for candidate in self.run_plan.candidates]
        asking = [model] if model in candidates else candidates
        every = [
            frozenset(task.task.name for task in self.prompts.by_model[model]) - self.stopped.get(name, frozenset())
            for name in asking
        ]
        names = frozenset().union(*every)
        return [task for task in self.prompts.by_model[model] if task.task.name in names]

    def _parts(self, checkpoint: Checkpoint, number: int) -> list[PreparedTask]:
        """List the parts of tasks that a model is asked in one round."""
        name, base = checkpoint.name, self.run_plan.base.name
        if checkpoint in self.run_plan.references:
            every = self.prompts.by_model[name]
            tasks = [task for task in every if number <= self.rounds_asked.get((base, task.task.name), 0)]
        else:
            tasks = self._next_tasks(name)
        return [self._part(name, task, (number, number)) for task in tasks]

    def _ask_round(self, checkpoint: Checkpoint, number: int) -> None:
        name, session = checkpoint.name, Session(self.context, checkpoint)
        with self.context.run_log.turn(checkpoint):
            for part in self._parts(checkpoint, number):
                key = (name, part.task.name)
                answers = collect(part.requests, session.source(part.task.name)) if part.requests else {}
                self.answers.setdefault(key, {}).update(answers)
                self.rounds_asked[key] = number
                if checkpoint not in self.run_plan.references:
                    self._score(part, answers, name)

    def _part(self, model: str, task: PreparedTask, rounds: tuple[int, int]) -> PreparedTask:
        """Take the examples whose units (rows that belong together) are in the first to the last of `rounds`, in the
        order of the data. The failures of the task's rows are left out.
        """
        key = (model, task.task.name)
        if key not in self.places:
            self.places[key] = round_of(
                unit_order(self.plan.seed, task.task.name, tuple(example.unit for example in task.examples))
            )
        indices = np.flatnonzero((self.places[key] >= rounds[0]) & (self.places[key] <= rounds[1])).tolist()
        return part_of(task, indices)

    def _score(self, part: PreparedTask, answers: Mapping[str, Response | Failure], model: str) -> None:
        """Score a part by the metrics that decide verdicts, and add its rows to those of the rounds before."""
        groups = {group.metric for group in self.run_plan.groups if part.task.name in group.tasks}
        deciding = tuple(spec for spec in part.task.metrics if spec.id == part.task.primary or spec.id in groups)
        if any(build(spec).kind == MetricKind.OPAQUE for spec in deciding):
            return
        scored = measure(replace(part, task=replace(part.task, metrics=deciding)), answers, model)
        key = (model, part.task.name)
        self.failed[key] = self.failed.get(key, 0) + len(scored.errors)
        for measurement in scored.measurements:
            self.rows.setdefault((measurement.task, measurement.metric, model), []).append(measurement)

    # ---- after a round -----------------------------------------------------------------------------------------------

    def _look(self, candidate: str, number: int) -> None:
        """Stop this candidate's tasks whose verdicts are certain."""
        if len(self.stopped.get(candidate, ())) == len(self.prompts.by_model[candidate]) or number == ROUNDS:
            return
        data = self._data(candidate)
        verdicts = verdicts_so_far(data)
        if (
            number in LOOKS
            and Verdict.FORGOTTEN not in verdicts.values()
            and self.suites.get(candidate, Verdict.INCONCLUSIVE) == Verdict.INCONCLUSIVE
        ):
            row = suite_at(data, number).finding
            self.suites[candidate] = row.verdict(row.p_forgotten or 0.0, row.p_retained or 0.0, self.plan.alpha)
        on = units_to_continue(verdicts, self.suites.get(candidate, Verdict.INCONCLUSIVE))
        members = {unit.name: [task.name for task in unit.tasks] for unit in data.gate_units}
        ended = [name for unit in verdicts.keys() - on for name in members[unit]]
        self.stopped[candidate] = self.stopped.get(candidate, frozenset()) | frozenset(ended)

    def _data(self, candidate: str) -> CandidateData:
        models = (self.plan.base, candidate)
        measurements = {key: _joined(parts) for key, parts in self.rows.items() if key[2] in models}
        facts = [fact for fact in self.facts if (fact.name, fact.primary, candidate) in measurements]
        facts = [
            replace(
                fact,
                rounds={model: self.rounds_asked.get((model, fact.name), 0) for model in models},
                failed={model: self.failed.get((model, fact.name), 0) for model in models},
            )
            for fact in facts
        ]
        return CandidateData(candidate=candidate, facts=facts, table=measurements, plan=self.plan)


def _joined(parts: Sequence[Measurement]) -> Measurement:
    """Join the rows of several rounds into one measurement. A unit (rows that belong together) is in one round, so none
    is in two parts.
    """
    units = tuple(unit for part in parts for unit in part.units)
    sizes = tuple(size for part in parts for size in part.sizes)
    return replace(parts[0], units=units, sizes=sizes, rows=np.concatenate([part.rows for part in parts]))
