"""Make a Job from options with the names of the command line.

A text may stand for a path, and one text for a list of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict, Unpack, get_type_hints

from evalharness.errors import UsageError, did_you_mean
from evalharness.paths import default_store, run_folder
from evalharness.records.job import (
    DescriptionOptions,
    Job,
    LocalData,
    ModelSelection,
    OutputPaths,
    PromptOptions,
    StatisticsOptions,
    TaskSelection,
)
from evalharness.records.models import EngineSettings
from evalharness.records.option_types import check_options
from evalharness.records.policy import OPTION, Policy

Texts = str | Path | Sequence[str | Path]
Paths = Mapping[str, str | Path]


class QuestionOptions(TypedDict, total=False):
    """The options that say how tasks are evaluated and judged, for any models."""

    target: str | None  # the task the candidates were trained for, if no training.json says it; none: none of these
    data_dir: str | Path | None  # a folder with local data: <dataset>/<config>/<split>.jsonl|csv|parquet …
    data: Paths  # task or data set -> its rows: a folder of splits, or a file
    columns: Mapping[str, str]  # [task or data set:]column of a task -> the name that it has in the files
    include: Texts  # folders with more task files
    limit: int | None  # most examples a task (whole units, at least one), drawn with the seed
    num_fewshot: int | None  # examples in front of each question, instead of each task's own number
    split: str | None  # evaluate this split instead of each task's own ("validation", to select on)
    seed: int  # of shots, limit and swaps
    margin: float | None  # the largest acceptable drop of every task whose primary metric is on a 0-1 scale
    margins: Mapping[str, float]  # of a task, group or family -> its largest acceptable drop
    alpha: float  # error rate of either verdict
    apply_chat_template: bool | Literal["all", "candidates"]  # True, "all": to every model its own; else the base plain
    system_instruction: str | None  # the system message, before each task's description
    fewshot_as_multiturn: bool | None  # under a template, shots as turns of their own; None: yes
    chat_template_mismatch: Literal["refuse", "allow"]  # where base and candidates have different templates


class EngineOptions(TypedDict, total=False):
    """The options of the engine that runs the models."""

    engine: str  # hf, or another engine's name
    device: str  # auto, cpu, cuda or cuda:N
    dtype: str  # of the weights: float32, bfloat16, float16
    generation_config: Literal["base", "own", "plain"]  # which decodes: the base's for all, each its own, or none
    batch_size: int  # most rows of a forward pass
    strict: bool  # every row alone, on one thread
    batch_tokens: int  # most rows × length of a forward pass
    engine_options: Mapping[str, str]  # settings of the engine's own


class PlanOptions(QuestionOptions, EngineOptions, total=False):
    """The options of a forecast, without its suite and its assumptions."""

    tasks: str | Sequence[str]  # tasks, groups, tags or globs
    base: str | Path | None  # the model that will be the base: tokens are counted, and prompts cut to its window


class JobOptions(QuestionOptions, EngineOptions, total=False):
    """The options of an evaluation, without its models and its suite."""

    base: str | Path | None  # [NAME=]PATH or hub id; None: as recorded beside the candidates
    baseline: str | Path | None  # an earlier run, or baseline file, whose base's scores are used; no base is run
    targets: Mapping[str, str]  # candidate -> the task it was trained for; none: none of these
    tasks: str | Sequence[str]  # tasks, groups, tags or globs
    train_data: Paths  # candidate ("": all) -> rows it was fine-tuned on
    placebo: bool  # measure the base through an adapter that changes nothing, too: the engine's noise
    precision: str | None  # of the base and adapters on it: nf4, fp4, int8, none; None: as the candidates were made for
    allow_noop: bool  # accept a copy of the base, and an adapter that changes nothing
    allow_mixed_engines: bool  # compare with scores of `baseline` that come from another engine, and flag every row
    templates: str | None  # use this other wording; "all": every other one beside the task's own
    until_decided: bool  # evaluate in rounds, and stop a gate unit once its verdict is certain
    describe: str | Sequence[str]  # calibration, robustness, fairness, generation, toxicity, bias, efficiency
    describe_with: Paths  # dialect, names: lists of words; toxicity: PATH[#CLASS], a classifier
    explain: bool  # diagnose lost choice tasks: is it knowledge or the format of the answer?
    drift: bool  # how far the candidates' predictions are from the base's
    drift_text: str | Path | None  # measure drift on the paragraphs of this file instead of ours
    drift_only: bool  # drift and its forecast, and no task
    drift_table: str | Path | None  # forecast from this table of candidates instead of ours
    on_inconclusive: Literal["fail", "pass"] | None  # the gate's outcome for an undecided candidate; None: fail
    ceiling: float | None  # the gate: the largest loss that may remain possible of every unit on a 0-1 scale
    against: Literal["base", "baseline", "both"] | None  # the gate: whose scores decide; None: base
    ceilings: Mapping[str, float]  # of a gate unit or family -> the largest loss that may remain possible
    out: str | Path | None  # folder for the results; None: runs/<time>-<suite>
    store: str | Path | None  # file of answers; None: in the user's cache directory


class JobChanges(JobOptions, total=False):
    """Every option of a Job."""

    models: Texts  # the candidates
    suite: str | None
    policy: Policy  # of the gate; options override its values


HINTS = get_type_hints(JobChanges)
OF_POLICY = ("alpha", "margin", "margins", "on_inconclusive", "ceiling", "ceilings", "against")


def make_job(
    models: Texts, suite: str | None = None, policy: Policy | None = None, **options: Unpack[JobOptions]
) -> Job:
    """Return the Job of these options, named as on the command line.

    A missing option has the policy's value, else its default. Without a suite and tasks, the policy's suite is run.
    Raises UsageError as `job_with` does.
    """
    policy = policy or Policy()
    suite = suite or (None if options.get("tasks") else policy.suite)
    store = options.get("store")
    output = OutputPaths(
        folder=run_folder(suite),
        store=Path(store) if isinstance(store, str | Path) else default_store({}),
        unnamed=True,
    )
    return job_with(Job(output=output), models=models, suite=suite, policy=policy, **options)


def job_with(job: Job, **options: Unpack[JobChanges]) -> Job:
    """Return the Job with these options in place of its own. Raises UsageError for a name that is no option, and for a
    value of the wrong type.
    """
    for name in options:
        if name not in HINTS:
            raise UsageError(name, "there is no such option", did_you_mean(name, HINTS))
    check_options(options, HINTS)
    policy = _policy(options.get("policy", job.policy), options)
    return Job(
        output=_output(job.output, options),
        models=_models(job.models, options),
        tasks=_tasks(job.tasks, options),
        data=_data(job.data, options),
        prompts=_prompts(job.prompts, options),
        description=_description(job.description, options),
        statistics=_statistics(job.statistics, policy, options),
        policy=policy,
        engine=_engine(job.engine, options),
    )


def _output(old: OutputPaths, options: JobChanges) -> OutputPaths:
    out = options.get("out")
    return OutputPaths(
        folder=Path(out or old.folder), store=Path(options.get("store") or old.store), unnamed=old.unnamed and not out
    )


def _models(old: ModelSelection, options: JobChanges) -> ModelSelection:
    return ModelSelection(
        candidates=texts_of(options.get("models", old.candidates)),
        base=_text(options.get("base", old.base)),
        baseline=_path(options.get("baseline", old.baseline)),
        target=_text(options.get("target", old.target)),
        targets=options.get("targets", old.targets),
        placebo=options.get("placebo", old.placebo),
        precision=options.get("precision", old.precision),
        train_data=_paths(options.get("train_data", old.train_data)),
        allow_noop=options.get("allow_noop", old.allow_noop),
        allow_mixed_engines=options.get("allow_mixed_engines", old.allow_mixed_engines),
    )


def _tasks(old: TaskSelection, options: JobChanges) -> TaskSelection:
    return TaskSelection(
        suite=options.get("suite", old.suite),
        names=texts_of(options.get("tasks", old.names)),
        include=tuple(map(Path, texts_of(options.get("include", old.include)))),
        limit=options.get("limit", old.limit),
        num_fewshot=options.get("num_fewshot", old.num_fewshot),
        split=options.get("split", old.split),
        templates=options.get("templates", old.templates),
    )


def _data(old: LocalData, options: JobChanges) -> LocalData:
    return LocalData(
        folder=_path(options.get("data_dir", old.folder)),
        overrides=_paths(options.get("data", old.overrides)),
        columns=options.get("columns", old.columns) or {},
    )


def _prompts(old: PromptOptions, options: JobChanges) -> PromptOptions:
    return PromptOptions(
        apply_chat_template=options.get("apply_chat_template", old.apply_chat_template),
        system_instruction=options.get("system_instruction", old.system_instruction),
        fewshot_as_multiturn=options.get("fewshot_as_multiturn", old.fewshot_as_multiturn),
        chat_template_mismatch=options.get("chat_template_mismatch", old.chat_template_mismatch),
    )


def _description(old: DescriptionOptions, options: JobChanges) -> DescriptionOptions:
    return DescriptionOptions(
        ways=texts_of(options.get("describe", old.ways)),
        files={name: str(path) for name, path in (options.get("describe_with", old.files) or {}).items()},
        explain=options.get("explain", old.explain),
        drift=options.get("drift", old.drift),
        drift_text=_path(options.get("drift_text", old.drift_text)),
        drift_only=options.get("drift_only", old.drift_only),
        drift_table=_path(options.get("drift_table", old.drift_table)),
    )


def _statistics(old: StatisticsOptions, policy: Policy, options: JobChanges) -> StatisticsOptions:
    return StatisticsOptions(
        seed=options.get("seed", old.seed),
        margin=policy.margin,
        margins=policy.margins,
        alpha=StatisticsOptions().alpha if policy.alpha is None else policy.alpha,
        until_decided=options.get("until_decided", old.until_decided),
    )


def _policy(old: Policy, options: JobChanges) -> Policy:
    """Return the policy with its values overridden by options; a baseline file is the gate's, too."""
    baseline = options.get("baseline")
    file = str(baseline) if baseline and Path(baseline).is_file() and Path(baseline).suffix != ".parquet" else None
    return old.with_values({"baseline": file, **{key: options.get(key) for key in OF_POLICY}}, OPTION)


def _engine(old: EngineSettings, options: JobChanges) -> EngineSettings:
    return EngineSettings(
        name=options.get("engine", old.name),
        device=options.get("device", old.device),
        dtype=options.get("dtype", old.dtype),
        generation_config=options.get("generation_config", old.generation_config),
        batch_size=options.get("batch_size", old.batch_size),
        batch_tokens=options.get("batch_tokens", old.batch_tokens),
        strict=options.get("strict", old.strict),
        options=options.get("engine_options", old.options) or {},
    )


def texts_of(value: Texts | None) -> tuple[str, ...]:
    """Return one text or path, or several, as a tuple of texts."""
    return (str(value),) if isinstance(value, str | Path) else tuple(map(str, value or ()))


def _text(value: str | Path | None) -> str | None:
    return None if value is None else str(value)


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _paths(value: Paths | None) -> dict[str, Path]:
    return {name: Path(path) for name, path in (value or {}).items()}
