"""Forecast, before there are candidates, what a comparison could decide for each gate unit and for the gate.

A gate unit is a task or group that the gate judges. The forecast also has the cost in tokens and time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from evalharness.analysis.draws import generator
from evalharness.checkpoints.recognise import recognise_model
from evalharness.engines.base import EngineFactory, ModelTokenizers, factory_of
from evalharness.experiments.cost import TaskCost, token_cost, with_seconds
from evalharness.experiments.forecast import Forecast, ForecastRow
from evalharness.experiments.forecast_units import Earlier, ForecastUnit, forecast_units, read_earlier
from evalharness.experiments.jobs import ForecastJob
from evalharness.records.compare_plan import UNNAMED
from evalharness.records.job import Job
from evalharness.records.models import Checkpoint, ModelKind
from evalharness.records.requests import PreparedTask
from evalharness.run.engine_fit import check_engine_fits
from evalharness.run.facts import facts_before
from evalharness.run.measured_run import compare_plan
from evalharness.run.plan import RunPlan, plan_without_candidates
from evalharness.run.progress import ProgressListener, SilentListener
from evalharness.run.prompts import make_prompts
from evalharness.run.rows_check import check_present, check_rows
from evalharness.stats.assess import assess_at_margin
from evalharness.stats.enums import MetricKind, Verdict
from evalharness.stats.forecast import (
    WHY,
    Outlook,
    Rule,
    at_chance,
    effective_answers,
    enumerated_outlook,
    find_blocker,
    simulated_outlook,
)
from evalharness.stats.gate_forecast import GateOdds, gate_odds
from evalharness.stats.pairs import Pairs
from evalharness.stats.proportion import whole_units
from evalharness.stats.redraw import base_skill, changed_share
from evalharness.stats.verdict import SKILL_SHARE
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare

NO_MODEL = Checkpoint(
    name="base",
    kind=ModelKind.BASE,
    path=Path(),
    base=None,
    fingerprint="",
    parameters=None,
    trainable=None,
    bytes=None,
    window=None,
)  # in place of a base where the job names none
ASSESSED, DRAWS, FEWEST = 100_000, 300, 60  # examples of a unit's simulation in total; draws at most and at least
ROUGH = 100  # units of an earlier run below which its share of changes is rough
GATE_ASSESSED, GATE_EXAMPLES = 12_000, 300_000  # units, and their graded examples, in all draws of the gate


def forecast(
    forecast_job: ForecastJob, listener: ProgressListener | None = None, factory: EngineFactory | None = None
) -> Forecast:
    """Forecast what the job's comparison could decide. A model answers only for `--probe`. Raises EvalHarnessError for
    wrong options, tasks or data.
    """
    listener, job = listener or SilentListener(), forecast_job.job
    listener.phase("reading tasks")
    earlier = read_earlier(forecast_job.earlier) if forecast_job.earlier else None
    library = Library(job.tasks.include)
    check_rows(job, library)
    check_present(job, library)
    check_engine_fits(job)
    by_chat = job.engine.by_chat
    base = recognise_model(job.models.base, role="base", by_chat=by_chat) if job.models.base else NO_MODEL
    run_plan = plan_without_candidates(job, base)
    factory = (factory or factory_of(job.engine)) if job.models.base else None
    prepared = make_prompts(job, run_plan, factory).by_model[base.name] if factory else _without_model(job, run_plan)
    result = forecast_tasks(forecast_job, run_plan, prepared, listener, earlier)
    work, loading = _costs(forecast_job, base, prepared, listener, factory) if factory else ((), None)
    return replace(result, work=work, loading=loading)


def forecast_tasks(
    forecast_job: ForecastJob,
    run_plan: RunPlan,
    prepared: Sequence[PreparedTask],
    listener: ProgressListener,
    earlier: Earlier | None = None,
) -> Forecast:
    """Forecast what a comparison on the plan's prepared tasks could decide, without its cost. Raises UsageError,
    TaskError.
    """
    job = forecast_job.job
    plan, facts = compare_plan(job, run_plan, prepared), facts_before(prepared)
    units = forecast_units(plan, facts, prepared, earlier)
    rows = []
    for unit in units:
        listener.phase(f"forecasting {unit.name}")
        rows.append(_row(unit, len(units), forecast_job))
    odds, over = _gate(units, rows, forecast_job, listener)
    decided = {fact.name for unit in units for fact in (member.task for member in unit.members)}
    return Forecast(
        suite=plan.suite_name or UNNAMED,
        alpha=job.statistics.alpha,
        power=forecast_job.power,
        tests=len(units),
        flips=forecast_job.flips,
        skill=forecast_job.skill,
        earlier=f"{earlier.text}#{earlier.candidate}" if earlier else None,
        rows=tuple(rows),
        describing=tuple(fact.name for fact in facts if fact.name not in decided),
        gate=odds,
        gate_over=over,
        without=tuple(row.name for row in rows if row.how == "unknown"),
        notices=_notices(run_plan, earlier, units, prepared),
    )


def _without_model(job: Job, run_plan: RunPlan) -> tuple[PreparedTask, ...]:
    """Prepare the tasks without cutting prompts, because no window is known without a model."""
    prepared = []
    for task in run_plan.tasks:
        asking = PromptSettings(
            num_fewshot=run_plan.shots_of(task),
            limit=run_plan.limit_of(task),
            seed=job.statistics.seed,
            split=run_plan.split,
        )
        prepared.append(prepare(task, run_plan.source, asking))
    return tuple(prepared)


def _notices(
    run_plan: RunPlan, earlier: Earlier | None, units: Sequence[ForecastUnit], prepared: Sequence[PreparedTask]
) -> tuple[str, ...]:
    notices = [*run_plan.notices]
    if failed := sum(len(task.failures) for task in prepared):
        notices.append(f"{failed} examples do not fit into the base's window: a run would be incomplete")
    lacking = [unit.name for unit in units if earlier and unit.earlier is None]
    if lacking:
        notices.append(f"not in the earlier run: {', '.join(lacking)}")
    few = [unit.name for unit in units if (pairs := unit.earlier) is not None and len(pairs.base) < ROUGH]
    if few:
        notices.append(
            f"fewer than {ROUGH} units in the earlier run, so what it says of them is rough: {', '.join(few)}"
        )
    return tuple(notices)


# ---- one unit --------------------------------------------------------------------------------------------------------


def _rng(forecast_job: ForecastJob, *of: str) -> np.random.Generator:
    return generator([forecast_job.job.statistics.seed, "forecast", *of])


def _row(unit: ForecastUnit, tests: int, forecast_job: ForecastJob) -> ForecastRow:
    alpha, power = forecast_job.job.statistics.alpha, forecast_job.power
    rule = Rule(margin=unit.margin, alpha=alpha, tests=tests, power=power)
    earlier, rng = unit.earlier, _rng(forecast_job, unit.name)
    effective, flips, how = _design(unit, earlier, forecast_job, rng)
    base = None if earlier is None else float(earlier.score(earlier.base.sum(axis=0)))
    guesses = None if earlier is None else _guesses(unit, earlier, effective, rule.alpha)
    skill = unit.largest_skill if earlier is None else base_skill(earlier)
    reason = find_blocker(unit.units, unit.margin, skill, guesses, unit.bounded)
    above_chance = (1.0 if unit.metric.higher_is_better else -1.0) * unit.margin / SKILL_SHARE
    reachable = unit.largest_skill is not None and abs(above_chance) <= unit.largest_skill * (1 + 1e-12)
    row = ForecastRow(
        name=unit.name,
        level=unit.level,
        family=unit.family,
        metric=unit.metric.id,
        kind=unit.metric.kind,
        available=unit.available,
        units=unit.units,
        examples=unit.examples,
        effective=round(effective, 1),
        margin=unit.margin,
        how=how,
        flips=flips,
        base=base,
        base_needed=None if unit.chance is None or not reachable else round(unit.chance + above_chance, 9),
        largest_margin=None if skill is None or math.isinf(skill) else max(0.0, SKILL_SHARE * skill),
        reason=WHY[reason] if reason else None,
    )
    drawing_at = partial(unit.drawing, forecast_job.flips, forecast_job.skill)
    if how == "unknown" or drawing_at() is None or not unit.units:
        return replace(row, expected=Verdict.INCONCLUSIVE if reason else "unknown")
    dependent = how == "known" and earlier is not None and unit.sizes.max(initial=0) > 1
    outlook = None if how == "simulated" else enumerated_outlook(math.floor(effective), round(flips or 0.0, 6), rule)
    if outlook is None or dependent:
        times = int(np.clip(ASSESSED / max(1, unit.units), FEWEST, DRAWS))
        draws = simulated_outlook(drawing_at, rule, times, rng)
        needed = None if draws.needed is None else math.ceil(draws.needed * effective / unit.units)
        outlook = replace(draws, needed=needed)
    return _with_outlook(row, outlook, reason is not None)


def _with_outlook(row: ForecastRow, outlook: Outlook, hopeless: bool) -> ForecastRow:
    """Add to the row what the unit's design can show. A `hopeless` unit can never be retained, so its probability of
    that is 0, whatever the test alone says.
    """
    retained = 0.0 if hopeless else outlook.retained
    needed = None if outlook.needed is None else math.ceil(outlook.needed * row.units / max(row.effective, 1e-9))
    chances = {
        Verdict.RETAINED: retained,
        Verdict.FORGOTTEN: outlook.forgotten,
        Verdict.INCONCLUSIVE: 1 - retained - outlook.forgotten,
    }
    return replace(
        row,
        certifiable=outlook.certifiable,
        detectable=outlook.detectable,
        needed=needed,
        retained=retained,
        forgotten=outlook.forgotten,
        draws=outlook.draws,
        expected=max(chances, key=chances.__getitem__),
    )


def _design(
    unit: ForecastUnit, earlier: Pairs | None, forecast_job: ForecastJob, rng: np.random.Generator
) -> tuple[float, float | None, str]:
    """Return the independent units that the rows are worth, the share of answers that change, and its source."""
    single = bool(unit.sizes.max(initial=0) <= 1)
    if unit.binary and earlier is None:
        effective = float(unit.units if single else unit.sizes.sum() / whole_units(unit.sizes))
        return effective, forecast_job.flips, "assumed"
    if unit.binary and earlier is not None:
        drawing = unit.drawing(forecast_job.flips, forecast_job.skill)
        if single or drawing is None:
            return float(unit.units), changed_share(earlier)[1], "known"
        return (*effective_answers(drawing, rng), "known")
    if earlier is not None:
        return float(unit.units), changed_share(earlier)[1], "simulated"
    can_draw = unit.drawing(forecast_job.flips, forecast_job.skill) is not None
    return float(unit.units), forecast_job.flips if can_draw else None, "simulated" if can_draw else "unknown"


def _guesses(unit: ForecastUnit, earlier: Pairs, effective: float, alpha: float) -> bool:
    """Return whether the earlier run's base would count as guessing, for 0/1 answers, at the size of this plan."""
    if earlier.chance is not None and unit.binary and earlier.sign > 0:
        return at_chance(float(earlier.score(earlier.base.sum(axis=0))), earlier.chance, max(1.0, effective), alpha)
    return assess_at_margin(earlier, 1 - 2 * alpha).at_chance


