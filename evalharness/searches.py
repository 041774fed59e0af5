"""The public functions that evaluate several times for one answer: `repair` and `bisect`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Unpack, cast, get_type_hints

from evalharness import experiments, registry
from evalharness.checkpoints.discover import steps_of
from evalharness.experiments.jobs import BisectJob, RepairJob
from evalharness.experiments.repair_rules import RepairRule
from evalharness.notebook import as_policy
from evalharness.records.job_options import JobOptions, Texts, make_job
from evalharness.records.option_types import check_options, spelled_out
from evalharness.records.policy import Policy
from evalharness.report.bisect import Bisection
from evalharness.report.repair import Repair
from evalharness.run.checks import check_job
from evalharness.run.output_folder import held_output
from evalharness.run.progress import ProgressListener


@spelled_out
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
    """Go part of the way from a candidate back to its base, as `evalharness repair` does, with the options of
    `evaluate`; what repair.json says. Where `chosen` is not None, `load(out)` has results. Raises EvalHarnessError.
    """
    given = {"candidate": candidate, "suite": suite, "rule": rule, "blocks": blocks, "choose_split": choose_split}
    check_options(given, get_type_hints(repair))
    job = make_job(candidate, suite, as_policy(policy), **options)
    check_job(job)
    with held_output(job) as job:
        run_repair = registry.find(experiments.REGISTRY, "repair", "stage")
        return cast(Repair, run_repair(RepairJob(job, RepairRule(rule), blocks, choose_split), listener)[0])


@spelled_out
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
    `evaluate`; what bisect.json says: `outcome`, `first`, `looks`.

    `checkpoints`: each in order ([NAME=]PATH, or one 'DIR/*'), or the folder of one training with its steps inside;
    `unit`: the gate unit that is followed, None: any. The folder of a look has results: `load(out / look.folder)`.
    Raises EvalHarnessError.
    """
    given = {"checkpoints": checkpoints, "suite": suite, "unit": unit}
    check_options(given, get_type_hints(bisect))
    training = Path(checkpoints) if isinstance(checkpoints, (str, Path)) else None
    models = checkpoints if training is None or not training.is_dir() else steps_of(training)
    job = make_job(models, suite, as_policy(policy), **options)
    check_job(job)
    with held_output(job) as job:
        run_bisect = registry.find(experiments.REGISTRY, "bisect", "stage")
        return cast(Bisection, run_bisect(BisectJob(job, unit), listener))
