"""results.json: everything that a run concluded, as one JSON document. It is written last, so that its presence means a
finished run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evalharness.errors import UsageError
from evalharness.records.results import Results
from evalharness.results.digest import with_digest
from evalharness.results.files import RESULTS, inside, to_json, write_text
from evalharness.results.samples import read_flips
from evalharness.results.structuring import SCHEMA_VERSION, Form, parsed, structured
from evalharness.stats.enums import RULE, RULE_WITH_NOISE

JUDGE_AGAIN = "judge its measurements again with `evalharness compare RUN --out NEW`, or run the evaluation again"
WRITTEN_AGAIN = (
    "`evalharness compare RUN --out RUN` makes it again of what was measured, `evalharness report RUN` its page"
)
FORM = Form(what="results", restore=WRITTEN_AGAIN)
OPTIONAL = (
    "drift",
    "drift_forecasts",
    "diagnoses",
    "wordings",
)  # keys that are left out where there is nothing under them


def results_text(results: Results) -> str:
    """The content of results.json: `results` without its flips, which follow from samples/.

    It can be encoded whatever texts are in it. Raises ValueError for a number that is not finite.
    """
    fields = {**asdict(replace(results, signature={}, flips=())), "signature": results.signature}
    fields["comparisons"] = [_without_absent(comparison) for comparison in fields["comparisons"]]
    kept = {key: value for key, value in fields.items() if key != "flips" and (value or key not in OPTIONAL)}
    return to_json(with_digest(kept, SCHEMA_VERSION)).encode(errors="backslashreplace").decode()


def write_results(out: Path, results: Results) -> None:
    """Write results.json into a run's folder. Raises StoreError."""
    write_text(out / RESULTS, results_text(results))


def _without_absent(comparison: Mapping[str, Any]) -> Mapping[str, Any]:
    """A comparison without the key of what no placebo showed."""
    return {key: value for key, value in comparison.items() if key != "engine_noise" or value is not None}


def read_results(run: Path) -> Results:
    """The results in a run's folder, flips included. Raises UsageError where there are no results, where they are of
    another schema version or by another rule of verdicts, and, by key, where they are not as this version writes them.
    """
    path = inside(run, RESULTS, "results")
    document = parsed(path.read_bytes(), path, FORM)
    rule = document.get("verdict_rule", RULE)
    if rule not in (RULE, RULE_WITH_NOISE):
        what = f"its verdicts are of rule {rule!r}, this evalharness judges by rule {RULE}"
        raise UsageError(path, what, JUDGE_AGAIN)
    results = structured({**{key: [] for key in OPTIONAL}, **document, "flips": []}, Results, path)
    return replace(results, flips=tuple(read_flips(path.parent, results)))
