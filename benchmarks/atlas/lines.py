"""Keep the atlas's records: a line a candidate with a digest of what was measured, and results.json that holds them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evalharness import fingerprint, results
from evalharness.errors import DataError
from evalharness.records.comparison import Comparison, Estimate, Level, MeanDifference
from evalharness.records.results import Drift, Results

Line = dict[str, Any]
FREE = ("digest", "cost", "run")  # no part of a line's digest: times differ, and results.json has that of the training


def line_of(measured: Results, digest: str, name: str, facts: Mapping[str, Any], target: str) -> Line:
    """The line of one candidate. `digest`: of its results.json; `facts`: how it was made."""
    model = next(each for each in measured.models if each.name == name)
    rows = [each for each in measured.comparisons if each.candidate == name]
    suite = next(each for each in rows if each.level == Level.SUITE and each.primary)
    general = suite.general
    return sealed(
        {
            **facts,
            "fingerprint": model.fingerprint,
            "trainable": model.trainable,
            "gain": _estimate(model.target_gain),
            "learned": model.learned_target,
            "suite": _estimate(suite.difference),
            "suite_verdict": str(suite.verdict),
            "ability": None if general is None else {**_estimate(general), "units": general.units},
            "units": {each.task: _unit(each) for each in rows if each.is_gate_unit and each.task != target},
            "kept": _estimate(suite.retention),
            "families": {each.task: _family(each) for each in rows if each.level == Level.FAMILY},
            "drift": {each.text: _drift(each) for each in measured.drift if each.model == name},
            "signature": fingerprint.of_value(dict(measured.signature)),
        }
    ) | {"run": digest}


def sealed(line: Mapping[str, Any]) -> Line:
    """The line with the digest of its content."""
    content = json.loads(json.dumps(rounded({key: value for key, value in line.items() if key not in FREE})))
    return {**content, "digest": fingerprint.of_value(content)}


def rounded(value: Any) -> Any:
    """The value with its numbers at six decimals, and below a thousandth at four digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if abs(value) < 1e-3 else round(value, 6)
    if isinstance(value, Mapping):
        return {str(key): rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def damaged(lines: Iterable[Line]) -> list[str]:
    """Names of lines whose digest is not that of their content."""
    return [line["name"] for line in lines if sealed(line)["digest"] != line.get("digest")]


def base_of(measured: Results, target: str) -> dict[str, Any]:
    """What the base scores on every gate unit, and whether it can do it."""
    name = measured.candidates[0]
    units = {}
    for row in measured.comparisons:
        if row.candidate == name and row.is_gate_unit and row.base is not None:
            reasons = [str(flag) for flag in row.flags if flag in ("base_at_chance", "margin_exceeds_skill")]
            answers = row.base_answers
            constant = (
                answers is not None
                and answers.most_common_count is not None
                and answers.most_common_count >= 0.9 * row.n
            )
            units[row.task] = {
                "metric": row.metric,
                "n": row.n,
                "score": _estimate(row.base),
                "margin": row.margin,
                "family": row.family,
                "flags": reasons,
                "constant": bool(constant),
                "target": row.task == target,
            }
    return {"fingerprint": measured.models[0].fingerprint, "parameters": measured.models[0].parameters, "units": units}


def read(path: Path) -> dict[str, Any]:
    """The records. Raises DataError for a file that is damaged or whose lines were changed by hand."""
    try:
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
        broken = damaged(document["lines"])
    except FileNotFoundError:
        raise DataError(path, "does not exist", "run `make atlas` first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(path, f"no records of the atlas ({error})", "run `make atlas` again") from None
    if broken:
        raise DataError(path, f"{', '.join(broken)}: not as their digests say", "take the file from the repository")
    return document


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write the records, one line a candidate."""
    head = {key: value for key, value in document.items() if key != "lines"}
    lines = ",\n".join("  " + json.dumps(line, ensure_ascii=False) for line in document["lines"])
    text = json.dumps(rounded(head), indent=1, ensure_ascii=False)
    results.write_text(path, text.removesuffix("\n}") + ',\n "lines": [\n' + lines + "\n ]\n}\n")


def _unit(row: Comparison) -> dict[str, Any]:
    return {
        "difference": _estimate(row.difference),
        "candidate": None if row.candidate_score is None else row.candidate_score.value,
        "verdict": str(row.verdict),
        "flags": [str(flag) for flag in row.flags],
        "in_margins": None if row.difference is None or not row.margin else row.difference.value / row.margin,
    }


def _family(row: Comparison) -> dict[str, Any]:
    """The mean change in margins, and the share of the base's skill that is left."""
    return {**_estimate(row.difference), "kept": _estimate(row.retention)}


def _drift(drift: Drift) -> dict[str, Any]:
    keys = ("digest", "n", "tokens", "exact")
    estimates = {"kl": drift.kl, "agreement": drift.agreement, "cross_entropy_change": drift.cross_entropy_change}
    return {key: getattr(drift, key) for key in keys} | {key: _estimate(of) for key, of in estimates.items()}


def _estimate(estimate: Estimate | MeanDifference | None) -> dict[str, Any]:
    if estimate is None:
        return {"value": None, "low": None, "high": None}
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}
