"""results.json: everything that a run concluded, as one JSON document. It is written last, so that its presence means a
finished run.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from evalharness.records.results import Results
from evalharness.results.files import RESULTS, inside, to_json, write_text
from evalharness.results.samples import read_flips
from evalharness.results.structuring import SCHEMA_VERSION, parsed, structured

OPTIONAL = ("drift", "diagnoses")  # keys that are left out where there is nothing under them


def results_text(results: Results) -> str:
    """The content of results.json: `results` without its flips, which follow from samples/.

    It can be encoded whatever texts are in it. Raises ValueError for a number that is not finite.
    """
    fields = {**asdict(replace(results, signature={}, flips=())), "signature": results.signature}
    kept = {key: value for key, value in fields.items() if key != "flips" and (value or key not in OPTIONAL)}
    document = {"schema_version": SCHEMA_VERSION, **kept}
    return to_json(document).encode(errors="backslashreplace").decode()


def write_results(out: Path, results: Results) -> None:
    """Write results.json into a run's folder. Raises StoreError."""
    write_text(out / RESULTS, results_text(results))


def read_results(run: Path) -> Results:
    """The results in a run's folder, flips included. Raises UsageError where there are none, where they are of another
    schema version, and, by key, where they are not as this version writes them.
    """
    path = inside(run, RESULTS, "results")
    document = parsed(path.read_bytes(), path, "results")
    results = structured({"drift": [], "diagnoses": [], **document, "flips": []}, Results, path)
    return replace(results, flips=tuple(read_flips(path.parent, results)))
