"""Read the files that inspect_ai writes, without inspect_ai: JSON, or JSON in a zip archive (.eval).

In newer versions the members of an archive are packed by Zstandard, which Python's own zipfile learns in 3.14; pyarrow
unpacks it. The keys that are read are those of log/_log.py, EvalLog.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile, ZipInfo

import pyarrow as pa

from evalharness.data.contents import most_unpacked, read_text, too_large, unreadable
from evalharness.data.files import kind
from evalharness.errors import DataError
from evalharness.imports.logged import mapping
from evalharness.json_text import parse_json

DATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d.*_.+_.+\.json")  # DATE_TASK_ID.json
BEGINS = re.compile(r'\s*{\s*"version"\s*:\s*\d+\s*,\s*"status"\s*:')
AGAIN = "run inspect eval again, or copy the file again"
ZSTANDARD, LOCAL_HEADER = (
    93,
    struct.Struct("<26xHH"),
)  # of zip: a method of packing; the lengths of name and extra field
HEADER, REDUCTIONS, SAMPLE = "header.json", "reductions.json", re.compile(r"samples/.+_epoch_\d+\.json")
DAMAGED = (BadZipFile, EOFError, zlib.error, struct.error, NotImplementedError, RuntimeError)

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EvalLog:
    """One log file of one task and model. `header` is everything except the samples."""

    path: Path
    header: Object

    @property
    def spec(self) -> Object:
        """Return the specification of the evaluation: task, model and settings."""
        return mapping(self.header, "eval")

    @property
    def model(self) -> str:
        return str(self.spec["model"])

    @property
    def task(self) -> str:
        """Return the task's name with its arguments, which make it another task."""
        task_arguments = self.spec.get("task_args_passed", self.spec.get("task_args"))
        arguments = (
            ", ".join(f"{key}={task_arguments[key]}" for key in sorted(task_arguments))
            if isinstance(task_arguments, dict)
            else ""
        )
        return f"{self.spec['task']}({arguments})" if arguments else str(self.spec["task"])

    @property
    def epochs(self) -> int:
        """Return how many times each sample was sent."""
        count = mapping(self.spec, "config").get("epochs")
        return count if isinstance(count, int) and count > 0 else 1

    @property
    def by_mean(self) -> bool:
        """Return whether a sample's score is the mean of its epochs. It is, unless the task names other reducers."""
        reducers = mapping(self.spec, "config").get("epochs_reducer")
        return self.epochs == 1 or not isinstance(reducers, list) or not reducers or "mean" in reducers


def log_files(path: Path) -> list[Path]:
    """List the logs at the path: the file itself, or the logs in the folder, by the names and first words of the
    files.

    An empty JSON file beside logs counts as a log whose writing was stopped.
    """
    files = [file for file in (sorted(path.iterdir()) if path.is_dir() else [path]) if file.is_file()]
    logs = {file for file in files if _is_log(file)}
    return [file for file in files if file in logs or (logs and file.suffix == ".json" and not file.stat().st_size)]


def _is_log(file: Path) -> bool:
    if file.suffix == ".eval":
        return True
    if file.suffix != ".json":
        return False
    if DATED.fullmatch(file.name):
        return True
    try:
        with file.open("rb") as opened:
            return BEGINS.match(opened.read(200).decode(errors="replace")) is not None
    except OSError:
        return False


def read_header(file: Path) -> EvalLog:
    """Read the header of a file. Raises DataError for a file that is no log of inspect_ai."""
    if file.suffix == ".eval":
        members = dict(_members(file, [HEADER]))
        if HEADER not in members:
            raise DataError(file, "was not finished (no header.json in it)", "finish it with `inspect eval-retry FILE`")
        header = members[HEADER]
    else:
        header = _parsed(file, file, read_whole(file))
    log = EvalLog(file, {key: value for key, value in header.items() if key != "samples"})
    for key in ("model", "task"):
        if not isinstance(log.spec.get(key), str):
            raise DataError(file, f"no log of inspect_ai (eval.{key} is {kind(log.spec.get(key))})", AGAIN)
    return log


def read_samples(log: EvalLog) -> tuple[list[tuple[str, Object]], Sequence[Any]]:
    """Read every sample as (place for a message, sample), and the log's reductions over epochs. Raises DataError."""
    if log.path.suffix == ".eval":
        members = [(name, value) for name, value in _members(log.path) if name != HEADER]
        samples = [(f"{log.path}: {name}", value) for name, value in members if name != REDUCTIONS]
        return samples, next((_list(log.path, value) for name, value in members if name == REDUCTIONS), [])
    document = _parsed(log.path, log.path, read_whole(log.path))
    samples = []
    for number, sample in enumerate(_list(log.path, document.get("samples") or [])):
        if not isinstance(sample, dict):
            raise DataError(log.path, f"samples[{number}] is {kind(sample)}", AGAIN)
        samples.append((f"{log.path}: samples[{number}]", sample))
    return samples, _list(log.path, document.get("reductions") or [])


def read_whole(file: Path) -> str:
    """Read a JSON file's text. Raises DataError."""
    try:
        return read_text(file)
    except OSError as error:
        raise unreadable(file, error) from None


def _list(file: Path, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(file, f"a list of samples or reductions would be right, it is {kind(value)}", AGAIN)
    return value


def _parsed(file: Path, place: object, text: str | bytes, array: bool = False) -> Any:
    try:
        value = parse_json(text, finite=False)
    except ValueError as error:
        raise DataError(place, f"no JSON ({error})", AGAIN) from None
    if not isinstance(value, list if array else dict):
        raise DataError(place, f"no log of inspect_ai (it is {kind(value)})", AGAIN)
    return value


def _members(file: Path, names: Sequence[str] = ()) -> Iterator[tuple[str, Any]]:
    """Unpack the members with these names, else header, reductions and samples.

    Of equal names the last counts, as it does for inspect_ai.
    """
    try:
        with ZipFile(file) as archive, file.open("rb") as opened:
            for info in archive.NameToInfo.values():
                is_read = info.filename in names if names else _holds_answers(info.filename)
                if is_read:
                    data = _unpacked(file, archive, opened, info)
                    yield info.filename, _parsed(file, f"{file}: {info.filename}", data, info.filename == REDUCTIONS)
    except (*DAMAGED, pa.ArrowException) as error:
        raise DataError(file, f"is damaged ({error})", AGAIN) from None
    except OSError as error:
        raise unreadable(file, error) from None


def _holds_answers(name: str) -> bool:
    return name in (HEADER, REDUCTIONS) or SAMPLE.fullmatch(name) is not None


def _unpacked(file: Path, archive: ZipFile, opened: BinaryIO, info: ZipInfo) -> bytes:
    if info.file_size > most_unpacked(info.compress_size):
        raise too_large(file, most_unpacked(info.compress_size))
    if info.compress_type != ZSTANDARD:
        return archive.read(info)
    opened.seek(info.header_offset)
    name, extra = LOCAL_HEADER.unpack(opened.read(LOCAL_HEADER.size))
    opened.seek(name + extra, 1)
    packed = opened.read(info.compress_size)
    try:
        data = pa.CompressedInputStream(pa.BufferReader(packed), "zstd").read(info.file_size + 1)
    except OSError as error:  # of pyarrow: the file itself was read
        raise BadZipFile(str(error)) from None
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise BadZipFile(f"{info.filename} is not what was written")
    return bytes(data)
