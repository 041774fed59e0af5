"""Join the measurements of several runs into one, after checking that their models can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalharness.analysis.average import average_notices
from evalharness.analysis.baseline import MIXED
from evalharness.errors import NotComparableError, UsageError, did_you_mean
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.measurements import TaskFacts
from evalharness.records.models import REFERENCES, engine_differences
from evalharness.records.results import ModelRow
from evalharness.records.tasks import Group
from evalharness.results import read_measurements, run_and_model

SAME_TASKS = "evaluate both with the same task files and versions; answers in the store are found again"


OF_PROMPTS = {  # keys of a signature
    "chat": "the chat template",
    "system_instruction": "the system instruction",
    "num_fewshot": "--num-fewshot",
    "template": "the wording",
    "split": "the split",
    "limit": "--limit",
    "seed": "--seed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPart:
    """A run reduced to the models that are compared. `text`: the run as the user named it."""

    text: str
    run: MeasuredRun

    @property
    def facts(self) -> Mapping[str, TaskFacts]:
        return {fact.name: fact for fact in self.run.facts}

    def signatures(self, task: str) -> dict[str, str]:
        """Return the signature (version and options) of each of a task's metrics, by the metric's id."""
        return {metric.id: metric.signature for metric in self.facts[task].metrics}

    def prompts(self, task: str) -> dict[str, str]:
        """Return the digest of each model's prompts."""
        fact = self.facts[task]
        return {model.name: fact.prompts.get(model.name, fact.prompts_digest) for model in self.run.models}


def read_runs(texts: Sequence[str], mixed_engines: bool = False) -> tuple[MeasuredRun, tuple[str, ...]]:
    """Read one run, or join several, each named RUN or RUN#NAME; return it with notices for the user.

    The first one gives the base (its own, or the model NAME), the others their candidates (or the models NAME).
    `mixed_engines`: allow runs of different engines. Raises UsageError for a missing run, and for an unknown or
    repeated name; NotComparableError as `join` does.
    """
    run, name = _read(texts[0])
    if len(texts) == 1:
        if name:
            what = "one model alone cannot be compared"
            raise UsageError(texts[0], what, "name another RUN or RUN#NAME to compare it with")
        return run, average_notices(run.plan, run.facts)
    base, parts, own = _part(texts[0], run, [name or run.plan.base]), [], not name
    strangers = []  # runs whose candidates have another base than the one they are compared with
    for text in texts[1:]:
        run, name = _read(text)
        parts.append(_part(text, run, [name] if name else run.plan.candidates))
        if own and not name and run.models[0].fingerprint != base.run.models[0].fingerprint:
            strangers.append(text)
    names = [model.name for part in (base, *parts) for model in part.run.models]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        fix = "evaluate them under different names (--model NAME=PATH); answers in the store are found again"
        raise UsageError("compare", f"several models named {', '.join(doubled)}", fix)
    joined, notices = join(base, parts, mixed_engines)
    against = f"compared with the base of {base.text}; --by-size compares each with its own"
    return joined, (*notices, *([f"{', '.join(strangers)}: has another base, but is {against}"] if strangers else []))


