"""Read and write results.json: all conclusions of a run. It is written last, so its presence means a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evalharness.errors import UsageError
from evalharness.records.models import ModelKind
from evalharness.records.results import Results
from evalharness.results.digest import with_digest
from evalharness.results.files import RESULTS, find_run_file, to_json, write_text
from evalharness.results.samples import read_flips
from evalharness.results.structuring import SCHEMA_VERSION, Form, parse_document, structure_json
from evalharness.stats.enums import RULE, RULE_WITH_NOISE

JUDGE_AGAIN = "judge its measurements again with `evalharness compare RUN --out NEW`, or run the evaluation again"
WRITE_AGAIN = (
    "`evalharness compare RUN --out RUN` makes it again of the measurements, `evalharness report RUN` its page"
)
FORM = Form(what="results", restore=WRITE_AGAIN)
OPTIONAL = ("drift", "drift_forecasts", "diagnoses", "wordings")  # keys that are left out if empty


def results_text(results: Results) -> str:
    """Return the content of results.json: `results` without its flips, which can be read from samples/.

    A flip is an example that one model answers better than the other. Surrogates are escaped, so the text can always
    be encoded. Raises ValueError for a number that is not finite.
    """
    fields = {**asdict(replace(results, signature={}, flips=())), "signature": results.signature}
    fields["comparisons"] = [_without_absent(comparison) for comparison in fields["comparisons"]]
    document = {key: value for key, value in fields.items() if key != "flips" and (value or key not in OPTIONAL)}
    return to_json(with_digest(document, SCHEMA_VERSION)).encode(errors="backslashreplace").decode()


def write_results(out: Path, results: Results) -> None:
    """Write results.json into a run's folder. Raises StoreError."""
    write_text(out / RESULTS, results_text(results))


def _without_absent(comparison: Mapping[str, Any]) -> Mapping[str, Any]:
    """Remove the key `engine_noise` from a comparison if no placebo measured it."""
    return {key: value for key, value in comparison.items() if key != "engine_noise" or value is not None}


class OlderRuleError(UsageError):
    """Raised if the verdicts of results are by an older rule; `rule` is its version."""

    def __init__(self, path: Path, rule: int) -> None:
        judges = RULE if rule < RULE else RULE_WITH_NOISE
        what = f"its verdicts are of rule {rule}, this evalharness judges by rule {judges}"
        super().__init__(path, what, JUDGE_AGAIN)
        self.rule = rule


def read_results(run: Path) -> Results:
    """Read the results in a run's folder, with the examples that base and candidates answer differently (flips).

    Raises OlderRuleError for verdicts by an older rule, and UsageError if there are no results, if they have another
    schema version or a newer rule, or (naming the key) if they are not as this version writes them.
    """
    path = find_run_file(run, RESULTS, "results")
    document = parse_document(path.read_bytes(), path, FORM)
    rule = _rule_of(document)
    if is_older(document):
        raise OlderRuleError(path, rule)
    if rule > RULE_WITH_NOISE:
        what = f"its verdicts are of rule {rule}, this evalharness knows rules up to {RULE_WITH_NOISE}"
        raise UsageError(path, what, "use the version that wrote it")
    results = structure_json({**{key: [] for key in OPTIONAL}, **document, "flips": []}, Results, path)
    return replace(results, flips=tuple(read_flips(path.parent, results)))


def older_rule_of(run: Path) -> int | None:
    """Return the version of the rule of the verdicts in a run's folder, if it is older than this program's.

    Returns None if it is not, or if there are no readable results.
    """
    path = (run if run.is_dir() else run.parent) / RESULTS
    try:
        document = parse_document(path.read_bytes(), path, FORM)
        return _rule_of(document) if is_older(document) else None
    except (OSError, UsageError):
        return None


def is_older(document: Mapping[str, Any]) -> bool:
    """Return whether the verdicts of results are by an older rule, or by one that ignored the run's placebo."""
    rule, models, rows = _rule_of(document), document.get("models"), document.get("comparisons")
    if rule != RULE or not isinstance(models, list) or not isinstance(rows, list):
        return rule < RULE
    has_placebo = any(isinstance(model, dict) and model.get("kind") == ModelKind.PLACEBO for model in models)
    return has_placebo and bool(rows) and not any("engine_noise" in row for row in rows if isinstance(row, dict))


def _rule_of(document: Mapping[str, Any]) -> int:
    """Return the version of the rule of verdicts; 1 for results without the key."""
    rule = document.get("verdict_rule", 1)
    return rule if isinstance(rule, int) else RULE
