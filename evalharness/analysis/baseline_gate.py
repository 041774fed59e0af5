"""Judge the candidates of a run against the scores of a baseline file instead of the run's base."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from evalharness import fingerprint
from evalharness.analysis.analyse import analyse
from evalharness.analysis.baseline import Baseline, BaselineTask, check_engine, units_digest
from evalharness.analysis.baseline_file import place_of, read_file
from evalharness.analysis.gate import Decision, judge, merge_decisions
from evalharness.analysis.gate_units import subjects
from evalharness.analysis.judging import at_policy
from evalharness.analysis.row_packing import as_packed
from evalharness.errors import NotComparableError, UsageError
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import Measurement, TaskFacts
from evalharness.records.policy import OPTION, Against, Policy
from evalharness.records.results import Results
from evalharness.records.tasks import Group
from evalharness.results import read_measurements

Value = TypeVar("Value")
FIX = "run the candidate with the baseline's tasks, data, limits and engine, or accept a new baseline"


def check_used(policy: Policy) -> None:
    """Check that the gate will use the baseline file that an option names. Raises UsageError if it will not."""
    if policy.source("baseline") == OPTION and not policy.looks_at_baseline:
        fix = "give --against baseline, or both, too (or `against` in the policy)"
        raise UsageError("--baseline", f"is not used: the policy is against {Against.BASE}", fix)


def decide(run: Path | None, results: Results, policy: Policy, only: Collection[str] = ()) -> Decision:
    """Decide whether the candidates of a run may ship, against the scores that the policy names.

    `run`: its folder. `results`: the run's, judged at the policy's margins. `only`: these candidates; None: all. Raises
    UsageError and NotComparableError as `judge` and `results_against` do.
    """
    if not policy.looks_at_baseline:
        return judge(results, policy, only)
    if run is None:
        raise UsageError("gate", f"against {policy.against} needs the run's measurements", "give the run's folder")
    measured = at_policy(read_measurements(run if run.is_dir() else run.parent), policy)
    every = [(label, judge(of, policy, only)) for label, of in results_against(measured, results, policy)]
    return merge_decisions(every)


def results_against(run: MeasuredRun, results: Results, policy: Policy) -> list[tuple[str, Results]]:
    """Return the results of a run against each of the scores that a policy names, with a label for each.

    The original base's scores are the run's if it measured that base, else the file's. Raises UsageError if there is no
    file, NotComparableError if the file is damaged, or its questions, metrics or engine differ from the run's.
    """
    file, base = read_file(place_of(policy)), _base_fingerprint(run)
    every = [(f"{file.accepted.name} (accepted)", file.accepted)]
    if policy.against == Against.BOTH:
        fingerprints = {row.fingerprint for row in file.models}
        if base not in fingerprints:
            of = " and ".join(row.name for row in file.models)
            what = f"its scores are of {of}, and the base of this run is another model ({run.plan.base})"
            fix = "run the candidate with one of these as its base; one that ships is accepted with --candidate"
            raise NotComparableError(file.path, what, fix)
        original = (f"{file.original.name} (original base)", file.original)
        every = [original, *(every if len(file.models) > 1 else [])]
    return [(label, _against(run, results, baseline)) for label, baseline in every]


def _base_fingerprint(run: MeasuredRun) -> str:
    return next((row.fingerprint for row in run.models if row.name == run.plan.base), "")


def _against(run: MeasuredRun, results: Results, baseline: Baseline) -> Results:
    """Return the results against one model of a file. If the run measured that model as its base, they are the run's
    own.
    """
    joined = with_baseline(run, baseline)
    return results if _base_fingerprint(run) == baseline.row.fingerprint else analyse(joined)


def with_baseline(run: MeasuredRun, baseline: Baseline) -> MeasuredRun:
    """Return the run with a baseline's scores in place of its base's, for the metrics that decide. Raises
    NotComparableError if questions, metrics, engines or tasks differ.
    """
    engine = run.signature["engine"]
    check_engine(baseline, engine["fingerprint"], engine)
    deciding = [each for each in subjects(run.facts, run.plan) if each.primary and each.judged]
    pairs = dict.fromkeys((fact.name, metric.id) for each in deciding for fact, metric in each.members)
    if absent := sorted(baseline.tasks.keys() - {task for task, _ in pairs}):
        what = f"holds scores of {', '.join(absent)}, which this run did not ask"
        raise NotComparableError(baseline.path, what, FIX)
    name, old = _free_name(run, baseline), run.plan.base
    by_key = {(m.task, m.metric, m.model): m for m in run.measurements}
    facts, rows = [], list[Measurement]()
    for fact in run.facts:
        metrics = tuple(metric for metric in fact.metrics if (fact.name, metric.id) in pairs)
        if not metrics:
            continue
        task = _checked(baseline, fact, run, [metric.id for metric in metrics])
        facts.append(_facts(replace(fact, metrics=metrics), task, (old, name)))
        for metric in metrics:
            of_run = [m for key, m in by_key.items() if key[:2] == (fact.name, metric.id)]
            rows += [replace(m, rows=as_packed(m.rows)) for m in of_run if m.model != old]
            rows.append(_with_units(baseline, replace(task.measurements[metric.id], model=name), of_run, task))
    return _joined(run, replace(baseline, row=replace(baseline.row, name=name)), facts, rows)


def _free_name(run: MeasuredRun, baseline: Baseline) -> str:
    """Return a name for the baseline that no model of the run has: its own, marked as accepted if a model of the run
    has it.
    """
    names = {row.name for row in run.models if row.name != run.plan.base}
    return baseline.name if baseline.name not in names else f"{baseline.name} (accepted)"


def _checked(baseline: Baseline, fact: TaskFacts, run: MeasuredRun, metrics: Sequence[str]) -> BaselineTask:
    """Return the baseline's scores on a task. Raises NotComparableError if data, prompts, metrics or task file
    differ.
    """
    where, task = f"{baseline.path}: {fact.name}", baseline.tasks.get(fact.name)
    if task is None:
        raise NotComparableError(where, "there are no scores of this task", FIX)
    here, definition = {metric.id: metric.signature for metric in fact.metrics}, run.signature["tasks"][fact.name]
    for what, same in (
        ("data", fingerprint.agree(task.data, fact.data_digest)),
        ("prompts", _prompts_of(task, fact) is not None),
        ("metrics", all(task.metrics.get(metric) == here[metric] for metric in metrics)),
        ("task files", fingerprint.agree(task.definition, str(definition["definition"]))),
    ):
        if not same:
            raise NotComparableError(where, f"the scores are of other {what} than this run's", FIX)
    return task


def _prompts_of(task: BaselineTask, fact: TaskFacts) -> str | None:
    """Return the full digest of the prompts that the baseline answered, if a model of this run got the same;
    else None.
    """
    every = (fact.prompts_digest, *fact.prompts.values())
    return next((each for each in every if fingerprint.agree(task.prompts, each)), None)


def _facts(fact: TaskFacts, task: BaselineTask, names: tuple[str, str]) -> TaskFacts:
    """Return the task's facts with the baseline's in place of the base's."""
    old, name = names

    def of_others(by_model: Mapping[str, Value]) -> dict[str, Value]:
        return {model: value for model, value in by_model.items() if model != old}

    answers, unparsed, prompts = of_others(fact.answers), of_others(fact.unparsed), _prompts_of(task, fact)
    return replace(
        fact,
        failed=of_others(fact.failed),
        unparsed={**unparsed, name: task.unparsed} if task.unparsed else unparsed,
        answers={**answers, name: task.answers} if task.answers else answers,
        rounds=of_others(fact.rounds),
        prompts={**of_others(fact.prompts), name: str(prompts)} if prompts != fact.prompts_digest else fact.prompts,
        partly=tuple(model for model in fact.partly if model != old),
    )


