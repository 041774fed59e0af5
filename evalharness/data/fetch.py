"""Tasks to a folder of rows in the hub's layout, with a manifest of what is in it; and such a folder to what is wrong
with it.

DIR/DATASET_PATH/CONFIG/SPLIT.jsonl     CONFIG is "default" where the task names no dataset_name
DIR/MANIFEST.json                       each file's data set, rows, sha256, revision and licence
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from evalharness.data.files import json_value
from evalharness.data.sources import BUILDERS, DataSource, read_rows
from evalharness.errors import DataError
from evalharness.records.tasks import Task

MANIFEST = "MANIFEST.json"
VERSION = 1
CHUNK = 1 << 20  # bytes

Use = Literal["evaluation", "shots", "training", "asked for"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A split of a data set, the first task that uses it, and for what."""

    task: Task
    split: str
    use: Use

    @property
    def file(self) -> str:
        return f"{self.task.dataset_path}/{self.task.dataset_name or 'default'}/{self.split}.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the manifest. `sha256` is of the file's bytes; `revision`: the hub's commit, None for rows that came
    from files.
    """

    file: str
    data_set: str
    config: str
    split: str
    rows: int
    sha256: str
    revision: str | None
    licence: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A file of a fetched folder that is missing, changed or extra."""

    file: str
    what: Literal["missing", "changed", "extra"]
    why: str


def wanted(tasks: Sequence[Task], splits: Sequence[str] = (), training: bool = False) -> list[Wanted]:
    """What the tasks read: the evaluated split, that of the shots, with `training` that of the training; or exactly
    `splits`. Each once.
    """
    found: dict[str, Wanted] = {}
    for task in tasks:
        if (
            task.dataset_path in BUILDERS
            or Path(task.dataset_path).is_absolute()
            or ".." in PurePosixPath(task.dataset_path).parts
        ):
            continue  # its rows are files of its own already
        uses: list[tuple[str | None, Use]] = [(task.evaluation_split, "evaluation"), (task.fewshot_split, "shots")]
        uses += [(task.training_split, "training")] if training else []
        for split, use in [(split, "asked for") for split in splits] or uses:
            if split:
                each = Wanted(task, split, use)
                found.setdefault(each.file, each)
    return list(found.values())


def fetch(each: Wanted, source: DataSource, folder: Path, update: bool = False) -> tuple[Entry, bool]:
    """One split to its file, and its entry to the manifest; was it written (or already there)?

    A file that the manifest vouches for is kept, unless `update`. Raises DataError where another file is in the way,
    and as `read_rows`.
    """
    path = folder / each.file
    known = {entry.file: entry for entry in manifest(folder)}
    before = known.get(each.file)
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
    rows = read_rows(each.task, each.split, source)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.rows).encode()
    task = each.task
    digest = hashlib.sha256(text).hexdigest()
    entry = Entry(
        each.file,
        task.dataset_path,
        task.dataset_name or "default",
        each.split,
        len(rows.rows),
        digest,
        rows.revision,
        task.licence or "not stated",
    )
    _save(
        folder, {**known, each.file: entry}
    )  # first: a file that it does not tell of would be in the way when the command is given again
    _write(path, text)
    return entry, True


def manifest(folder: Path) -> list[Entry]:
    """What the folder's manifest tells of; nothing where there is none. Raises DataError for one that cannot be
    read.
    """
    path = folder / MANIFEST
    if not path.exists():
        return []
    try:
        found = json_value(path)
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror or error})", "a manifest would be right") from None
    entries = (
        [_entry(item) for item in found["files"]]
        if isinstance(found, dict) and isinstance(found.get("files"), list)
        else [None]
    )
    if None in entries or not isinstance(found, dict) or found.get("version") != VERSION:
        raise DataError(
            path, f"is no manifest of version {VERSION}", "one that `evalharness data fetch` has written would be right"
        )
    return [entry for entry in entries if entry is not None]


def verify(folder: Path) -> tuple[list[Entry], list[Fault]]:
    """The files that are as the manifest tells, and the faults: missing, changed, and extra ones. Raises DataError
    without a manifest.
    """
    if not (folder / MANIFEST).is_file():
        raise DataError(
            folder, f"has no {MANIFEST}", "a folder that `evalharness data fetch --to` has filled would be right"
        )
    entries = manifest(folder)
    faults = {entry.file: fault for entry in entries if (fault := _fault(folder, entry)) is not None}
    told = {MANIFEST, *(entry.file for entry in entries)}
    extra = [Fault(name, "extra", f"{MANIFEST} does not tell of it") for name in _files(folder) if name not in told]
    return [entry for entry in entries if entry.file not in faults], [*faults.values(), *extra]


def _fault(folder: Path, entry: Entry) -> Fault | None:
    path = folder / entry.file
    if not path.is_file():
        return Fault(entry.file, "missing", f"{entry.rows} rows")
    found = _sha256(path)
    return (
        None
        if found == entry.sha256
        else Fault(entry.file, "changed", f"sha256 {found[:16]}…, fetched {entry.sha256[:16]}…")
    )


def _files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if not path.is_dir():
            yield path.relative_to(folder).as_posix()


def _entry(item: Any) -> Entry | None:
    """An entry as JSON has it; None where it is none. No entry may point out of the folder."""
    if not isinstance(item, Mapping) or set(item) != set(Entry.__dataclass_fields__):
        return None
    texts = all(isinstance(item[key], str) for key in ("file", "data_set", "config", "split", "sha256", "licence"))
    if not texts or not isinstance(item["rows"], int) or not isinstance(item["revision"], (str, type(None))):
        return None
    path = PurePosixPath(item["file"])
    return None if path.is_absolute() or ".." in path.parts else Entry(**item)


def _save(folder: Path, entries: Mapping[str, Entry]) -> None:
    files = [asdict(entries[name]) for name in sorted(entries)]
    _write(
        folder / MANIFEST,
        (json.dumps({"version": VERSION, "files": files}, indent=1, ensure_ascii=False) + "\n").encode(),
    )


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(data)
        scratch.replace(path)
    except OSError as error:
        raise DataError(
            path, f"cannot be written ({error.strerror or error})", "a folder that can be written would be right"
        ) from None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror or error})", "a readable file would be right") from None
    return digest.hexdigest()
