"""Say how well drift forecasts a suite's loss: each training seed of a table of drifts from all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drift_lines import table_candidates
from scipy.stats import spearmanr

from evalharness import results
from evalharness.analysis.drift import INPUTS as INPUTS_OF
from evalharness.analysis.drift import NEUTRAL as NEUTRAL_TEXT
from evalharness.analysis.drift import OWN
from evalharness.analysis.drift_forecast import drift_curve
from evalharness.records.comparison import Estimate
from evalharness.records.drift_table import INPUTS, KINDS, NEUTRAL, OUTPUTS, TableCandidate
from evalharness.report.drift_forecast import TEXTS


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """How well one seed was forecast: Spearman's correlation with what was measured (`of_weights`: soft prompts left
    out; `alone`: of each kind of text by itself), and how many of `n` lay within their interval.
    """

    seed: int
    kinds: tuple[str, ...]
    spearman: float
    of_weights: float
    alone: Mapping[str, float]
    covered: int
    n: int


def held_out(table: Sequence[TableCandidate]) -> Iterator[HeldOut]:
    """Forecast each seed's candidates by a curve fitted on those of all others, which also choose its texts."""
    kinds = [kind for kind in KINDS if all(kind in each.kl for each in table)]
    for seed in sorted({each.seed for each in table}):
        others, own_rows = ([each for each in table if (each.seed == seed) is own] for own in (False, True))
        curve = drift_curve(others, kinds)
        forecasts = [curve.change(each.kl) for each in own_rows]
        measured = [each.margins for each in own_rows]
        covered = [_within(estimate, value) for estimate, value in zip(forecasts, measured, strict=True)]
        values = [estimate.value for estimate in forecasts]
        weights = [i for i, each in enumerate(own_rows) if each.method != "prompt"]
        yield HeldOut(
            seed=seed,
            kinds=curve.kinds,
            spearman=_spearman(values, measured),
            of_weights=_spearman([values[i] for i in weights], [measured[i] for i in weights]),
            alone={kind: _spearman([-each.kl[kind] for each in own_rows], measured) for kind in kinds},
            covered=sum(covered),
            n=len(own_rows),
        )


def _spearman(one: Sequence[float], other: Sequence[float]) -> float:
    return float(spearmanr(one, other).statistic)


def _within(estimate: Estimate, value: float) -> bool:
    return estimate.low is not None and estimate.high is not None and estimate.low <= value <= estimate.high


def lines_of_table(table: Sequence[TableCandidate]) -> Iterator[str]:
    """Yield the lines of a Markdown table: how well each seed is forecast from the others, and all together."""
    rows = list(held_out(table))
    columns = ["seed", "fitted on the drift on", "Spearman, forecast, measured", "without prompt tuning"]
    columns += ["within interval", *(f"KL alone, {TEXTS[kind]}" for kind in KINDS)]
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for each in rows:
        kinds = ", ".join(TEXTS[kind] for kind in each.kinds)
        cells = [f"{each.seed}", kinds, f"{each.spearman:.3f}", f"{each.of_weights:.3f}", f"{each.covered} of {each.n}"]
        cells += [f"{each.alone[kind]:.3f}" if kind in each.alone else "–" for kind in KINDS]
        yield f"| {' | '.join(cells)} |"
    covered, n = sum(each.covered for each in rows), sum(each.n for each in rows)
    yield f"| all | | | | {covered} of {n} ({covered / n:.0%}) | | | |"


def lines_of_records(document: Mapping[str, Any]) -> list[str]:
    """The same of the atlas's records, once two seeds are measured."""
    table = [_candidate(document, line) for line in document["lines"] if not line["of"]]
    if len({each.seed for each in table}) < 2:
        return ["Nothing is forecast yet: one seed is forecast from the others."]
    return list(lines_of_table(table))


def candidates_in(evaluations: Path) -> list[TableCandidate]:
    """The lines of a table that the finished runs in a folder give, a run a folder."""
    runs = sorted(path.parent for path in evaluations.glob(f"*/{results.RESULTS}"))
    return [line for run in runs for line in table_candidates(results.read_results(run))]


def _candidate(document: Mapping[str, Any], line: Mapping[str, Any]) -> TableCandidate:
    drift: Mapping[str, Any] = line["drift"]
    kl = {kind: drift[text]["kl"]["value"] for kind, text in _texts(document["target"]).items() if text in drift}
    return TableCandidate(
        base="base",
        base_fingerprint=document["base"]["fingerprint"],
        suite=document["suite"],
        target=document["target"],
        kl=kl,
        margins=line["suite"]["value"],
        ability=None,
        neutral_texts="",
        **{key: line[key] for key in ("method", "rate", "replay", "seed", "run")},
    )


def _texts(target: str) -> dict[str, str]:
    return {NEUTRAL: NEUTRAL_TEXT, OUTPUTS: OWN, INPUTS: f"{INPUTS_OF}{target}"}