def join(
    base: RunPart, candidates: Sequence[RunPart], mixed_engines: bool = False
) -> tuple[MeasuredRun, tuple[str, ...]]:
    """Join the tasks that all parts have, of all their models; return the run with notices for the user.

    Raises NotComparableError if prompts, engines (unless `mixed_engines`) or scoring differ.
    """
    parts = [base, *candidates]
    check_comparable(parts, mixed_engines)
    shared = [name for name in base.facts if all(name in part.facts for part in parts)]
    facts = tuple(_joined_facts(name, parts) for name in shared)
    rows = [replace(model, base=base.run.models[0].name) for part in candidates for model in part.run.models]
    groups = tuple(group for group in base.run.plan.groups if set(group.tasks) <= set(shared))
    plan = replace(
        base.run.plan,
        base=base.run.models[0].name,
        candidates=tuple(row.name for row in rows if row.kind not in REFERENCES),
        references=tuple(row.name for row in rows if row.kind in REFERENCES),
        groups=groups,
        targets={row.name: row.target_task for row in rows if row.target_task},
        until_decided=any(part.run.plan.until_decided for part in parts),
    )
    models = (replace(base.run.models[0], base=None), *rows)
    joined = MeasuredRun(
        plan=plan,
        facts=facts,
        measurements=tuple(m for part in parts for m in part.run.measurements if m.task in shared),
        models=models,
        signature={**base.run.signature, **_signature(parts, models, shared, groups)},
        errors=tuple(error for part in parts for error in part.run.errors if error.task in shared),
        seen_units={
            model: {task: units for task, units in of.items() if task in shared}
            for part in parts
            for model, of in part.run.seen_units.items()
        },
    )
    absent = sorted({name for part in parts for name in part.facts} - set(shared))
    notices = [f"not in all of the runs, so left out: {', '.join(absent)}"] if absent else []
    return joined, (*notices, *average_notices(plan, facts))


def check_comparable(parts: Sequence[RunPart], mixed_engines: bool = False) -> None:
    """Check that all parts have the same prompts, engine (unless `mixed_engines`) and scoring, and that rounds, if they
    stop early, were drawn alike. Raises NotComparableError.
    """
    base, *others = parts
    shared = [name for name in base.facts if all(name in part.facts for part in others)]
    if not shared:
        raise NotComparableError("compare", "the runs have no task in common", "evaluate both on the same tasks")
    for name in shared:
        for part in others:
            check_task(name, base, part)
    if not mixed_engines:
        _check_engines(base, others)
    in_rounds = next((part for part in parts if part.run.plan.until_decided), None)
    other = next((part for part in parts if in_rounds and part.run.plan.seed != in_rounds.run.plan.seed), None)
    if in_rounds and other:
        seeds = f"with seed {other.run.plan.seed}, {in_rounds.text}, which stops early, with {in_rounds.run.plan.seed}"
        raise NotComparableError(other.text, f"was asked {seeds}", "evaluate both with the same --seed")


def _check_engines(base: RunPart, others: Sequence[RunPart]) -> None:
    there = base.run.signature["engine"]
    for part in (base, *others):
        if part.run.signature.get(MIXED):
            what = "its base was answered by another engine than its candidates"
            fix = "compare it by itself, or runs of one engine, or allow it (--allow-mixed-engines)"
            raise NotComparableError(part.text, what, fix)
    for part in others:
        here = part.run.signature["engine"]
        if here["fingerprint"] != there["fingerprint"]:
            differ = engine_differences(there, here) or "what differs is not recorded"
            what = f"the runs were answered by different engines ({base.text} is there, {part.text} here: {differ})"
            fix = "evaluate with the same engine, device, dtype and versions, or allow it (--allow-mixed-engines)"
            raise NotComparableError("compare", what, fix)


def check_task(name: str, base: RunPart, part: RunPart) -> None:
    """Check that two runs have the same prompts and scoring of a task. Raises NotComparableError."""
    definitions = {each.run.signature["tasks"][name]["definition"] for each in (base, part)}
    ours, others = base.signatures(name), part.signatures(name)
    if len(definitions) > 1 or any(others.get(metric, signature) != signature for metric, signature in ours.items()):
        raise NotComparableError(part.text, f"{name} is not defined or scored as in {base.text}", SAME_TASKS)
    differ = part.facts[name].prompts_digest != base.facts[name].prompts_digest
    if differ and set(part.prompts(name).values()) != set(base.prompts(name).values()):
        fix = "evaluate both with the same task files, data, shots, limit and seed"
        because = _asked_otherwise(part.run.signature, base.run.signature)
        raise NotComparableError(part.text, f"not the same prompts of {name} as in {base.text}{because}", fix)


