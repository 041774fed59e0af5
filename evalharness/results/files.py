"""Name the files of a run's folder, find them, and write each of them completely or not at all."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evalharness import fingerprint
from evalharness.errors import StoreError, UsageError
from evalharness.json_text import parse_json
from evalharness.records.probe_answers import ProbeAnswers
from evalharness.whole_file import write_whole

RESULTS, MEASUREMENTS, SAMPLES = "results.json", "measurements.parquet", "samples"
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names of devices on Windows
RUN, REPORT, OVERLAP = "run.json", "report.html", "overlap.jsonl"
PROBES = "probes.json"


def open_folder(out: Path, same: bool = False) -> None:
    """Make the run's folder if it is missing, and check that it can be written. Raises StoreError.

    The conclusions of an older run there are deleted, so that they are not mistaken for this run's if it does not
    finish. If the older run is the `same` one, only the report's page is deleted, because the new files are made from
    the others.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".write-test"
        probe.write_text("")
        probe.unlink()
        for name in (REPORT,) if same else (RESULTS, MEASUREMENTS, REPORT, OVERLAP):
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            out, f"cannot write here ({error.strerror})", "name a folder that can be written with --out"
        ) from error


def forget_samples(out: Path) -> None:
    """Delete only the samples that an older run left in the same folder, by the names in its results.json."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        document = parse_json((out / RESULTS).read_bytes())
        for task in document["signature"]["tasks"]:
            for model in document["models"]:
                samples_path(out, task, model["name"]).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file of text completely or not at all. Raises StoreError."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file of bytes completely or not at all. Raises StoreError."""
    try:
        write_whole(path, data)
    except OSError as error:
        raise StoreError(
            path, f"cannot be written ({error.strerror})", "free some space, or name another folder with --out"
        ) from error


def to_json(value: Any) -> str:
    """Return the JSON text of a run's document. Raises ValueError for a number that is not finite."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def find_run_file(run: Path, name: str, what: str) -> Path:
    """Return the path of the file `name` in a run's folder, or `run` itself if it is a file. Raises UsageError if
    there is none.
    """
    path = run / name if run.is_dir() else run
    if not path.is_file():
        raise UsageError(path, f"no {what} here", "name the folder that a finished `evalharness run` left (its --out)")
    return path


def run_and_model(text: str) -> tuple[Path, str]:
    """Split RUN[#NAME] into the run's path and the model's name (empty: none). An existing path may have a # itself."""
    path, sign, name = text.rpartition("#")
    return (Path(path), name) if sign and not Path(text).exists() else (Path(text), "")


def file_name(name: str) -> str:
    """Return a file name for a task's or model's name: unchanged if harmless, else its harmless letters and a hash."""
    harmless = re.sub(r"[^A-Za-z0-9._+@-]", "_", name).strip(".")[:80]
    if RESERVED.fullmatch(harmless):
        harmless = f"_{harmless}"
    return harmless if name and harmless == name else f"{harmless}-{fingerprint.of_value(name)[:8]}"


def check_file_names(names: Iterable[str], fix: str) -> None:
    """Check that no two names get the same file on a file system that ignores case. Raises UsageError."""
    before: dict[str, str] = {}
    for name in names:
        other = before.setdefault(file_name(name).casefold(), name)
        if other != name:
            what = f"differs from {other} by case alone, and where a file system ignores case they have one file"
            raise UsageError(name, what, fix)


def samples_path(out: Path, task: str, model: str) -> Path:
    """Return the path samples/TASK/MODEL.jsonl in a run's folder, for any names."""
    return out / SAMPLES / file_name(task) / f"{file_name(model)}.jsonl"


def write_probes(out: Path, probes: Mapping[str, ProbeAnswers]) -> None:
    """Write probes.json, if any model is behind a server: these models' answers to the probes, by fingerprint."""
    if probes:
        write_text(out / PROBES, to_json({model: asdict(answers) for model, answers in probes.items()}))


def read_probes(run: Path, model: str) -> ProbeAnswers | None:
    """Read a model's answers to the probes in a run (its folder or a file in it); None if they are unknown."""
    try:
        document = parse_json(((run if run.is_dir() else run.parent) / PROBES).read_bytes())
    except (OSError, ValueError):
        return None
    return ProbeAnswers.from_json(document.get(model)) if isinstance(document, dict) else None


def write_run(out: Path, facts: Mapping[str, Any]) -> None:
    """Write run.json: facts that differ between equal runs, such as times, cache hits, memory, paths, the command."""
    write_text(out / RUN, to_json(facts))


def read_run(run: Path) -> dict[str, Any] | None:
    """Read the content of run.json; None if it is missing or unreadable, because no verdict depends on it."""
    try:
        facts = parse_json((run / RUN).read_bytes())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None
