"""Make the lines of a table of drifts of finished runs, and write them as the CSV that `--drift-table` reads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from evalharness import fingerprint
from evalharness.analysis.drift import NEUTRAL
from evalharness.analysis.drift_forecast import divergences
from evalharness.data.drift_table import COLUMNS, KL
from evalharness.records.comparison import Level
from evalharness.records.drift_table import TableCandidate
from evalharness.records.results import Results


def table_candidates(results: Results) -> Iterator[TableCandidate]:
    """Make the lines of a table of a run with drift and verdicts; candidates without a record of their training, and
    those that were not measured, are left out.
    """
    digest = fingerprint.short(fingerprint.of_value(results.signature))
    suites = {c.candidate: c for c in results.comparisons if c.level == Level.SUITE and c.primary}
    base, texts = results.models[0], next((d.digest for d in results.drift if d.text == NEUTRAL), "")
    for model in results.models:
        suite, facts = suites.get(model.name), model.training
        kl = divergences(results.drift, model)
        if not kl or suite is None or suite.difference is None or not {"method", "learning_rate", "seed"} <= set(facts):
            continue
        yield TableCandidate(
            base=base.name,
            base_fingerprint=base.fingerprint,
            suite=suite.task,
            target=model.target_task or "",
            method=str(facts["method"]),
            rate=float(facts["learning_rate"]),
            replay=float(sum(facts.get("replay", {}).values())),
            seed=int(facts["seed"]),
            neutral_texts=texts,
            kl=kl,
            margins=suite.difference.value,
            ability=suite.general.value if suite.general else None,
            run=digest,
        )


def table_text(candidates: Sequence[TableCandidate]) -> str:
    """The content of a table's file."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in candidates:
        kls = {column: each.kl.get(kind) for column, kind in KL.items()}
        writer.writerow(["" if (v := _value(each, kls, name)) is None else v for name in COLUMNS])
    return out.getvalue()


def _value(candidate: TableCandidate, kls: Mapping[str, float | None], column: str) -> object:
    value = kls[column] if column in kls else getattr(candidate, column)
    return f"{value:.6g}" if isinstance(value, float) else value
