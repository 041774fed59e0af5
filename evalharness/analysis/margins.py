"""Put a user's margins, error rate and targets into the plan of a comparison.

A margin is the largest acceptable loss; a target is the task that a candidate was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace

from evalharness.analysis.gate_units import member_metric, subjects
from evalharness.errors import UsageError, did_you_mean
from evalharness.records.compare_plan import UNNAMED, ComparePlan
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import TaskFacts
from evalharness.records.models import NO_TARGET
from evalharness.records.tasks import Group, Task

NAME_MEMBERS = "name its tasks or groups"
NO_SUITE_MARGIN = "the suite {} has no margin of its own: it is the mean over its tasks, in their margins"


def with_margins(
    run: MeasuredRun, everywhere: float | None, by_name: Mapping[str, float], alpha: float | None = None
) -> MeasuredRun:
    """Return the run with other margins and another error rate; None changes nothing.

    `everywhere`: the margin of all tasks on a 0-1 scale. `by_name`: margins of single tasks, groups or families.
    `alpha`: the error rate. Raises UsageError for an unknown name, and for a margin that is all that can be lost.
    """
    facts, groups = with_margin_facts(run)
    check_names(by_name, {*names_of([*facts, *groups], run.plan.suite_name)}, run.plan.suite_name)
    margins = asked_margins(facts, groups, everywhere, by_name)
    plan = replace(run.plan, margins={**run.plan.margins, **margins}, alpha=run.plan.alpha if alpha is None else alpha)
    check_margins(run.facts, plan, margins.keys())
    signature = run.signature
    margin = signature["margin"] if everywhere is None else everywhere
    older = signature["margins"] if everywhere is None else {}
    changed = {"alpha": plan.alpha, "margin": margin, "margins": {**older, **by_name}}
    return replace(run, plan=plan, signature={**signature, **changed})


def with_margin_facts(run: MeasuredRun) -> tuple[list[TaskFacts], list[Group]]:
    """Return the tasks and groups of a run that may have a margin: all except those that only describe."""
    facts = [fact for fact in run.facts if fact.variant is None or not fact.variant.beside]
    return facts, [group for group in run.plan.groups if not group.beside]


def with_targets(run: MeasuredRun, everywhere: str | None, by_name: Mapping[str, str]) -> MeasuredRun:
    """Return the run with its candidates' targets. NO_TARGET stands for none of the tasks.

    `everywhere`: the target of all candidates. `by_name`: targets of single ones. Raises UsageError for an unknown
    candidate or task.
    """
    targets = {**(dict.fromkeys(run.plan.candidates, everywhere) if everywhere else {}), **by_name}
    for sort, names, allowed in (
        ("candidate", targets.keys(), set(run.plan.candidates)),
        ("task", {*targets.values()} - {NO_TARGET}, {fact.name for fact in run.facts}),
    ):
        for name in sorted(set(names) - allowed):
            raise UsageError("--target", f"no {sort} {name!r} in what is compared", did_you_mean(name, allowed))
    plan = replace(run.plan, targets={**run.plan.targets, **targets})
    models = (replace(model, target_task=targets.get(model.name, model.target_task)) for model in run.models)
    return replace(run, plan=plan, models=tuple(models))


def check_names(names: Iterable[str], allowed: Set[str], suite: str | None) -> None:
    """Check that margins are of tasks, groups and families that are compared. Raises UsageError."""
    for name in sorted(set(names) - allowed):
        if name == (suite or UNNAMED):
            raise UsageError("--margin", NO_SUITE_MARGIN.format(name), NAME_MEMBERS)
        what = f"no task or group {name!r} in what is compared"
        raise UsageError("--margin", what, did_you_mean(name, allowed))


def check_margins(facts: Sequence[TaskFacts], plan: ComparePlan, names: Set[str]) -> None:
    """Check the plan's margins of these tasks and groups against the ranges of their metrics. Raises UsageError, and
    TaskError if the tasks of a group that the gate judges cannot be pooled.
    """
    for subject in subjects(facts, plan):
        if subject.margin is not None and subject.name in names:
            check_loss("margin", subject.name, subject.margin, subject.span)


def check_loss(what: str, name: str, loss: float, span: float | None) -> None:
    """Check that a margin or ceiling is less than all that can be lost, which is `span`, the width of the metric's
    range. `what`: "margin" or "ceiling"; `name`: its task or group. Raises UsageError.
    """
    if span is not None and loss >= span:
        fix = "points are fractions here: 0.05 is five points" if span == 1 else "name less, in the metric's unit"
        raise UsageError(f"{what} of {name}", f"{loss:g}, but no loss can be larger than {span:g}", fix)


def asked_margins(
    facts: Sequence[TaskFacts], groups: Sequence[Group], everywhere: float | None, by_name: Mapping[str, float]
) -> dict[str, float]:
    """Return the user's margins by task and group.

    `everywhere` is for tasks and groups whose deciding metric is on a 0-1 scale. A family's margin overrides it, and
    one of a single name overrides both. A family's margin is for its tasks and groups on a 0-1 scale, or for all of
    them if they share one other scale.
    """
    best = {fact.name: metric.high for fact in facts for metric in fact.metrics if metric.id == fact.primary}
    for group in groups:
        highs = {member_metric(group, fact).high for fact in facts if fact.name in group.tasks}
        best[group.name] = highs.pop() if len(highs) == 1 else None
    every: list[TaskFacts | Group] = [*facts, *groups]
    families = {each.name: each.family for each in every if each.name in best}
    alone = {name: margin for name, margin in by_name.items() if name in best or name not in families.values()}
    margins = {} if everywhere is None else {name: everywhere for name, high in best.items() if high == 1.0}
    for family in by_name.keys() - alone.keys():
        members = {name: best[name] for name, of in families.items() if of == family}
        margins |= dict.fromkeys(on_one_scale(members, 1.0), by_name[family])
    return {**margins, **alone}


def on_one_scale(scales: Mapping[str, float | None], unit: float) -> list[str]:
    """Return the names whose scale is `unit`; if none has that scale, all names if they share one scale."""
    on_unit = [name for name, scale in scales.items() if scale == unit]
    return on_unit or (list(scales) if len({*scales.values()}) == 1 else [])


def names_of(units: Iterable[TaskFacts | Task | Group], suite: str | None) -> set[str]:
    """Return the names that a user may give: tasks, groups, and families. A family with the suite's name is left out if
    the suite holds other families, too.
    """
    every = [(each.name, each.family) for each in units]
    families = {family for _, family in every}
    return {*(name for name, _ in every), *(families if len(families) == 1 else families - {suite})}
