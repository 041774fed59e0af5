"""results.json: everything that a run concluded, as one JSON document. It is written last, so that its presence means a
finished run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evalharness.errors import UsageError
from evalharness.records.models import ModelKind
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


class OlderRuleError(UsageError):
    """Results whose verdicts were given by an older rule, `rule`."""

    def __init__(self, path: Path, rule: int) -> None:
        judges = RULE if rule < RULE else RULE_WITH_NOISE
        what = f"its verdicts are of rule {rule}, this evalharness judges by rule {judges}"
        super().__init__(path, what, JUDGE_AGAIN)
        self.rule = rule


def read_results(run: Path) -> Results:
    """The results in a run's folder, flips included. Raises OlderRuleError for verdicts of an older rule, and
    UsageError where there are no results, where they are of another schema version or of a newer rule, and, by key,
    where they are not as this version writes them.
    """
    path = inside(run, RESULTS, "results")
    document = parsed(path.read_bytes(), path, FORM)
    rule = _rule_of(document)
    if is_older(document):
        raise OlderRuleError(path, rule)
    if rule > RULE_WITH_NOISE:
        what = f"its verdicts are of rule {rule}, this evalharness knows rules up to {RULE_WITH_NOISE}"
        raise UsageError(path, what, "use the version that wrote it")
    results = structured({**{key: [] for key in OPTIONAL}, **document, "flips": []}, Results, path)
    return replace(results, flips=tuple(read_flips(path.parent, results)))


def older_rule_of(run: Path) -> int | None:
    """The version of the rule by which the verdicts in a run's folder are given, where they are judged again; None
    where they are not, and where no results can be read.
    """
    path = (run if run.is_dir() else run.parent) / RESULTS
    try:
        document = parsed(path.read_bytes(), path, FORM)
        return _rule_of(document) if is_older(document) else None
    except (OSError, UsageError):
        return None


def is_older(document: Mapping[str, Any]) -> bool:
    """Are its verdicts of an older rule, or of one that did not look at the placebo that it has?"""
    rule, models, rows = _rule_of(document), document.get("models"), document.get("comparisons")
    if rule != RULE or not isinstance(models, list) or not isinstance(rows, list):
        return rule < RULE
    has_placebo = any(isinstance(model, dict) and model.get("kind") == ModelKind.PLACEBO for model in models)
    return has_placebo and bool(rows) and not any("engine_noise" in row for row in rows if isinstance(row, dict))


def _rule_of(document: Mapping[str, Any]) -> int:
    """What results without the key were judged by is the first rule."""
    rule = document.get("verdict_rule", 1)
    return rule if isinstance(rule, int) else RULE
