"""Define the public functions that evaluate several times: `repair`, `bisect` and `engine_check`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Unpack, cast, get_type_hints

from evalharness import experiments, registry
from evalharness.checkpoints.discover import steps_of
from evalharness.experiments.jobs import BisectJob, EngineCheckJob, RepairJob, engine_side
from evalharness.experiments.repair_rules import RepairRule
from evalharness.notebook import as_policy
from evalharness.records.job_options import JobOptions, PlanOptions, Texts, make_job
from evalharness.records.option_types import check_options, list_options
from evalharness.records.policy import Policy
from evalharness.report.bisect import Bisection
from evalharness.report.engine_check import EngineCheck
from evalharness.report.repair import Repair
from evalharness.run.checks import check_device, check_job, check_models
from evalharness.run.output_folder import held_output
from evalharness.run.progress import ProgressListener


@list_options
def repair(
    candidate: str | Path,
    suite: str | None = None,
    *,
    rule: Literal["within-margin", "knee"] = "within-margin",
    blocks: int = 1,
    choose_split: str | None = None,
    policy: str | Path | Policy | None = None,
    listener: ProgressListener | None = None,
    **options: Unpack[JobOptions],
) -> Repair:
    """Merge a candidate part of the way back to its base, as `evalharness repair` does, with the options of `evaluate`.

    `rule`: by which the way is chosen. `blocks`: number of blocks of layers with a scale of their own. `choose_split`:
    the split whose rows choose; None: half of the rows. Returns the content of repair.json; if its `chosen` is not
    None, `load(out)` has results. Raises EvalHarnessError.
    """
    own_options = {"candidate": candidate, "suite": suite, "rule": rule, "blocks": blocks, "choose_split": choose_split}
    check_options(own_options, get_type_hints(repair))
    job = make_job(candidate, suite, as_policy(policy), **options)
    check_job(job)
    with held_output(job) as job:
        run_repair = registry.find(experiments.REGISTRY, "repair", "stage")
        return cast(Repair, run_repair(RepairJob(job, RepairRule(rule), blocks, choose_split), listener)[0])


@list_options
def bisect(
    checkpoints: Texts,
    suite: str | None = None,
    *,
    unit: str | None = None,
    policy: str | Path | Policy | None = None,
    listener: ProgressListener | None = None,
    **options: Unpack[JobOptions],
) -> Bisection:
    """Find the first checkpoint of a training that forgot, as `evalharness bisect` does, with the options of
    `evaluate`.

    `checkpoints`: all of them in order, as [NAME=]PATH or one 'DIR/*', or the folder of a training that contains them.
    `unit`: the task or group to follow; None: any that the gate judges. Returns the content of bisect.json: `outcome`,
    `first`, `looks`. The folder of a look has results: `load(out / look.folder)`. Raises EvalHarnessError.
    """
    check_options({"checkpoints": checkpoints, "suite": suite, "unit": unit}, get_type_hints(bisect))
    training = Path(checkpoints) if isinstance(checkpoints, (str, Path)) else None
    models = checkpoints if training is None or not training.is_dir() else steps_of(training)
    job = make_job(models, suite, as_policy(policy), **options)
    check_job(job)
    with held_output(job) as job:
        run_bisect = registry.find(experiments.REGISTRY, "bisect", "stage")
        return cast(Bisection, run_bisect(BisectJob(job, unit), listener))


CHECK_SUITE, CHECK_LIMIT = "demo", 8  # the default of an engine check: its rows are shipped


@list_options
def engine_check(
    first: str,
    second: str,
    suite: str | None = None,
    *,
    first_options: Mapping[str, str] | None = None,
    second_options: Mapping[str, str] | None = None,
    tolerance: float | None = None,
    same_texts: float = 1.0,
    listener: ProgressListener | None = None,
    **options: Unpack[PlanOptions],
) -> EngineCheck:
    """Compare the answers of two engines to the same requests, and each engine's with its own second answers, as
    `evalharness engine check` does. `equal` says whether the two engines agree.

    `first`, `second`: ENGINE=MODEL. `first_options`, `second_options`: settings of one of them (device, dtype,
    batch_size, batch_tokens, strict, generation_config) and options of its own. `tolerance`: nats; None: the larger of
    their near ties. `same_texts`: the least share of texts that must be equal. The options are those of `plan` for
    tasks and prompts; without a suite and tasks, 8 examples of each task of the suite demo. Raises EvalHarnessError.
    """
    own_options: dict[str, object] = {"first": first, "second": second, "suite": suite, "tolerance": tolerance}
    own_options |= {"same_texts": same_texts, "first_options": first_options, "second_options": second_options}
    check_options(own_options, get_type_hints(engine_check))
    if not (suite or options.get("tasks")):
        suite = CHECK_SUITE
    options["limit"] = options.get("limit") or CHECK_LIMIT
    job = make_job((), suite, **options)
    one, other = (
        engine_side(text, own or {}, job.engine) for text, own in ((first, first_options), (second, second_options))
    )
    whole = EngineCheckJob(job=job, sides=(one, other), tolerance=tolerance, same_texts=same_texts)
    for side in whole.sides:
        check_device(side.settings.device)
    check_models(side.model for side in whole.sides)
    return cast(EngineCheck, registry.find(experiments.REGISTRY, "engine_check", "stage")(whole, listener))
