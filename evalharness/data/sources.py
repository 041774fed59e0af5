"""Read the rows of a task's split from the files that the user names, a data folder, the shipped rows, or the hub.

They are searched in this order. A data folder may have the hub's layout (hub_layout.py) or the layouts in which
benchmarks are published (published.py). If both have a split, the hub's layout wins. A folder of the task that does
not have the split is an error: the search does not go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from evalharness import registry
from evalharness.data import REGISTRY, columns, hub_layout, published
from evalharness.data.contents import form_of, unreadable
from evalharness.data.digest import digest_of
from evalharness.data.files import DataRow, kind, read_file, rename_columns
from evalharness.data.lock import Lock
from evalharness.data.tables import are_numbers, check_no_header
from evalharness.errors import DataError, UsageError, did_you_mean, some_of
from evalharness.records.tasks import Task

BUILDERS = ("json", "csv", "parquet")  # values of dataset_path that mean local files
HELP = (
    "give a folder with --data-dir DIR or the rows of one task with --data NAME=PATH, "
    "or run once where the hub can be reached"
)


@dataclass(frozen=True, slots=True)
class DataSource:
    """The places that rows may come from.

    `data_dir` is the user's data folder, `shipped` that of the shipped rows. `overrides` maps a task, dataset_path or
    "dataset_path/dataset_name" to a folder of splits or to one file. One file serves for every split of the task;
    shots are then drawn from it without the evaluated row. `lock` is the file that pins the hub's commits; None if
    they are not pinned. `columns` maps COLUMN or NAME:COLUMN of a task to its name in the files, or to its number in
    files without names.
    """

    data_dir: Path | None = None
    overrides: Mapping[str, Path] = field(default_factory=dict)
    shipped: Path | None = None
    lock: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSplit:
    """The rows of one split, in their order.

    `digest` is of their content, `origin` says in words where they come from, and `revision` is the hub's commit (None
    if they are from files).
    """

    rows: tuple[DataRow, ...]
    digest: str
    origin: str
    revision: str | None = None


class Hub(Protocol):
    """The interface of data/hub.py. `pinned` is the commit to read."""

    def read(self, task: Task, split: str, pinned: str | None = None) -> tuple[list[DataRow], str, str | None]: ...

    def has(self, task: Task, pinned: str | None = None) -> bool: ...

    @property
    def why_away(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _SplitFiles:
    """The files of a split. `split` is None if one file serves for all splits. `published`: they have the authors'
    layout.
    """

    files: tuple[Path, ...]
    split: str | None
    published: bool


def read_rows(task: Task, split: str, source: DataSource) -> DataSplit:
    """Read the rows of one split of a task.

    Raises DataError if they are missing, cannot be read, or differ from those in the lock file.
    """
    located = _find(task, split, source)
    if located is None:
        return _from_hub(task, split, source)
    files, names = located.files, published.names_of(task)
    renames = columns.renames_of(task, _names(task), source.columns, names)
    for path in files:
        if form_of(path) in (".csv", ".tsv", ".txt") and are_numbers(renames, ()):
            check_no_header(path, renames, {key for name, others in names.items() for key in (name, *others)})
    if located.published:
        rows = published.read(task, located.split, files, renames)
    else:
        keyword = task.dataset_kwargs.get("field") if task.dataset_path in BUILDERS else None
        rows = [row for path in files for row in _rows_of(task, path, keyword, names, renames)]
    origin = some_of(list(map(str, files)), 1)
    published.check_lists(task, rows, origin)
    return DataSplit(rows=tuple(rows), digest=digest_of(rows, origin), origin=origin)


def _rows_of(
    task: Task, path: Path, keyword: str | None, names: columns.Names, renames: Mapping[str, str]
) -> list[DataRow]:
    """Return the rows of a file in the hub's form, with the hub's names of columns. Raises DataError if a needed
    column of texts is missing or has something else.
    """
    texts = [name for name in names if name != "label"]
    rows = read_file(path, keyword, texts, renames)
    header = dict.fromkeys(key for row in rows for key in row)
    needed = [name for name in texts if columns.uses(task, name, {})] or texts
    places = columns.find_columns(header, names, {}, path, names.keys() - set(needed), rows)
    for number, row in enumerate(rows) if needed else ():
        for name in needed:
            if not isinstance(value := row.get(places[name]), str):
                raise DataError(f"{path}, row {number}", f"{name!r} is {kind(value)}", "a text would be right")
    other = {name: column for name, column in places.items() if column != name}
    return rename_columns(path, rows, other) if other else rows


def missing(tasks: Sequence[Task], source: DataSource, split: str | None = None) -> DataError | None:
    """Return one error that names every task whose rows are missing; None if all are there.

    The rows are those of `split`, else of the task's own split. It reads no rows. Once the hub does not answer, all
    rows that are not in files count as missing. A task whose folder exists without the split is in the error, too.
    """
    absent: list[str] = []
    wrong: list[DataError] = []
    for task in tasks:
        try:
            files = locate(task, split or task.evaluation_split, source)
            if files is None and not _hub().has(task, _pinned(task, source)):
                absent.append(task.name)
        except DataError as error:
            wrong.append(error)
    if not absent:
        return wrong[0] if wrong else None
    pins = [task.dataset_path for task in tasks if task.name in absent and _pinned(task, source)]
    at_commit = f" at the commit that {source.lock} has for {', '.join(dict.fromkeys(pins))}" if pins else ""
    also = "".join(f" Also: {error}." for error in wrong)
    where = absent[0] if len(absent) == 1 else f"{len(absent)} tasks"
    return DataError(
        where,
        f"no rows for {', '.join(absent)}: not in a file{_where(source)}{_hub().why_away}{at_commit}.{also}"[
            :4000
        ].rstrip("."),
        HELP,
    )


def not_there(task: Task, source: DataSource) -> DataError:
    """Return the error for a task whose rows are not in the user's folder, or not in the rows that the user names."""
    if source.data_dir is None:
        return DataError(
            task.name, "--data names rows of other tasks only", f"--data {task.origin}=PATH would be right"
        )
    return DataError(
        source.data_dir, f"has no rows of {task.name}{_inside(source)}", f"--data {task.origin}=PATH names them"
    )


