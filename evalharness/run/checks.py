"""Check names, paths, the device and the output folders before torch is imported or a checkpoint is read.

What only the work itself can show (a broken checkpoint, a row far down in a file) is reported when it is met.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from evalharness import engines, registry, store
from evalharness.analysis.margins import NAME_MEMBERS, NO_SUITE_MARGIN
from evalharness.checkpoints.device_names import without_accelerator
from evalharness.checkpoints.discover import directory_of, expand, refuse_served
from evalharness.checkpoints.naming import parse
from evalharness.checkpoints.served import check_offered
from evalharness.data.drift_table import read_table
from evalharness.engines.base import check_options, checked_factory, known_options
from evalharness.errors import StoreError, UsageError, did_you_mean
from evalharness.records.compare_plan import UNNAMED
from evalharness.records.job import Job
from evalharness.records.job_options import QuestionOptions, make_job
from evalharness.records.policy import OPTION
from evalharness.run.engine_fit import check_engine_fits
from evalharness.run.rows_check import check_rows
from evalharness.run.variants import classifier_of, ways_of, word_lists
from evalharness.tasks.library import Library
from evalharness.tasks.metadata import FAMILIES
from evalharness.tasks.variants import name_of
from evalharness.training.recipe import Recipe

DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
CHECKPOINT = ("config.json", "adapter_config.json", "*.safetensors", "*.bin", "*.gguf")  # files of its folder
OUT, STORE = "name a folder that can be written with --out", "name another with --store"


def check_job(job: Job, factory: object = None) -> None:
    """Check the options of a run; a `factory` replaces the engine that the job names.

    Raises TaskError, UsageError, DataError, ModelError or StoreError for the first option that is wrong.
    """
    models, tasks, library = job.models, job.tasks, Library(job.tasks.include)
    if tasks.suite:
        library.suite(tasks.suite)
    library.select(tasks.names)
    for target in models.stated_targets:
        library.task(target)
    _check_margins(job, library)
    ways = ways_of(job)
    _check_drift(job)
    if factory is not None:
        checked_factory(factory, "factory", "an object that has them, or None,")
    else:
        registry.check(engines.REGISTRY, job.engine.name, "engine")
        check_options(job.engine, known_options(job.engine))
    check_engine_fits(job)
    check_device(job.engine.device)
    rows = {f"--data {name}": path for name, path in job.data.overrides.items()}
    described = {f"--describe-with {name}": Path(file) for name, file in job.description.files.items()}
    if classifier := classifier_of(job):
        described["--describe-with toxicity"] = Path(classifier[0])
    check_paths(
        {
            "--data-dir": job.data.folder,
            "--baseline": models.baseline,
            "--drift-text": job.description.drift_text,
            **rows,
            **described,
        }
    )
    if "fairness" in ways:
        word_lists(job)
    check_models((*filter(None, [models.base]), *models.candidates))
    check_output(job.output.folder)
    check_store(job.output.store)
    check_rows(job, library)


def check_recipe(recipe: Recipe, library: Library) -> None:
    """Check the options of a training. Raises TaskError, UsageError, ModelError or StoreError for the first option that
    is wrong.
    """
    if recipe.target:
        library.task(recipe.target)
    for name in (*recipe.mix, *recipe.replay):
        if name not in library.suites():
            library.select([name])
    if recipe.watch:
        library.suite(recipe.watch)
    check_device(recipe.device)
    files = {"--train-file": recipe.train_file, "--validation-file": recipe.validation_file}
    check_paths({option: Path(file) if file else None for option, file in files.items()})
    for text in filter(None, (recipe.base, recipe.after)):
        refuse_served(parse(text))
        check_models([text])
    check_folder(Path(recipe.out))


def check_watched(recipe: Recipe, rows: QuestionOptions, library: Library) -> None:
    """Check the rows of the suite that a training watches. `rows`: the options that say where they are. Raises as
    `check_rows` does.
    """
    if recipe.watch:
        options: QuestionOptions = {**rows, "target": recipe.target or None}
        check_rows(make_job((), recipe.watch, **options), library)


def _check_margins(job: Job, library: Library) -> None:
    """Check that every margin (the most that a score may fall) names a task, group or family. Raises UsageError.

    Whether the run has that task depends on the targets of its checkpoints, and is checked later.
    """
    names = {*library.names(), *library.groups()}
    if job.tasks.templates:
        names |= {name_of(name, job.tasks.templates) for name in library.names()}
    for name in sorted(job.statistics.margins):
        source = job.policy.source(f"margins.{name}")
        where = "--margin" if source == OPTION else f"{source}: margins.{name}"
        if name in (UNNAMED, job.tasks.suite) or (name in library.suites() and name not in FAMILIES):
            if name not in FAMILIES or not _of_one_family(library, name):
                raise UsageError(where, NO_SUITE_MARGIN.format(name), NAME_MEMBERS)
        elif name not in names and name not in FAMILIES:
            raise UsageError(where, f"no task or group {name!r}", did_you_mean(name.partition("@")[0], names))


def _check_drift(job: Job) -> None:
    """Check the table to forecast from, and that `--drift-only` is not combined with an option that needs answers to
    tasks. Raises UsageError, DataError.
    """
    if (table := job.description.drift_table) is not None:
        check_paths({"--drift-table": table})
        read_table(table)
    answer_options = {
        "--explain": job.description.explain,
        "--describe": job.description.ways,
        "--until-decided": job.statistics.until_decided,
        "--baseline": job.models.baseline,
    }
    if job.description.drift_only and (options := [name for name, value in answer_options.items() if value]):
        why = "drift is measured between a base and candidates that answer, and no task of the suite is answered"
        raise UsageError("--drift-only", f"given together with {options[0]}: {why}", "leave one of them out")


def _of_one_family(library: Library, suite: str) -> bool:
    return {library.task(name).family for name in library.suite(suite).tasks} == {suite}


def check_paths(paths: Mapping[str, Path | None]) -> None:
    """Check the paths of options. Raises UsageError for a path that does not exist."""
    for option, path in paths.items():
        if path is not None and not path.exists():
            raise UsageError(option, f"{path} does not exist", "a file or folder that exists would be right")


def check_models(texts: Iterable[str]) -> None:
    """Check checkpoints given by path, and models behind a server; hub ids are looked up later. Raises ModelError if
    there is no directory, no server, or none with such a model.
    """
    for text in [path for pattern in texts for path in expand(pattern)]:
        if (spec := parse(text)).served is not None:
            check_offered(spec.served)
        elif not spec.on_hub:
            directory_of(spec)


def check_device(name: str) -> None:
    """Check a device. Raises UsageError for an unknown name and for an accelerator that is not there."""
    if not DEVICE.fullmatch(name):
        raise UsageError("--device", f"unknown device {name!r}", "auto, cpu, cuda or cuda:N would be right")
    if name.startswith("cuda") and (reason := without_accelerator()):
        raise UsageError("--device", f"{name} asked for, but {reason}", "use --device auto or cpu")


def check_output(folder: Path) -> None:
    """Check that a command's output folder can be written and is neither the root of a file system nor a checkpoint.
    Raises UsageError and StoreError.
    """
    place = folder.resolve()
    if place == place.parent:
        raise UsageError("--out", f"{folder} is the root of a file system", "name a folder in it")
    if signs := sorted(path.name for pattern in CHECKPOINT for path in place.glob(pattern)):
        raise UsageError("--out", f"{folder} is a checkpoint (it holds {signs[0]})", "name a folder of its own")
    check_folder(folder)


def check_folder(folder: Path, fix: str = OUT) -> None:
    """Check that files can be written in a folder, or in the folder where it would be made. Leaves no file behind.
    Raises StoreError.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise StoreError(folder, f"cannot write here ({error.strerror})", fix) from error


def check_store(path: Path) -> None:
    """Check that the store can be opened or created. Raises StoreError."""
    if not store.check(path):
        check_folder(path.parent, STORE)
