"""Define the public functions, which the command line also calls. `searches` has those that evaluate several times.

Heavy modules are imported when a function needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack, cast, get_type_hints

from evalharness import experiments, merging, registry, report, run
from evalharness.analysis.analyse import analyse
from evalharness.analysis.baseline_accept import accept as accept
from evalharness.analysis.baseline_gate import check_used, decide
from evalharness.analysis.gate import Decision
from evalharness.analysis.joining import read_runs
from evalharness.analysis.judging import judged_by, rule_notices
from evalharness.analysis.margins import with_margins, with_targets
from evalharness.engines.base import EngineFactory
from evalharness.errors import UsageError
from evalharness.experiments.by_size import by_size
from evalharness.experiments.jobs import ForecastJob
from evalharness.folder_lock import PATIENCE, hold_folder
from evalharness.imports.logged import MetricStatement
from evalharness.imports.runs import are_logs, read_logs
from evalharness.merging.job import MergeJob
from evalharness.notebook import PlanResults, RunResults, as_policy
from evalharness.records.job_options import JobOptions, PlanOptions, Texts, make_job, texts_of
from evalharness.records.measured_run import MeasuredRun
from evalharness.records.option_types import check_options, list_options
from evalharness.records.policy import OPTION, Policy
from evalharness.records.results import Results
from evalharness.report.sizes import PAGE, SIZES, Sizes
from evalharness.results import run_and_model, save, write_text
from evalharness.run.checks import check_job, check_output
from evalharness.run.output_folder import held_output
from evalharness.run.progress import ProgressListener


@list_options
def evaluate(
    models: Texts,
    suite: str | None = None,
    *,
    policy: str | Path | Policy | None = None,
    listener: ProgressListener | None = None,
    factory: EngineFactory | None = None,
    **options: Unpack[JobOptions],
) -> RunResults:
    """Evaluate candidates against their base and return the results. It writes the same folder as `evalharness run`,
    without the page.

    `models`: the candidates, each as [NAME=]PATH, HUB_ID[@REV] or URL#MODEL. `policy`: the gate's policy or its file,
    whose suite, margins and error rate the options override; None: no file is read. `listener`: is told of the
    progress. `factory`: replaces the engine. Raises EvalHarnessError, whose `exit_code` is that of the command.

    The options are the command's; a text may stand for a path:

    * models: base, baseline, target, targets, train_data, placebo, precision, allow_noop,
      allow_mixed_engines
    * tasks: tasks, include, limit, num_fewshot, split, templates
    * rows: data_dir, data, columns
    * prompts: apply_chat_template, system_instruction, fewshot_as_multiturn, chat_template_mismatch
    * verdicts: seed, margin, margins, alpha, until_decided
    * gate: on_inconclusive, ceiling, ceilings, against
    * beside the verdicts: describe, describe_with, explain, drift, drift_text, drift_only, drift_table
    * engine: engine, device, dtype, generation_config, batch_size, batch_tokens, strict,
      engine_options
    * places: out (None: runs/<time>-<suite>), store (None: in the user's cache directory)

    `records.job_options.JobOptions` explains each of them.
    """
    job = make_job(models, suite, as_policy(policy), **options)
    check_job(job, factory)
    with held_output(job) as job:
        record: Results = registry.find(run.REGISTRY, "evaluate", "stage")(job, listener, factory)
    return RunResults(record, job.output.folder)


@list_options
def compare(
    runs: Texts,
    *,
    margin: float | None = None,
    margins: Mapping[str, float] | None = None,
    alpha: float | None = None,
    target: str | None = None,
    targets: Mapping[str, str] | None = None,
    metrics: Mapping[str, MetricStatement] | None = None,
    allow_mixed_engines: bool = False,
    out: str | Path | None = None,
    notify: Callable[[str], None] = lambda notice: None,
) -> RunResults:
    """Compare the measurements of finished runs, without running a model.

    One RUN: its candidates with its base again; the results differ from the run's only by other margins or `alpha`.
    Several: the first is the base (RUN means that run's base, RUN#NAME one of its models), the others are candidates.
    Other tools' logs or tables are [NAME=]LOG[#MODEL] (docs/imports.md). `margin`: the largest acceptable loss of all
    tasks on a 0-1 scale; `margins`: of single tasks or groups. `target`, `targets`: what all or single candidates were
    trained for. `metrics`: facts that no log, column or name tells, by metric or task: {"wer": {"higher_is_better":
    False, "high": 2}}. `allow_mixed_engines`: allow runs of different engines, and flag such rows. `out`: a folder for
    the files. `notify` gets notices. Raises EvalHarnessError.
    """
    options = {"runs": runs, "margin": margin, "margins": margins, "alpha": alpha, "target": target, "targets": targets}
    rest = {"metrics": metrics, "allow_mixed_engines": allow_mixed_engines, "out": out}
    check_options({**options, **rest}, get_type_hints(compare))
    texts, by_name = texts_of(runs), margins or {}
    if out is not None:
        check_output(Path(out))
    measured, notices = _read(texts, by_name, metrics or {}, allow_mixed_engines)
    for notice in notices:
        notify(notice)
    measured = with_targets(with_margins(measured, margin, by_name, alpha), target, targets or {})
    record = analyse(measured)
    if out is None:
        return RunResults(record, measured=measured)
    paths = [run_and_model(text)[0] for text in texts]
    same = any(Path(out).resolve() in (path.resolve(), path.parent.resolve()) for path in paths)
    save(Path(out), record, measured, same=same)
    return RunResults(record, Path(out))


@list_options
def compare_by_size(
    runs: Texts,
    *,
    margin: float | None = None,
    margins: Mapping[str, float] | None = None,
    alpha: float | None = None,
    target: str | None = None,
    targets: Mapping[str, str] | None = None,
    out: str | Path | None = None,
) -> Sizes:
    """Compare finished runs of bases of several sizes: each run's candidates with its own base, as `compare(RUN)` does,
    ordered by the base's number of parameters.

    The options are those of `compare`. `out`: a folder for sizes.json and sizes.html. Raises UsageError for what is no
    run, and NotComparableError if the runs have other rows or rules of verdicts.
    """
    options = {"runs": runs, "margin": margin, "margins": margins, "alpha": alpha, "target": target, "targets": targets}
    check_options({**options, "out": out}, get_type_hints(compare_by_size))
    if out is not None:
        check_output(Path(out))
    targets = {**({"": target} if target else {}), **(targets or {})}
    sizes = by_size(texts_of(runs), margin, margins or {}, alpha, targets)
    if out is not None:
        page: str = registry.find(report.REGISTRY, "sizes", "view")(sizes)
        with hold_folder(Path(out), "--out", patience=PATIENCE):
            write_text(Path(out) / PAGE, page)
            SIZES.write(Path(out), sizes)
    return sizes


@list_options
def load(run: str | Path) -> RunResults:
    """Return the results of a finished run's folder, judged by this version's rule of verdicts. Raises UsageError if it
    holds none.
    """
    check_options({"run": run}, get_type_hints(load))
    return RunResults.load(run)


@list_options
def plan(
    suite: str | None = None,
    *,
    power: float = 0.8,
    flips: float = 0.1,
    skill: float = 0.5,
    earlier: str | Path | None = None,
    probe: int = 0,
    out: str | Path | None = None,
    listener: ProgressListener | None = None,
    **options: Unpack[PlanOptions],
) -> PlanResults:
    """Forecast what a comparison could decide, before any model runs, as `evalharness plan` does: what every gate unit
    (a task or group that the gate judges) could certify and detect, and how often the gate passes.

    `power`: the probability of a verdict to plan for. `flips`: the assumed share of answers that change. `skill`: how
    far from chance to perfect the base is assumed to be. `earlier`: a run (RUN[#NAME]) from which both are taken
    instead. `probe`: the number of requests a task that `base` answers to measure the time. `out`: a folder for
    plan.json. `listener`: is told of the progress. The options are those of `evaluate` for tasks, prompts and engine:

    * tasks: tasks, include, limit, num_fewshot, split, target
    * rows: data_dir, data, columns
    * prompts: base, apply_chat_template, system_instruction, fewshot_as_multiturn, chat_template_mismatch
    * verdicts: seed, margin, margins, alpha
    * engine: engine, device, dtype, generation_config, batch_size, batch_tokens, strict, engine_options

    Raises EvalHarnessError.
    """
    assumptions = {"power": power, "flips": flips, "skill": skill, "earlier": earlier, "probe": probe, "out": out}
    check_options({"suite": suite, **assumptions}, get_type_hints(plan))
    if not (suite or options.get("tasks")):
        raise UsageError("plan", "nothing to plan", "name a suite or tasks")
    if out is not None:
        check_output(Path(out))
    job, run = make_job((), suite, **options), None if earlier is None else str(earlier)
    forecast_job = ForecastJob(job=job, power=power, flips=flips, skill=skill, earlier=run, probe=probe)
    planned = PlanResults(registry.find(experiments.REGISTRY, "forecast", "stage")(forecast_job, listener))
    if out is not None:
        planned.save(out)
    return planned


@list_options
def gate(
    run: str | Path | RunResults | Results,
    *,
    policy: str | Path | Policy | None = None,
    candidates: Sequence[str] = (),
    margin: float | None = None,
    margins: Mapping[str, float] | None = None,
    alpha: float | None = None,
    on_inconclusive: Literal["fail", "pass"] | None = None,
    ceiling: float | None = None,
    ceilings: Mapping[str, float] | None = None,
    against: Literal["base", "baseline", "both"] | None = None,
    baseline: str | Path | None = None,
) -> Decision:
    """Decide whether the candidates of a run may ship, as `evalharness gate` does. The decision has `exit_code` and
    `reasons`, of all candidates and of each.

    `policy`: the gate's policy or its file (None: no file is read); options override it. `candidates`: decide on these;
    None: on all. `ceiling`: the largest loss that may remain possible of any task or group that the gate judges, if
    scored from 0 to 1; `ceilings`: of single ones, in their metric's unit. `against`: the scores that candidates are
    compared with. `baseline`: the file of accepted scores. A baseline, and margins or an `alpha` other than the run's,
    need the run's folder. Raises UsageError for names and files that do not exist.
    """
    of_policy: dict[str, Any] = {"margin": margin, "margins": margins, "alpha": alpha, "ceiling": ceiling}
    of_policy |= {"ceilings": ceilings, "on_inconclusive": on_inconclusive, "against": against}
    of_policy["baseline"] = None if baseline is None else str(baseline)
    hints = get_type_hints(gate)
    check_options({"run": run, "policy": policy, "candidates": candidates, **of_policy}, hints)
    whole = as_policy(policy).with_values(of_policy, OPTION)
    check_used(whole)
    if isinstance(run, RunResults):
        return run.decide(whole, candidates)
    if isinstance(run, Results):
        return RunResults(run).decide(whole, candidates)
    return decide(Path(run), judged_by(Path(run), whole)[0], whole, candidates)


@list_options
def merge(
    models: Texts,
    out: str | Path,
    *,
    base: str | None = None,
    method: str | None = None,
    weights: Mapping[str, float] | None = None,
    density: float | None = None,
    seed: int = 0,
    rank: int | None = None,
    into_base: bool = False,
    dtype: Literal["float32", "bfloat16", "float16"] | None = None,
    notify: Callable[[str], None] = lambda notice: None,
) -> dict[str, Any]:
    """Merge an adapter into its base, several adapters into one, or full weights of one base, as `evalharness
    checkpoint merge` does. Returns the content of merge.json.

    `weights`: by the models' names. `density`: the share of values that a pruning `method` keeps. `rank`: of the
    adapter that svd makes. `into_base`: the result has full weights. `dtype`: of the result; None: as in the files.
    `notify` gets notices. Raises EvalHarnessError.
    """
    options = {"models": models, "out": out, "base": base, "method": method, "weights": weights, "density": density}
    options |= {"seed": seed, "rank": rank, "into_base": into_base, "dtype": dtype}
    check_options(options, get_type_hints(merge))
    options |= {"models": texts_of(models), "out": Path(out), "weights": weights or {}}
    job = MergeJob(**options)  # type: ignore[arg-type]
    return cast(dict[str, Any], registry.find(merging.REGISTRY, "merge", "stage")(job, notify))


def _read(
    texts: Sequence[str], margins: Mapping[str, float], metrics: Mapping[str, MetricStatement], mixed_engines: bool
) -> tuple[MeasuredRun, Sequence[str]]:
    """Read the measurements of runs or logs; return them with notices."""
    if are_logs(texts):
        if mixed_engines:
            raise UsageError("--allow-mixed-engines", "logs do not say which engine answered them", "leave it out")
        return read_logs(texts, margins, metrics)
    if metrics:
        raise UsageError("--metric", "runs state their metrics themselves", "leave it out")
    measured, notices = read_runs(texts, mixed_engines)
    return measured, (*notices, *(rule_notices(run_and_model(texts[0])[0]) if len(texts) == 1 else ()))