def _asked_otherwise(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """Return the names of the settings of prompts in which two runs differ."""
    differing = [words for key, words in OF_PROMPTS.items() if here.get(key) != there.get(key)]
    return f" (they differ in {' and '.join(differing)})" if differing else ""


def _read(text: str) -> tuple[MeasuredRun, str]:
    """Read RUN[#NAME]: the run's measurements, and the name ("" without one). Raises UsageError."""
    path, name = run_and_model(text)
    run = read_measurements(path)
    names = [model.name for model in run.models]
    if name and name not in names:
        raise UsageError(text, f"no model {name!r} in this run", did_you_mean(name, names))
    return run, name


def _part(text: str, run: MeasuredRun, names: Sequence[str]) -> RunPart:
    models = tuple(model for model in run.models if model.name in names)
    measurements = tuple(m for m in run.measurements if m.model in names)
    errors = tuple(error for error in run.errors if error.model in names)
    seen_units = {model: of for model, of in run.seen_units.items() if model in names}
    return RunPart(
        text=text,
        run=replace(
            run,
            models=models,
            measurements=measurements,
            errors=errors,
            drift=(),
            drift_forecasts=(),
            seen_units=seen_units,
        ),
    )


def _joined_facts(name: str, parts: Sequence[RunPart]) -> TaskFacts:
    facts = [part.facts[name] for part in parts]
    (own,) = parts[0].prompts(name).values()
    prompts = {model: digest for part in parts for model, digest in part.prompts(name).items()}
    metrics = [metric for metric in facts[0].metrics if all(metric.id in part.signatures(name) for part in parts)]
    return replace(
        facts[0],
        metrics=tuple(metrics),
        failed={model: count for fact in facts for model, count in fact.failed.items()},
        unparsed={model: count for fact in facts for model, count in fact.unparsed.items()},
        answers={model: counts for fact in facts for model, counts in fact.answers.items()},
        rounds={model: last for fact in facts for model, last in fact.rounds.items()},
        prompts_digest=own,
        prompts={model: digest for model, digest in prompts.items() if digest != own},
    )


def _signature(
    parts: Sequence[RunPart], models: Sequence[ModelRow], tasks: Sequence[str], groups: Sequence[Group]
) -> dict[str, Any]:
    """Return the entries of the first run's signature that joining changes."""
    signatures = [part.run.signature for part in parts]
    names, policies = {model.name for model in models}, [signature.get("policy") for signature in signatures]
    chats = [chat for signature in signatures if (chat := signature.get("chat"))]
    templates = dict.fromkeys(names) | {m: t for chat in chats for m, t in chat["templates"].items()}
    templates = {model.name: templates[model.name] for model in models}
    overlaps = [overlap for signature in signatures if (overlap := signature.get("overlap"))]
    overlapping = {name: of for overlap in overlaps for name, of in overlap["candidates"].items() if name in names}
    return {
        "base": models[0].name,
        "tasks": {name: signatures[0]["tasks"][name] for name in tasks},
        "groups": {group.name: list(group.tasks) for group in groups},
        "models": {model.name: model.fingerprint for model in models},
        "policy": policies[0] if all(policy == policies[0] for policy in policies) else None,
        "chat": {**chats[0], "templates": templates} if any(templates.values()) else None,
        **({"overlap": {**overlaps[0], "candidates": overlapping}} if overlapping else {}),
        **({MIXED: others} if (others := _other_engines(parts)) else {}),
    }


def _other_engines(parts: Sequence[RunPart]) -> dict[str, Any]:
    """Return the engine of each model for which an engine other than the first run's answered."""
    engines = {
        model.name: (part.run.signature.get(MIXED) or {}).get(model.name) or part.run.signature["engine"]
        for part in parts
        for model in part.run.models
    }
    first = parts[0].run.signature["engine"]["fingerprint"]
    return {name: dict(engine) for name, engine in engines.items() if engine["fingerprint"] != first}
