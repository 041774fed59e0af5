"""Refuse output files of the gate that would overwrite its inputs or one another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evalharness.analysis.baseline_file import place_of
from evalharness.cli.gate_output import GateOutput
from evalharness.configuration import OWN, PROJECT
from evalharness.errors import UsageError
from evalharness.records.job import Job
from evalharness.records.policy import Policy
from evalharness.results import MEASUREMENTS, OVERLAP, REPORT, RESULTS
from evalharness.results.files import RUN, SAMPLES

FIX = "a file of its own would be right"


def check_places(output: GateOutput, run: Path, policy: Policy) -> None:
    """Check the paths of the gate's outputs before a run is judged. Raises UsageError."""
    folder = run.parent if run.is_file() else run
    inputs = {folder / name: f"the run's {name}" for name in (RESULTS, MEASUREMENTS, REPORT, OVERLAP, RUN)}
    inputs |= {Path(file): "the policy's file" for file in policy.files} | {place_of(policy): "the baseline file"}
    if output.junit and output.markdown and _is_same(output.junit, output.markdown):
        raise UsageError("--markdown", f"{output.markdown} is the file of --junit, too", FIX)
    for option, path in output.files.items():
        _check(option, path, {run: "the run", **inputs})
        if (folder / SAMPLES).resolve() in path.resolve().parents:
            raise UsageError(option, f"{path} is among the run's {SAMPLES}, and would be written over", FIX)
        if path.name in (OWN, PROJECT):
            raise UsageError(option, f"{path} is a file of settings, and would be written over", FIX)


def check_job_places(output: GateOutput, job: Job) -> None:
    """Check the paths of the gate's outputs before a run begins. Raises UsageError."""
    check_places(output, job.output.folder, job.policy)
    inputs = {path: f"the rows of {name}" for name, path in job.data.overrides.items()}
    inputs |= {job.description.drift_text: "the texts of --drift-text"} if job.description.drift_text else {}
    inputs |= {job.description.drift_table: "the table of --drift-table"} if job.description.drift_table else {}
    for option, path in output.files.items():
        _check(option, path, {job.output.store: "the store", **inputs})


def _check(option: str, path: Path, inputs: Mapping[Path, str]) -> None:
    for other, what in inputs.items():
        if _is_same(path, other):
            raise UsageError(option, f"{path} is {what}, and would be written over", FIX)


def _is_same(path: Path, other: Path) -> bool:
    """Return whether both paths name the same file."""
    return path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other))
