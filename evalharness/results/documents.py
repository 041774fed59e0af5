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
from evalharness.stats.enums import RULE

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
    kept = {key: value for key, value in fields.items() if key != "flips" and (value or key not in OPTIONAL)}
    return to_json(with_digest(kept, SCHEMA_VERSION)).encode(errors="backslashreplace").decode()


def write_results(out: Path, results: Results) -> None:
    """Write results.json into a run's folder. Raises StoreError."""
    write_text(out / RESULTS, results_text(results))


class OlderRuleError(UsageError):
    """Results whose verdicts were given by an older rule, `rule`."""

    def __init__(self, path: Path, rule: int) -> None:
        super().__init__(path, f"its verdicts are of rule {rule}, this evalharness judges by rule {RULE}", JUDGE_AGAIN)
        self.rule = rule


def read_results(run: Path) -> Results:
    """The results in a run's folder, flips included. Raises OlderRuleError for verdicts of an older rule, and
    UsageError where there are no results, where they are of another schema version or of a newer rule, and, by key,
    where they are not as this version writes them.
    """
    path = inside(run, RESULTS, "results")
    document = parsed(path.read_bytes(), path, FORM)
    if (rule := _rule_of(document)) < RULE:
        raise OlderRuleError(path, rule)
    if rule > RULE:
        what = f"its verdicts are of rule {rule}, this evalharness knows rules up to {RULE}"
        raise UsageError(path, what, "use the version that wrote it")
    results = structured({**{key: [] for key in OPTIONAL}, **document, "flips": []}, Results, path)
    return replace(results, flips=tuple(read_flips(path.parent, results)))


def rule_of(run: Path) -> int | None:
    """The version of the rule by which the verdicts in a run's folder are given; None where no results can be read."""
    path = (run if run.is_dir() else run.parent) / RESULTS
    try:
        return _rule_of(parsed(path.read_bytes(), path, FORM))
    except (OSError, UsageError):
        return None


def _rule_of(document: Mapping[str, Any]) -> int:
    """What results without the key were judged by is the first rule."""
    rule = document.get("verdict_rule", 1)
    return rule if isinstance(rule, int) else RULE
