"""Read and write a run's files: results.json, measurements.parquet, samples/TASK/MODEL.jsonl, run.json."""

from __future__ import annotations

from evalharness.results.documents import OlderRuleError, older_rule_of, read_results, results_text, write_results
from evalharness.results.files import (
    MEASUREMENTS,
    OVERLAP,
    REPORT,
    RESULTS,
    file_name,
    forget_samples,
    open_folder,
    read_probes,
    read_run,
    run_and_model,
    samples_path,
    write_probes,
    write_run,
    write_text,
)
from evalharness.results.measurements import read_measurements, write_measurements
from evalharness.results.samples import read_flips, read_samples, write_samples
from evalharness.results.saving import save
from evalharness.results.structuring import structure_json

__all__ = [
    "MEASUREMENTS",
    "OVERLAP",
    "REPORT",
    "RESULTS",
    "OlderRuleError",
    "file_name",
    "forget_samples",
    "older_rule_of",
    "open_folder",
    "read_flips",
    "read_measurements",
    "read_probes",
    "read_results",
    "read_run",
    "read_samples",
    "results_text",
    "run_and_model",
    "samples_path",
    "save",
    "structure_json",
    "write_measurements",
    "write_probes",
    "write_results",
    "write_run",
    "write_samples",
    "write_text",
]