def _where(source: DataSource) -> str:
    return f" of {source.data_dir}{_inside(source)}" if source.data_dir else ""


def _inside(source: DataSource) -> str:
    """Return the content of the user's folder, for a message."""
    if source.data_dir is None or not source.data_dir.is_dir():
        return ""
    names = sorted(path.name for path in source.data_dir.iterdir() if not path.name.startswith("."))
    return f" (there: {', '.join(names[:12]) or 'nothing'}{', …' if len(names) > 12 else ''})"


def check_overrides(tasks: Sequence[Task], source: DataSource) -> None:
    """Raise UsageError for an override with a name that no task has: it would be ignored silently."""
    names = {name for task in tasks for name in _names(task)}
    for name in sorted(source.overrides.keys() - names):
        raise UsageError("--data", f"no task or data set of this command is called {name!r}", did_you_mean(name, names))
    columns.check_stated(source.columns, [(task, _names(task), published.names_of(task)) for task in tasks])


def locate(task: Task, split: str, source: DataSource) -> list[Path] | None:
    """Find the files of a split; None if only the hub can have it. It reads no rows.

    Raises DataError if a folder for this task exists, but has no file for the split.
    """
    located = _find(task, split, source)
    return None if located is None else list(located.files)


def _names(task: Task) -> tuple[str, ...]:
    """Return the names of the task and its data set, the most specific first; a variant (sst2@typos) also has the name
    of its task.
    """
    config = [f"{task.dataset_path}/{task.dataset_name}"] if task.dataset_name else []
    return (*dict.fromkeys((task.name, task.origin)), *config, task.dataset_path)


def _find(task: Task, split: str, source: DataSource) -> _SplitFiles | None:
    if not split or split in (".", "..") or "/" in split or "\\" in split:
        raise DataError(task.name, f"{split!r} is no name of a split", "a plain name such as test would be right")
    override = next((source.overrides[name] for name in _names(task) if name in source.overrides), None)
    try:
        if override is not None:
            return _in_override(task, split, override)
        root = source.data_dir or source.shipped  # shipped rows do not replace rows missing in the user's folder
        if root is not None and (located := _in_root(task, split, root)):
            return located
        local = hub_layout.data_files if task.dataset_path in BUILDERS else hub_layout.in_dataset_folder
        files = local(task, split)
    except OSError as error:
        raise unreadable(Path(error.filename or task.name), error) from None
    return _SplitFiles(files=tuple(files), split=split, published=False) if files else None


def _in_override(task: Task, split: str, path: Path) -> _SplitFiles:
    if not path.exists():
        raise DataError(
            path, f"does not exist (--data for {task.name})", "a folder of splits or one file of rows would be right"
        )
    if not path.is_dir():
        return _SplitFiles(files=(path,), split=None, published=published.recognises(task, path))
    for folder in hub_layout.below(task, path):
        if files := hub_layout.split_files(folder, split, task):
            return _hub_layout_files(task, split, files)
    located = published.find_in(task, split, path)
    if located is not None and located.files:
        return _SplitFiles(files=located.files, split=split, published=True)
    raise located.no_split(task, split) if located else hub_layout.no_split(task, split, path)


def _in_root(task: Task, split: str, root: Path) -> _SplitFiles | None:
    if not root.is_dir():
        raise DataError(root, "is no folder", "--data-dir names a folder of data sets")
    files, without = hub_layout.find(task, split, root)
    if files:
        return _hub_layout_files(task, split, files)
    located = published.find(task, split, root)
    if located is not None and located.files and (without is None or located.place.is_relative_to(without)):
        return _SplitFiles(files=located.files, split=split, published=True)
    if without is not None:
        raise hub_layout.no_split(task, split, without)
    if located is not None:
        raise located.no_split(task, split)
    return None


def _hub_layout_files(task: Task, split: str, files: Sequence[Path]) -> _SplitFiles:
    """Return the files in the hub's layout. They may have the published form: SuperGLUE's train.jsonl and test.jsonl
    do.
    """
    return _SplitFiles(files=tuple(files), split=split, published=published.recognises(task, files[0]))


def _pinned(task: Task, source: DataSource) -> str | None:
    return Lock(source.lock).revision(task) if source.lock else None


def _from_hub(task: Task, split: str, source: DataSource) -> DataSplit:
    rows, origin, revision = _hub().read(task, split, _pinned(task, source))
    published.check_lists(task, rows, origin)
    digest = digest_of(rows, origin)
    if source.lock:
        Lock(source.lock).settle(task, split, revision, len(rows), digest)
    return DataSplit(rows=tuple(rows), digest=digest, origin=origin, revision=revision)


def _hub() -> Hub:
    hub: Hub = registry.find(REGISTRY, "hub", "data source")
    return hub