def _with_units(baseline: Baseline, of: Measurement, others: Sequence[Measurement], task: BaselineTask) -> Measurement:
    """Return the baseline's rows with their units' ids, from a model of the run that answered all of them. Raises
    NotComparableError if there is none.
    """
    for other in others:
        if fingerprint.agree(task.questions, units_digest(other.units, other.sizes)):
            return replace(of, units=other.units, sizes=other.sizes)
    raise NotComparableError(f"{baseline.path}: {of.task}", "the scores are of other questions than this run's", FIX)


def _joined(
    run: MeasuredRun, baseline: Baseline, facts: Sequence[TaskFacts], rows: Sequence[Measurement]
) -> MeasuredRun:
    old, name, tasks = run.plan.base, baseline.name, {fact.name for fact in facts}
    candidates = (replace(row, base=name) for row in run.models if row.name != old)
    plan = replace(run.plan, base=name, groups=tuple(_alone(run, tasks)), describing=(), average=None, references=())
    return replace(
        run,
        plan=plan,
        facts=tuple(facts),
        measurements=tuple(rows),
        models=(baseline.row, *(row for row in candidates if row.name in run.plan.candidates)),
        signature={**run.signature, "base": name, "baseline": baseline.packed},
        errors=tuple(error for error in run.errors if error.model != old),
        drift=(),
        drift_forecasts=(),
        seen_units={},
    )


def _alone(run: MeasuredRun, tasks: set[str]) -> Iterator[Group]:
    """Yield the groups that decide, with no metric except the one that decides."""
    for group in run.plan.groups:
        if not group.beside and set(group.tasks) <= tasks:
            yield replace(group, also=())
