"""`evalharness.evaluate`: the pipeline as a Python function with the command line's defaults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalharness import registry, run
from evalharness.engines.base import EngineFactory
from evalharness.paths import default_store, run_folder
from evalharness.records.job import Job
from evalharness.records.results import Results
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
    results: Results = registry.find(run.REGISTRY, "evaluate", "stage")(job, listener, factory)
    return results


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
