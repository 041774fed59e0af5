"""Record in a lock file the commit of each data set read from the hub and the digest of each split's rows.

The first reading of a split is recorded. Later ones read the recorded commit, and rows with another digest are refused
until the record is removed (`Lock.forget`), because runs on different rows cannot be compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evalharness.data.files import json_value
from evalharness.errors import DataError, StoreError, UsageError, did_you_mean
from evalharness.folder_lock import PATIENCE, hold_folder
from evalharness.records.tasks import Task
from evalharness.whole_file import write_whole

LOCK = "evalharness.lock.json"
VERSION = 1
ELSEWHERE = "a lock file in a folder that can be written would be right (--lock)"


def default_lock(store: Path) -> Path:
    """Return the lock file of the current directory if there is one, else the one beside the store of answers."""
    here = Path(LOCK)
    return here if here.is_file() else store.with_name(LOCK)


class Lock:
    """One lock file, which need not exist yet. Raises DataError if it cannot be read or is no lock file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sets: dict[str, Any] = _read(path)

    def revision(self, task: Task) -> str | None:
        """Return the recorded commit of the task's data set; None if there is none."""
        revision: str | None = self._sets.get(key_of(task), {}).get("revision")
        return revision

    def settle(self, task: Task, split: str, revision: str | None, rows: int, digest: str) -> None:
        """Record a reading of a split, or compare it with the record of an earlier one.

        Raises DataError, naming both digests, if the rows differ.
        """
        if self._note(task, split, revision, rows, digest):
            with self._hold():
                if self._note(task, split, revision, rows, digest):
                    self._write()

    def _note(self, task: Task, split: str, revision: str | None, rows: int, digest: str) -> bool:
        """Add the reading to the records in memory, and return whether it is new. Raises DataError as `settle` does."""
        name, config = key_of(task), task.dataset_name or "default"
        entry = self._sets.setdefault(name, {"revision": revision, "splits": {}})
        before = entry["splits"].get(config, {}).get(split)
        if before is not None and before["sha256"] != digest:
            now = f"{rows} with digest {digest[:16]}…"
            was = f"{before['rows']} with {before['sha256'][:16]}… (commit {entry['revision'] or 'unknown'})"
            raise DataError(
                task.name,
                f"the split {split!r} of {name}/{config} has other rows than before: {now}",
                f"{self.path} has {was}; to go on with the new ones: evalharness data accept {name} --lock {self.path}",
            )
        reading = {"rows": rows, "sha256": digest}
        if before == reading and (entry["revision"] or not revision):
            return False
        entry["revision"] = entry["revision"] or revision
        entry["splits"].setdefault(config, {})[split] = reading
        return True

    def forget(self, names: Iterable[str]) -> list[str]:
        """Remove the records of these data sets; the next reading is recorded again. Raises UsageError for a data set
        without a record.
        """
        forgotten = list(dict.fromkeys(names))
        with self._hold():
            for name in forgotten:
                if name not in self._sets:
                    raise UsageError(name, f"is not in {self.path}", did_you_mean(name, self._sets))
                del self._sets[name]
            if forgotten:
                self._write()
        return forgotten

    def names(self) -> set[str]:
        """Return the names of the data sets that have a record."""
        return set(self._sets)

    @contextmanager
    def _hold(self) -> Iterator[None]:
        """Lock the file for this process, and read it again, so that entries of other processes are not lost."""
        try:
            with hold_folder(self.path.with_name(f".{self.path.name}.held"), "--lock", self.path, PATIENCE, new=True):
                self._sets = _read(self.path)
                yield
        except StoreError as error:
            raise DataError(self.path, error.what, ELSEWHERE) from None

    def _write(self) -> None:
        text = json.dumps({"version": VERSION, "data_sets": self._sets}, indent=1, sort_keys=True) + "\n"
        try:
            write_whole(self.path, text.encode())
        except OSError as error:
            raise DataError(self.path, f"cannot be written ({error.strerror or error})", ELSEWHERE) from None


def key_of(task: Task) -> str:
    """Return the name of the task's data set in the lock file: its path on the hub, and the revision in the
    task file.
    """
    revision = task.dataset_kwargs.get("revision")
    return f"{task.dataset_path}@{revision}" if revision else task.dataset_path


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    content = json_value(path)
    if not isinstance(content, dict) or content.get("version") != VERSION or not _well_formed(content.get("data_sets")):
        raise DataError(
            path, f"is no lock file of version {VERSION}", "remove it: the next reading of a data set is recorded anew"
        )
    sets: dict[str, Any] = content["data_sets"]
    return sets


def _well_formed(sets: object) -> bool:
    if not isinstance(sets, dict):
        return False
    entries = [entry for entry in sets.values() if isinstance(entry, dict) and isinstance(entry.get("splits"), dict)]
    configs = [splits for entry in entries for splits in entry["splits"].values()]
    if len(entries) < len(sets) or not all(isinstance(entry.get("revision"), (str, type(None))) for entry in entries):
        return False
    records = [record for splits in configs if isinstance(splits, dict) for record in splits.values()]
    return all(isinstance(splits, dict) for splits in configs) and all(
        isinstance(record, dict) and {"rows", "sha256"} <= record.keys() for record in records
    )
