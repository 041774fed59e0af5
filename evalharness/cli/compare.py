"""`evalharness compare`: what finished runs measured, to comparisons; no model and no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from evalharness.analysis.average import lacking, with_average
from evalharness.analysis.compare_plan import UNNAMED, ComparePlan, asked_margins
from evalharness.analysis.comparison import compare, target_gain
from evalharness.analysis.diagnosis import Ground, diagnose
from evalharness.cli.logs import are_logs, differing, find
from evalharness.cli.options import debug_option, margins
from evalharness.errors import NotComparableError, UsageError, did_you_mean
from evalharness.records.comparison import Estimate, Flag
from evalharness.records.measurements import Measurement, TaskFacts
from evalharness.records.models import REFERENCES
from evalharness.records.results import ModelRow, Results
from evalharness.report.escape import plain
from evalharness.report.terminal import verdict_lines
from evalharness.results import (
    models_of,
    open_folder,
    read_measurements,
    results_text,
    run_and_model,
    structured,
    write_measurements,
    write_results,
)


@dataclass(frozen=True, slots=True)
class Side:
    """Models of one run: what was measured of them, and how."""

    text: str
    facts: Mapping[str, TaskFacts]
    measurements: tuple[Measurement, ...]
    models: tuple[ModelRow, ...]
    plan: ComparePlan
    signature: Mapping[str, Any]


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN[#NAME]|[NAME=]LOG…")
@click.option(
    "--margin",
    "margin_texts",
    multiple=True,
    metavar="[TASK=]DELTA",
    help="The largest drop that is acceptable. Repeatable.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    help="Error rate of either verdict [default: the run's].",
)
@click.option(
    "--lower-is-better",
    "lower",
    multiple=True,
    metavar="METRIC",
    help="Of logs and tables: a metric that is better the less of it.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for results.json and measurements.parquet."
)
@click.option("--json", "as_json", is_flag=True, help="Print results.json and nothing else.")
@debug_option
def compare_command(
    runs: tuple[str, ...],
    margin_texts: tuple[str, ...],
    alpha: float | None,
    out: Path | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Compare what finished runs measured.

    One RUN: its candidates with its base again, with other margins if given. Several: the first is the base (RUN means
    that run's base, RUN#NAME one of its models), the others are candidates (RUN means all of that run's). In place of
    runs: folders that lm-eval wrote with --log_samples, or tables with the columns id and score, or id, prediction and
    answer (docs/imports.md). Ends with 0, or with 5 where examples of a run got no answer.
    """
    asked = margins(margin_texts)
    if given["lower"] and not are_logs(runs):
        raise UsageError("--lower-is-better", "runs know which way their metrics go", "leave it out")
    compared = _of_logs(runs, asked, alpha, given["lower"]) if are_logs(runs) else _of_runs(runs, asked, alpha)
    if out is not None:
        _leave(out, compared)
    if as_json:
        click.echo(results_text(compared.results), nl=False)
    else:
        for line in verdict_lines(compared.results):
            click.echo(line)
    return (
        NotComparableError.exit_code if any(Flag.INCOMPLETE in row.flags for row in compared.results.comparisons) else 0
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """What was compared, and what came out."""

    facts: Sequence[TaskFacts]
    measurements: Sequence[Measurement]
    plan: ComparePlan
    results: Results


def _leave(out: Path, compared: Compared) -> None:
    models = [asdict(row) for row in compared.results.models]
    open_folder(out)
    about = {"plan": asdict(compared.plan), "models": models, "signature": compared.results.signature}
    write_measurements(out, compared.facts, compared.measurements, about)
    write_results(out, compared.results)


def _tell(notice: str) -> None:
    click.echo(plain(f"note: {notice}"), err=True)


def _of_logs(
    texts: Sequence[str], asked: tuple[float | None, Mapping[str, float]], alpha: float | None, lower: Sequence[str]
) -> Compared:
    found = find(texts, asked, alpha, lower)
    for notice in [*found.imported.notices, *differing(found)]:
        _tell(notice)
    facts, measurements = found.imported.facts, found.imported.measurements
    comparisons = compare(facts, measurements, found.plan)
    signature = {**found.signature, "models": {row.name: row.fingerprint for row in found.models}}
    return Compared(facts, measurements, found.plan, Results(signature, found.models, comparisons))


def _of_runs(runs: Sequence[str], asked: tuple[float | None, Mapping[str, float]], alpha: float | None) -> Compared:
    base, candidates = _sides(runs)
    facts, measurements = _joined([base, *candidates])
    if left_out := sorted(
        {name for side in (base, *candidates) for name in side.facts} - {fact.name for fact in facts}
    ):
        _tell(f"not in all of the runs, so left out: {', '.join(left_out)}")
    plan = _plan(base, candidates, asked, alpha, facts)
    comparisons = with_average(compare(facts, measurements, plan), facts, plan.average, plan.suite_name)
    if plan.average and (absent := lacking(plan.average, facts)):
        _tell(f"{plan.average.name} is left out: not measured as it is published: {', '.join(absent)}")
    models = [replace(base.models[0], base=None)]
    for row in (row for side in candidates for row in side.models):
        gain: Estimate | None = None
        learned: bool | None = None
        if row.target_task and row.name in plan.targets:
            gain, learned = target_gain(comparisons, row.name, row.target_task, facts)
        models.append(replace(row, base=plan.base, target_gain=gain, learned_target=learned))
    signature = {**_signature(base, plan, models, facts, asked[0]), "chat": _chat([base, *candidates])}
    diagnoses = diagnose(
        Ground(facts, measurements, comparisons, signature.get("asides", {}), plan.base, plan.groups, plan.seed)
    )
    return Compared(facts, measurements, plan, Results(signature, tuple(models), comparisons, diagnoses=diagnoses))


def _read(text: str) -> tuple[Side, str]:
    """RUN[#NAME] as everything that the run measured, and the name asked for (empty: none)."""
    path, name = run_and_model(text)
    facts, measurements, about = read_measurements(path)
    plan = structured(about.get("plan"), ComparePlan, path, "about.plan")
    models = models_of(about, path)
    names = [model.name for model in models]
    if name and name not in names:
        raise UsageError(text, f"no model {name!r} in this run", did_you_mean(name, names))
    return Side(text, {fact.name: fact for fact in facts}, measurements, models, plan, about["signature"]), name


def _only(side: Side, names: Sequence[str]) -> Side:
    measurements = tuple(m for m in side.measurements if m.model in names)
    return replace(side, measurements=measurements, models=tuple(m for m in side.models if m.name in names))


def _sides(runs: Sequence[str]) -> tuple[Side, list[Side]]:
    """The base's side (one model) and the candidates'."""
    first, base_name = _read(runs[0])
    base = _only(first, [base_name or first.plan.base])
    if len(runs) == 1:
        if base_name:
            raise UsageError(
                runs[0], "one model alone cannot be compared", "name another RUN or RUN#NAME to compare it with"
            )
        return base, [_only(first, (*first.plan.candidates, *first.plan.references))]
    candidates = []
    for text in runs[1:]:
        side, name = _read(text)
        candidates.append(_only(side, [name] if name else list(side.plan.candidates)))
    names = [model.name for side in (base, *candidates) for model in side.models]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        fix = "evaluate them under different names (--model NAME=PATH); answers in the store are found again"
        raise UsageError("compare", f"several models named {', '.join(doubled)}", fix)
    return base, candidates


def _joined(sides: Sequence[Side]) -> tuple[list[TaskFacts], list[Measurement]]:
    """Facts and measurements of the tasks that all sides have. Raises NotComparableError where prompts or data
    differ.
    """
    base = sides[0]
    shared = [name for name in base.facts if all(name in side.facts for side in sides)]
    if not shared:
        raise NotComparableError("compare", "the runs have no task in common")
    facts = []
    for name in shared:
        for side in sides[1:]:
            _check_scoring(name, base, side)
            other_run = side.facts[name].prompts_digest != base.facts[name].prompts_digest
            if other_run and set(_asked(side, name).values()) != set(_asked(base, name).values()):
                what = f"not the same prompts of {name} as in {base.text}"
                raise NotComparableError(
                    side.text, what, "evaluate both with the same task files, data, shots, limit and seed"
                )
        failed = {model: count for side in sides for model, count in side.facts[name].failed.items()}
        unparsed = {model: count for side in sides for model, count in side.facts[name].unparsed.items()}
        (own,) = _asked(base, name).values()
        rounds = {model: asked for side in sides for model, asked in side.facts[name].rounds.items()}
        prompts = {model: digest for side in sides for model, digest in _asked(side, name).items() if digest != own}
        common = tuple(
            metric for metric in base.facts[name].metrics if all(metric.id in _signatures(side, name) for side in sides)
        )
        facts.append(
            replace(
                base.facts[name],
                metrics=common,
                failed=failed,
                unparsed=unparsed,
                prompts_digest=own,
                prompts=prompts,
                rounds=rounds,
            )
        )
    engines = {side.signature["engine"]["fingerprint"] for side in sides}
    if len(engines) > 1:
        fix = "evaluate with the same engine, device, dtype and versions"
        raise NotComparableError("compare", "the runs were answered by different engines", fix)
    return facts, [m for side in sides for m in side.measurements if m.task in shared]


def _asked(side: Side, task: str) -> dict[str, str]:
    """The digest of the prompts of each of the side's models."""
    fact = side.facts[task]
    return {model.name: fact.prompts.get(model.name, fact.prompts_digest) for model in side.models}


def _chat(sides: Sequence[Side]) -> dict[str, Any] | None:
    """By which chat template each model was asked, as its run's signature says; None where all were asked plainly."""
    spoken = [(side, chat) for side in sides if (chat := side.signature.get("chat"))]
    templates = {model.name: None for side in sides for model in side.models}
    templates |= {model.name: chat["templates"].get(model.name) for side, chat in spoken for model in side.models}
    return {**spoken[0][1], "templates": templates} if any(templates.values()) else None


def _check_scoring(task: str, base: Side, side: Side) -> None:
    """Raises NotComparableError where the same answers would get other scores: another task file, or another metric
    behind the same id.

    What only one run describes (`--describe`) is left out.
    """
    definitions = {each.signature["tasks"][task]["definition"] for each in (base, side)}
    ours, others = _signatures(base, task), _signatures(side, task)
    if len(definitions) > 1 or any(others.get(metric, signature) != signature for metric, signature in ours.items()):
        what = f"{task} is not defined or scored as in {base.text}"
        raise NotComparableError(
            side.text, what, "evaluate both with the same task files and versions; answers in the store are found again"
        )


def _signatures(side: Side, task: str) -> dict[str, str]:
    return {metric.id: metric.signature for metric in side.facts[task].metrics}


def _signature(
    base: Side, plan: ComparePlan, models: Sequence[ModelRow], facts: Sequence[TaskFacts], margin: float | None
) -> dict[str, Any]:
    """The base's run's, with what this comparison changed of it."""
    return {
        **base.signature,
        "base": plan.base,
        "models": {row.name: row.fingerprint for row in models},
        "tasks": {fact.name: base.signature["tasks"][fact.name] for fact in facts},
        "groups": {group.name: list(group.tasks) for group in plan.groups},
        "alpha": plan.alpha,
        "margin": base.signature["margin"] if margin is None else margin,
    }


def _plan(
    base: Side,
    candidates: Sequence[Side],
    asked: tuple[float | None, Mapping[str, float]],
    alpha: float | None,
    facts: Sequence[TaskFacts],
) -> ComparePlan:
    margin, named = asked
    names = {fact.name for fact in facts}
    groups = tuple(group for group in base.plan.groups if set(group.tasks) <= names)
    suite = base.plan.suite_name or UNNAMED
    known = names | {group.name for group in groups} | {suite}
    for name in sorted(named.keys() - known):
        raise UsageError(
            "--margin", f"no task, group or suite {plain(name)!r} in these runs", did_you_mean(name, known)
        )
    rows = [row for side in candidates for row in side.models]
    return replace(
        base.plan,
        base=base.models[0].name,
        candidates=tuple(row.name for row in rows if row.kind not in REFERENCES),
        references=tuple(row.name for row in rows if row.kind in REFERENCES),
        groups=groups,
        suite_margin=named.get(suite, base.plan.suite_margin),
        margins={**base.plan.margins, **asked_margins(facts, groups, margin, named)},
        targets={row.name: row.target_task for row in rows if row.target_task in names},
        alpha=base.plan.alpha if alpha is None else alpha,
        until_decided=_in_rounds([base, *candidates]),
    )


def _in_rounds(sides: Sequence[Side]) -> bool:
    """Was anything of it asked in rounds? Raises NotComparableError where they were not drawn alike."""
    drawn = [side for side in sides if side.plan.until_decided]
    if drawn and (other := next((side for side in sides if side.plan.seed != drawn[0].plan.seed), None)):
        what = f"was asked with seed {other.plan.seed}, {drawn[0].text}, which stops early, with {drawn[0].plan.seed}"
        raise NotComparableError(other.text, what, "evaluate both with the same --seed")
    return bool(drawn)
