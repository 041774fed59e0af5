"""Find the first checkpoint of a training that forgot, with one run for each checkpoint that is tested."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from evalharness import results
from evalharness.checkpoints.discover import STEPS_WANTED, base_of, directory_of, expand_all
from evalharness.checkpoints.naming import parse
from evalharness.engines.base import EngineFactory, factory_of
from evalharness.engines.spreading import keep_engines
from evalharness.errors import NotComparableError, UsageError, did_you_mean
from evalharness.experiments.bisect_search import BASE, conclude, most_looks, next_look
from evalharness.experiments.jobs import BisectJob
from evalharness.experiments.setting import difference, rows_digest, setting_of
from evalharness.experiments.whole_run import evaluate_whole
from evalharness.records.job import Job
from evalharness.records.job_options import job_with
from evalharness.records.models import Checkpoint
from evalharness.records.results import Results
from evalharness.report.bisect import BISECT, Bisection, CheckpointLook, Returned, UnitLook
from evalharness.report.folder import write
from evalharness.run.plan import make_run_plan
from evalharness.run.progress import ProgressListener, SilentListener
from evalharness.stats.enums import Verdict

LOOKS = "looks"  # the folder of their runs
UNFIT = re.compile(r"[^\w.-]")  # characters that do not belong into a folder's name
SAME_SEARCH = ("base", "base_fingerprint", "checkpoints", "suite", "unit", "setting", "rows")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """A search for the first checkpoint that forgot. `texts`: the checkpoints as the user named them. `job`: the
    evaluation of every look, without its model.
    """

    job: Job
    texts: tuple[str, ...]
    listener: ProgressListener
    factory: EngineFactory


def run_bisect(
    bisect_job: BisectJob, listener: ProgressListener | None = None, factory: EngineFactory | None = None
) -> Bisection:
    """Find the first checkpoint of a training that forgot: test the last one, then search by halves.

    Each test (a look) gets a share of α. The job's output folder gets bisect.json and a run of each look, with a report
    page for the first checkpoint that forgot. After an interruption, a second call answers nothing twice.

    Raises EvalHarnessError; NotComparableError if answers of a look are missing.
    """
    search, bisection = _prepared(
        bisect_job, listener or SilentListener(), factory or factory_of(bisect_job.job.engine)
    )
    out, count = search.job.output.folder, len(search.texts)
    course: dict[int, Mapping[str, Verdict | None]] = {}
    BISECT.write(out, bisection)
    with keep_engines(search.factory):
        while (place := next_look(count, course)) is not None:
            look = _look(search, place, bisection)
            course[place] = {unit.unit: unit.verdict for unit in _followed(look.units, bisect_job.unit)}
            look = replace(look, state=_state(course[place]))
            bisection = replace(bisection, looks=(*bisection.looks, look))
            BISECT.write(out, bisection)
    conclusion, names = conclude(count, course), bisection.checkpoints
    returned = tuple(
        Returned(unit=back.unit, forgotten=names[back.forgotten], retained=names[back.retained])
        for back in conclusion.returns
    )
    bisection = replace(
        bisection,
        outcome=str(conclusion.outcome),
        first=None if conclusion.first is None else names[conclusion.first],
        before=None if conclusion.before in (None, BASE) else names[conclusion.before],
        earlier=None if conclusion.earlier is None else names[conclusion.earlier],
        returned=returned,
    )
    BISECT.write(out, bisection)
    if (at_first := bisection.look_at(bisection.first)) is not None:
        write(out / at_first.folder)
    return bisection


# ---- before any answer is computed -----------------------------------------------------------------------------------


def _prepared(bisect_job: BisectJob, listener: ProgressListener, factory: EngineFactory) -> tuple[_Search, Bisection]:
    """Check the checkpoints and their names, the unit and the folder before the first look."""
    job = bisect_job.job
    if job.statistics.until_decided or job.models.baseline or job.description.drift_only:
        what = "looks that stop early, whose base is not run, or that answer no task, are not all tested alike"
        raise UsageError("bisect", what, "leave until_decided, baseline and drift_only out")
    texts = expand_all(job.models.candidates)
    if not texts:
        raise UsageError("bisect", "no checkpoint", STEPS_WANTED)
    names = tuple(_name(text) for text in texts)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError("bisect", f"several checkpoints are called {twice[0]!r}", "give names: --stage NAME=PATH")
    looks = most_looks(len(texts))
    alpha = job.statistics.alpha
    job = job_with(job, base=job.models.base or base_of(texts[-1]), alpha=alpha / looks)
    run_plan = make_run_plan(job_with(job, models=(texts[-1],)))
    assert isinstance(run_plan.base, Checkpoint)  # no --baseline
    units = [*(task.name for task in run_plan.tasks), *(group.name for group in run_plan.groups)]
    if bisect_job.unit is not None and bisect_job.unit not in units:
        raise UsageError("--unit", f"{bisect_job.unit!r} is not measured", did_you_mean(bisect_job.unit, units))
    bisection = Bisection(
        base=run_plan.base.name,
        checkpoints=names,
        suite=job.tasks.suite or ", ".join(job.tasks.names),
        unit=bisect_job.unit,
        alpha=alpha,
        alpha_of_look=alpha / looks,
        most_looks=looks,
        base_fingerprint=run_plan.base.fingerprint,
        setting=setting_of(job, run_plan),
        rows=rows_digest(run_plan),
    )
    _check_folder(job.output.folder, bisection)
    return _Search(job=job, texts=texts, listener=listener, factory=factory), bisection


def _name(text: str) -> str:
    spec = parse(text)
    return spec.name_in(spec.path if spec.on_hub else directory_of(spec))


def _check_folder(out: Path, bisection: Bisection) -> None:
    """Raise UsageError if the folder holds another search or a run, which would be lost."""
    before = BISECT.read(out)
    if before is not None and (other := difference(before, bisection, SAME_SEARCH)):
        raise UsageError("--out", f"{out} holds a search {other}", "name another folder")
    if (out / results.RESULTS).exists():
        raise UsageError("--out", f"{out} holds a run", "name another folder")


# ---- one look --------------------------------------------------------------------------------------------------------


def _look(search: _Search, place: int, bisection: Bisection) -> CheckpointLook:
    """Evaluate one checkpoint. Raises NotComparableError if an answer is missing."""
    name = bisection.checkpoints[place]
    search.listener.phase(f"look {len(bisection.looks) + 1} of at most {bisection.most_looks}: {name}")
    number = str(place + 1).zfill(len(str(len(search.texts))))
    folder = f"{LOOKS}/{number}-{UNFIT.sub('_', name)[:80]}"
    out = search.job.output.folder / folder
    early = place < len(search.texts) - 1  # the adapter of an early checkpoint may not have changed yet
    job = job_with(search.job, models=(search.texts[place],), out=out, allow_noop=early or search.job.models.allow_noop)
    measured = evaluate_whole(job, name, search.listener, search.factory)
    model = next(model for model in measured.models if model.name == measured.candidates[0])
    return CheckpointLook(
        place=place + 1, checkpoint=name, fingerprint=model.fingerprint, state="", folder=folder, units=_units(measured)
    )


def _units(measured: Results) -> tuple[UnitLook, ...]:
    """Return the result of a look for each gate unit (a task or group that the gate judges)."""
    return tuple(
        UnitLook(
            unit=c.task,
            metric=c.metric,
            n=c.n,
            difference=c.difference,
            margin=c.margin,
            p_forgotten=c.p_forgotten_adjusted,
            verdict=c.verdict,
        )
        for c in measured.comparisons
        if c.is_gate_unit
    )


def _followed(units: tuple[UnitLook, ...], followed: str | None) -> tuple[UnitLook, ...]:
    """Return the units that decide: all, or the one that the user follows. Raises NotComparableError without any."""
    deciding = tuple(unit for unit in units if followed in (None, unit.unit))
    if not deciding:
        names = ", ".join(unit.unit for unit in units) or "none"
        raise NotComparableError("bisect", f"{followed or 'nothing'} is no gate unit", f"the gate units are: {names}")
    return deciding


def _state(verdicts: Mapping[str, Verdict | None]) -> str:
    if Verdict.FORGOTTEN in verdicts.values():
        return str(Verdict.FORGOTTEN)
    return str(Verdict.RETAINED) if {*verdicts.values()} == {Verdict.RETAINED} else "not shown"
