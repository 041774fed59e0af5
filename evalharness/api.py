"""The public functions, which the command line calls, too. What is heavy is imported when it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalharness import registry, run
from evalharness.analysis.analyse import analyse
from evalharness.analysis.joining import read_runs
from evalharness.analysis.margins import with_margins
from evalharness.engines.base import EngineFactory
from evalharness.errors import UsageError
from evalharness.imports.runs import are_logs, read_logs
from evalharness.paths import default_store, run_folder
from evalharness.records.job import Job
from evalharness.records.results import Results
from evalharness.results import open_folder, write_measurements, write_results
from evalharness.run.checks import check_job
from evalharness.run.progress import ProgressListener


def evaluate(
    models: Sequence[str | Path] | str | Path,
    suite: str | None = None,
    *,
    out: str | Path | None = None,
    store: str | Path | None = None,
    listener: ProgressListener | None = None,
    factory: EngineFactory | None = None,
    **options: Any,
) -> Results:
    """Evaluate candidates against their base and return what was found; the run's folder is left as `evalharness run`
    leaves it, but for the page.

    `models`: [NAME=]PATH or hub ids. `options`: the other fields of `records.job.Job` (base, tasks, target, data_dir,
    data, include, limit, num_fewshot, split, seed, margin, margins, alpha, until_decided, templates, describe, …,
    settings). `out` defaults to runs/<time>-<suite>, `store` to the user's cache directory. Raises EvalHarnessError,
    whose `exit_code` is the one the command would end with.
    """
    job = Job(
        models=tuple(str(model) for model in ([models] if isinstance(models, (str, Path)) else models)),
        suite=suite,
        out=Path(out) if out else run_folder(suite),
        store=Path(store) if store else default_store({}),
        **{name: _typed(name, value) for name, value in options.items()},
    )
    check_job(job)
    found: Results = registry.find(run.REGISTRY, "evaluate", "stage")(job, listener, factory)
    return found


def compare(
    runs: Sequence[str],
    *,
    margin: float | None = None,
    margins: Mapping[str, float] | None = None,
    alpha: float | None = None,
    lower_is_better: Sequence[str] = (),
    out: Path | None = None,
    notify: Callable[[str], None] = lambda notice: None,
) -> Results:
    """Compare what finished runs measured; no model answers.

    One RUN: its candidates with its base again, which gives what the run found unless margins or `alpha` are given.
    Several: the first is the base (RUN means that run's base, RUN#NAME one of its models), the others are candidates.
    Or [NAME=]LOG: folders that lm-eval wrote with --log_samples, or tables; `lower_is_better`: metrics of these.

    `margin`: of every task on a 0-1 scale; `margins`: of single tasks, groups or the suite. `out`: a folder for
    results.json and measurements.parquet; `notify` is told what a user should know. Raises EvalHarnessError.
    """
    named = margins or {}
    if not are_logs(runs):
        if lower_is_better:
            raise UsageError("--lower-is-better", "runs know which way their metrics go", "leave it out")
        measured, notices = read_runs(runs)
    else:
        measured, notices = read_logs(runs, named, lower_is_better)
    for notice in notices:
        notify(notice)
    measured = with_margins(measured, margin, named, alpha)
    found = analyse(measured)
    if out is not None:
        open_folder(out)
        write_measurements(out, measured)
        write_results(out, found)
    return found


def _typed(name: str, value: Any) -> Any:
    """An option as a Job holds it: texts are as good as paths, one text as good as a list of one."""
    if value is None:
        return None
    if name in ("base", "target"):
        return str(value)
    if name in ("data_dir", "baseline", "drift_text"):
        return Path(value)
    if name == "data":
        return {key: Path(path) for key, path in value.items()}
    if name == "include":
        return tuple(Path(path) for path in ([value] if isinstance(value, (str, Path)) else value))
    if name in ("tasks", "describe"):
        return (value,) if isinstance(value, str) else tuple(value)
    return value
