"""Check that runs of different bases can be shown together, if each candidate is compared with its own run's base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalharness.analysis.gate_units import gate_units
from evalharness.analysis.joining import SAME_TASKS, RunPart, check_task
from evalharness.analysis.margins import with_margin_facts
from evalharness.errors import NotComparableError, UsageError, did_you_mean
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.models import engine_differences
from evalharness.results import read_measurements, run_and_model

ONE_MODEL = "each RUN is compared here with its own base and all of its candidates"


def read_part(text: str) -> RunPart:
    """Read a whole run. Raises UsageError for RUN#NAME, and for a missing run."""
    path, name = run_and_model(text)
    if name:
        raise UsageError(text, ONE_MODEL, f"{path} would be right")
    return RunPart(text=text, run=read_measurements(path))


def targets_of(part: RunPart, parts: Sequence[RunPart], targets: Mapping[str, str]) -> dict[str, str]:
    """Return the targets of one run's candidates. Raises UsageError for a candidate that no run has."""
    names = {name for each in parts for name in each.run.plan.candidates}
    for name in sorted(set(targets) - names):
        raise UsageError("--target", f"no candidate {name!r} in what is compared", did_you_mean(name, names))
    return {name: task for name, task in targets.items() if name in part.run.plan.candidates}


def check_alike(parts: Sequence[RunPart]) -> tuple[str, ...]:
    """Check that runs have the same tasks, rows, prompts and scoring, and are judged as one suite, at the same margins
    and error rate.

    Returns remarks on differences that change no candidate's own comparison. Raises UsageError if there is one base
    only, NotComparableError for all else.
    """
    first, *others = parts
    if len({part.run.models[0].fingerprint for part in parts}) < 2:
        fix = "name runs of bases of different sizes; runs of one base are compared without --by-size"
        raise UsageError("--by-size", "all of the runs have the same base", fix)
    for part in others:
        _check_tasks(first, part)
        _check_units(first, part)
        _check_judged(first, part)
    engines = (engine_differences(first.run.signature["engine"], part.run.signature["engine"]) for part in others)
    return tuple(
        f"{part.text} was answered by another engine than {first.text} ({differ}): each candidate by its own base's"
        for part, differ in zip(others, engines, strict=True)
        if differ
    )


def _check_tasks(first: RunPart, part: RunPart) -> None:
    here, there = ([fact.name for fact in with_margin_facts(each.run)[0]] for each in (part, first))
    if only := sorted(set(here) ^ set(there)):
        what = f"was not asked the same tasks as {first.text} (only one of them has {', '.join(only)})"
        raise NotComparableError(part.text, what, "evaluate all on the same tasks")
    for name in there:
        check_task(name, first, part)


def _check_units(first: RunPart, part: RunPart) -> None:
    here, there = _units(part.run), _units(first.run)
    if differ := sorted(task for task in there if here.get(task) != there[task]):
        what = f"{', '.join(differ)} was measured on other rows than in {first.text}"
        raise NotComparableError(part.text, what, "evaluate all on the same rows, to the end, without --until-decided")


def _units(run: MeasuredRun) -> dict[str, frozenset[str]]:
    """Return the units of every judged task that were measured on the base by the deciding metric."""
    primary = {fact.name: fact.primary for fact in with_margin_facts(run)[0]}
    own = [m for m in run.measurements if m.model == run.models[0].name]
    return {m.task: frozenset(m.units) for m in own if primary.get(m.task) == m.metric}


def _check_judged(first: RunPart, part: RunPart) -> None:
    here, there = part.run.plan, first.run.plan
    if here.suite_name != there.suite_name:
        what = f"is judged as suite {here.suite_name}, {first.text} as suite {there.suite_name}"
        raise NotComparableError(part.text, what, "evaluate all with the same --suite")
    if here.alpha != there.alpha:
        what = f"is judged at alpha {here.alpha:g}, {first.text} at {there.alpha:g}"
        raise NotComparableError(part.text, what, "state one for all with --alpha")
    ours, theirs = (
        {unit.name: unit.margin for unit in gate_units(each.run.facts, each.run.plan)} for each in (part, first)
    )
    if ours.keys() != theirs.keys():
        raise NotComparableError(part.text, f"has other gate units than {first.text}", SAME_TASKS)
    if differ := [name for name, margin in ours.items() if theirs[name] != margin]:
        name = differ[0]
        what = f"the margin of {name} is {ours[name]:g}, in {first.text} {theirs[name]:g}"
        raise NotComparableError(part.text, what, "state one for all with --margin")
