"""Fetch the rows of tasks into a folder in the hub's layout, with a manifest; and verify such a folder against it.

DIR/DATASET_PATH/CONFIG/SPLIT.jsonl     CONFIG is "default" if the task names no dataset_name
DIR/MANIFEST.json                       each file's data set, rows, sha256, revision and licence
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from evalharness import fingerprint
from evalharness.data.contents import unreadable
from evalharness.data.files import json_value
from evalharness.data.sources import BUILDERS, DataSource, read_rows
from evalharness.errors import DataError
from evalharness.folder_lock import LOCK
from evalharness.records.tasks import Task
from evalharness.whole_file import write_whole

MANIFEST = "MANIFEST.json"
VERSION = 1

Use = Literal["evaluation", "shots", "training", "asked for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSplit:
    """One split of a data set, the first task that uses it, and what the split is used for."""

    task: Task
    split: str
    use: Use

    @property
    def file(self) -> str:
        return f"{self.task.dataset_path}/{self.task.dataset_name or 'default'}/{self.split}.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestEntry:
    """One file in the manifest of a folder.

    `sha256` is of the file's bytes. `revision` is the hub's commit; None if the rows come from files.
    """

    file: str
    data_set: str
    config: str
    split: str
    rows: int
    sha256: str
    revision: str | None
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A file of a fetched folder that is missing, changed or extra (`what`), and the reason to think so (`why`)."""

    file: str
    what: Literal["missing", "changed", "extra"]
    why: str


def splits_to_fetch(tasks: Sequence[Task], splits: Sequence[str] = (), training: bool = False) -> list[TaskSplit]:
    """Return the splits that the tasks read, each once. Tasks with local files are left out.

    They are the evaluated split, that of the shots and, with `training`, the one to train on; or exactly `splits`.
    """
    by_file: dict[str, TaskSplit] = {}
    for task in tasks:
        path = PurePosixPath(task.dataset_path)
        if task.dataset_path in BUILDERS or path.is_absolute() or ".." in path.parts:
            continue
        uses: list[tuple[str | None, Use]] = [(task.evaluation_split, "evaluation"), (task.fewshot_split, "shots")]
        uses += [(task.training_split, "training")] if training else []
        for split, use in [(split, "asked for") for split in splits] or uses:
            if split:
                each = TaskSplit(task=task, split=split, use=use)
                by_file.setdefault(each.file, each)
    return list(by_file.values())


def fetch(each: TaskSplit, source: DataSource, folder: Path, update: bool = False) -> tuple[ManifestEntry, bool]:
    """Write one split to its file and its entry to the manifest.

    Returns the entry, and whether the file was written. A file that agrees with the manifest is not written again,
    unless `update`. Raises DataError for another file at its path, and as `read_rows`.
    """
    path = folder / each.file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(path, f"is a link out of {folder}", "a folder without such links would be right")
    entries = {entry.file: entry for entry in manifest(folder)}
    before = entries.get(each.file)
    if path.exists():
        if before is None:
            raise DataError(
                path, "is there already, and not in the manifest", "move it away, or fetch into another folder"
            )
        if _sha256(path) != before.sha256 and not update:
            raise DataError(
                path, f"is not the file that {MANIFEST} tells of", "move it away, or replace it with --update"
            )
        if not update:
            return before, False
    rows, task = read_rows(each.task, each.split, source), each.task
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.rows).encode()
    entry = ManifestEntry(
        file=each.file,
        data_set=task.dataset_path,
        config=task.dataset_name or "default",
        split=each.split,
        rows=len(rows.rows),
        sha256=fingerprint.of_bytes(text),
        revision=rows.revision,
        licence=task.licence or "not stated",
    )
    # the manifest first: a file without an entry would stop the next attempt
    _save(folder, {**entries, each.file: entry})
    _write(path, text)
    return entry, True


def manifest(folder: Path) -> list[ManifestEntry]:
    """Read the entries of the folder's manifest; [] if there is none. Raises DataError if it cannot be read."""
    path = folder / MANIFEST
    if not path.exists():
        return []
    content = json_value(path)
    files = content.get("files") if isinstance(content, dict) and content.get("version") == VERSION else None
    entries = [_entry(item) for item in files] if isinstance(files, list) else [None]
    if None in entries:
        raise DataError(
            path, f"is no manifest of version {VERSION}", "one that `evalharness data fetch` has written would be right"
        )
    return [entry for entry in entries if entry is not None]


def verify(folder: Path) -> tuple[list[ManifestEntry], list[Fault]]:
    """Compare a folder with its manifest. Raises DataError without a manifest.

    Returns the files that agree, and the faults: missing, changed and extra files.
    """
    if not (folder / MANIFEST).is_file():
        raise DataError(
            folder, f"has no {MANIFEST}", "a folder that `evalharness data fetch --to` has filled would be right"
        )
    entries = manifest(folder)
    faults = {entry.file: fault for entry in entries if (fault := _fault(folder, entry)) is not None}
    in_manifest = {MANIFEST, *(entry.file for entry in entries)}
    extra = [
        Fault(file=name, what="extra", why=f"{MANIFEST} does not tell of it")
        for name in _files(folder)
        if name not in in_manifest
    ]
    return [entry for entry in entries if entry.file not in faults], [*faults.values(), *extra]


def _fault(folder: Path, entry: ManifestEntry) -> Fault | None:
    path = folder / entry.file
    if not path.is_file():
        return Fault(file=entry.file, what="missing", why=f"{entry.rows} rows")
    digest = _sha256(path)
    if digest == entry.sha256:
        return None
    return Fault(file=entry.file, what="changed", why=f"sha256 {digest[:16]}…, fetched {entry.sha256[:16]}…")


def _files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and path.name != LOCK:
            yield path.relative_to(folder).as_posix()


def _entry(item: Any) -> ManifestEntry | None:
    """Read the entry in a JSON value; None if it is malformed, or points out of the folder."""
    if not isinstance(item, Mapping) or set(item) != set(ManifestEntry.__dataclass_fields__):
        return None
    texts = all(isinstance(item[key], str) for key in ("file", "data_set", "config", "split", "sha256", "licence"))
    if not texts or not isinstance(item["rows"], int) or not isinstance(item["revision"], (str, type(None))):
        return None
    path = PurePosixPath(item["file"])
    return None if path.is_absolute() or ".." in path.parts else ManifestEntry(**item)


def _save(folder: Path, entries: Mapping[str, ManifestEntry]) -> None:
    files = [asdict(entries[name]) for name in sorted(entries)]
    text = json.dumps({"version": VERSION, "files": files}, indent=1, ensure_ascii=False) + "\n"
    _write(folder / MANIFEST, text.encode())


def _write(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise DataError(
            path, f"cannot be written ({error.strerror or error})", "a folder that can be written would be right"
        ) from None


def _sha256(path: Path) -> str:
    try:
        return fingerprint.of_file(path)
    except OSError as error:
        raise unreadable(path, error) from None