def _gate(
    units: Sequence[ForecastUnit], rows: Sequence[ForecastRow], forecast_job: ForecastJob, listener: ProgressListener
) -> tuple[GateOdds | None, tuple[str, ...]]:
    """Draw the gate's odds over the units whose rows can be drawn; also return those units' names."""
    drawable = [
        unit
        for unit, row in zip(units, rows, strict=True)
        if row.how != "unknown" and unit.units and unit.drawing(forecast_job.flips, forecast_job.skill) is not None
    ]
    if not drawable:
        return None, ()
    listener.phase("drawing the gate")
    heavy = sum(unit.units for unit in drawable if unit.metric.kind != MetricKind.BINARY)
    times = int(np.clip(min(GATE_ASSESSED / len(drawable), GATE_EXAMPLES / max(1, heavy)), FEWEST, DRAWS))
    rule = Rule(margin=1.0, alpha=forecast_job.job.statistics.alpha, tests=len(drawable), power=forecast_job.power)
    losing = [partial(unit.drawing, forecast_job.flips, forecast_job.skill) for unit in drawable]
    odds = gate_odds(losing, [unit.margin for unit in drawable], rule, times, _rng(forecast_job, "gate"))
    return odds, tuple(unit.name for unit in drawable)


def _costs(
    forecast_job: ForecastJob,
    base: Checkpoint,
    prepared: Sequence[PreparedTask],
    listener: ProgressListener,
    factory: EngineFactory,
) -> tuple[tuple[TaskCost, ...], float | None]:
    """Count every task's tokens, and with `--probe` measure its time; also return the seconds of loading."""
    count = factory.token_counter(base) if isinstance(factory, ModelTokenizers) else None
    if count is None:
        return (), None  # there is no tokenizer
    listener.phase("counting tokens")
    costs = tuple(token_cost(task, count) for task in prepared)
    if not forecast_job.probe:
        return costs, None
    listener.phase(f"probing {base.name}")
    return with_seconds(costs, prepared, forecast_job.probe, base, lambda: factory.open(base, forecast_job.job.engine))
