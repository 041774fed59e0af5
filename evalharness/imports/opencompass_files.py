"""Find and parse the files that opencompass writes: RUN/predictions/MODEL/TASK.json and RUN/results/MODEL/TASK.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from evalharness.data.files import json_value, kind
from evalharness.errors import DataError

PREDICTIONS, RESULTS = "predictions", "results"
UNFINISHED = "tmp_"  # begins the name of a file that inference still writes
RESCORE = "delete its file in results/ and run opencompass again with --mode eval --reuse --dump-eval-details True"
AGAIN = "run opencompass again, or copy the files again"

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TaskFiles:
    """The files of one model and task.

    `predictions` are its rows, in order. `results` is what the evaluator wrote; an empty object if there is no such
    file.
    """

    task: str
    predictions_file: Path
    results_file: Path
    predictions: Sequence[Object]
    results: Object


def runs_of(path: Path) -> tuple[list[Path], str]:
    """List the runs at a path, the oldest first, and the model if the path names one.

    The path is the folder of a run, that of its predictions or results, the one of a model in these, or a folder of
    several runs.
    """
    path = path.resolve()
    if path.name in (PREDICTIONS, RESULTS):
        runs, model = [path.parent], ""
    elif path.parent.name in (PREDICTIONS, RESULTS):
        runs, model = [path.parent.parent], path.name
    else:
        runs, model = [path] if (path / PREDICTIONS).is_dir() else sorted(path.glob("*/")), ""
    return [run for run in runs if any(run.glob(f"{PREDICTIONS}/*/*.json"))], model


def models_of(run: Path) -> list[str]:
    return sorted({file.parent.name for file in run.glob(f"{PREDICTIONS}/*/*.json")})


def tasks_of(run: Path, model: str) -> Iterator[TaskFiles]:
    """Parse the files of every task. Raises DataError."""
    whole: dict[str, list[Path]] = {}
    names = {file.stem for file in (run / PREDICTIONS / model).glob("*.json") if not file.name.startswith(UNFINISHED)}
    for name in sorted(names):
        task, _, part = name.rpartition("_")
        if part.isdigit() and task and f"{task}_0" in names and task not in names and not _scored(run, model, name):
            whole.setdefault(task, [])
        else:
            whole[name] = [run / PREDICTIONS / model / f"{name}.json"]
    for task, files in whole.items():
        parts = files or _parts(run / PREDICTIONS / model, task)
        rows = [row for file in parts for row in _rows(file)]
        results = run / RESULTS / model / f"{task}.json"
        yield TaskFiles(task, parts[0], results, rows, _results(results))


def _scored(run: Path, model: str, name: str) -> bool:
    return (run / RESULTS / model / f"{name}.json").exists()


def _parts(folder: Path, task: str) -> list[Path]:
    """List TASK_0.json, TASK_1.json and so on, which a task was divided into."""
    return list(takewhile(Path.exists, (folder / f"{task}_{number}.json" for number in count())))


def _rows(file: Path) -> list[Object]:
    """Read predictions: an object by row numbers from 0. Raises DataError."""
    document = json_value(file, finite=False, distinct=True)
    if not isinstance(document, dict) or not document:
        raise DataError(file, f"no predictions of opencompass (it is {kind(document)})", AGAIN)
    rows = [document.get(str(number)) for number in range(len(document))]
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or "prediction" not in row:
            what = f"no predictions of opencompass (row {number} of {len(rows)} is not there, or has no prediction)"
            raise DataError(file, what, AGAIN)
    return [row for row in rows if isinstance(row, dict)]


def _results(file: Path) -> Object:
    """Read what an evaluator wrote; an empty object if there is no such file. Raises DataError."""
    if not file.exists():
        return {}
    document = json_value(file, finite=False, distinct=True)
    if not isinstance(document, dict):
        raise DataError(file, f"no results of opencompass (it is {kind(document)})", AGAIN)
    return document


def details_of(files: TaskFiles) -> list[Object]:
    """Return the details of every prediction; none if none were written.

    An example that was sent several times has a list in every field. Raises DataError for details that are not those
    of the predictions.
    """
    details = files.results.get("details")
    if details is None:
        return []
    if isinstance(details, dict):
        numbered = {key: each for key, each in details.items() if key != "type"}
        listed = [numbered.get(str(number)) for number in range(len(numbered))]
    else:
        listed = details if isinstance(details, list) else [details]
    if not all(isinstance(each, dict) for each in listed):
        raise DataError(files.results_file, "no details of opencompass (they are no objects)", AGAIN)
    rows = [each for each in listed if isinstance(each, dict)]
    times, rest = divmod(len(files.predictions), max(1, len(rows)))
    if rest or not times or (times > 1 and isinstance(details, dict)):
        what = f"has the details of {len(rows)} rows, and {files.predictions_file} has {len(files.predictions)}"
        raise DataError(files.results_file, what, AGAIN)
    turned: list[Object] = [
        {key: _turn(value, turn, times) for key, value in each.items()} for turn in range(times) for each in rows
    ]
    for number, (row, detail) in enumerate(zip(files.predictions, turned, strict=True)):
        if (prompt := _prompt_in(detail)) is not None and prompt != row.get("origin_prompt"):
            what = f"the details of row {number} are of another prompt than its prediction"
            raise DataError(files.results_file, what, AGAIN)
    return turned


def _prompt_in(detail: Object) -> Any:
    """Return the prompt that the details repeat; None if they do not."""
    of = detail.get("origin_prediction")
    return detail.get("prompt", of.get("origin_prompt") if isinstance(of, dict) else None)


def _turn(value: Any, turn: int, times: int) -> Any:
    """Return one turn's part of a field."""
    return value[turn] if isinstance(value, list) and len(value) == times else value
