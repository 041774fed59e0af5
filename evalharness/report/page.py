"""Results to one self-contained HTML page: no network, readable without JavaScript, inert whatever a model wrote."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evalharness import registry
from evalharness.paths import shipped
from evalharness.records.comparison import Level
from evalharness.records.results import Results
from evalharness.report import (
    REGISTRY,
    diagnoses,
    drift,
    early_stopping_table,
    examples,
    facts,
    order,
    overlap,
    references,
    sentences,
    stage_tables,
    stage_text,
    sweep_tables,
    tables,
    training_table,
    variants,
    wording,
)
from evalharness.report.stages import Stages
from evalharness.report.sweep import Sweep

BUDGET = 1_950_000  # bytes of a page, cost section aside, as long as its tables alone do not need more
LEAST_FOR_EXAMPLES = 200_000
MARKS = "■◆▲★✚✖◀▶"  # the shapes that marks.MARKERS draws, in its order


def render(
    results: Results, cost: Mapping[str, Any] | None = None, sweep: Sweep | None = None, stages: Stages | None = None
) -> str:
    """The page of a run, of the sweep that chose its candidates, and of the stages of training that they are.

    `cost` (run.json) fills the section with id "cost" and nothing else, `sweep` that with id "sweep", `stages` that
    with id "stages"; all else depends on `results` alone.
    """
    folder = shipped("reports")
    template = environment(folder).get_template("page.html.jinja")
    about = {**_about(results), **_sweep(sweep), **_stages(stages)}
    without = template.render(**about, **_examples(results, 0), cost=())
    budget = max(BUDGET - len(without.encode()), LEAST_FOR_EXAMPLES)
    return template.render(**about, **_examples(results, budget), cost=facts.fact_tables(cost or {}))


def environment(folder: Path) -> Environment:
    """Templates whose every value is made visible and escaped on its way out; a missing value is an error."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalized(value: Any) -> Any:
    if isinstance(value, Markup):
        return value
    return wording.NONE if value is None else wording.visible(str(value))


def _examples(results: Results, budget: int) -> dict[str, Any]:
    island = examples.pack(results.flips, order.candidates_of(results), budget)
    return {"island": island, "data": Markup(island.json), "matrix": tables.matrix(results, island.pairs)}


def _sweep(sweep: Sweep | None) -> dict[str, Any]:
    if sweep is None:
        return {"sweep": None}
    return {
        "sweep": sweep,
        "sweep_tables": sweep_tables.tables(sweep),
        "curves": Markup(registry.find(REGISTRY, "curves", "figure")(sweep)),
    }


def _stages(stages: Stages | None) -> dict[str, Any]:
    if stages is None:
        return {"stages": None}
    figure = Markup(registry.find(REGISTRY, "trajectories", "figure")(stages))
    tables = (stage_tables.measure_table(stages), stage_tables.task_table(stages))
    rows = list(stage_tables.page_rows(stages))
    said = {"stages_said": stage_text.sentences(stages), "stages_notes": list(stage_text.notes(stages))}
    return {"stages": stages, "stage_tables": tables, "stage_rows": rows, "trajectories": figure, **said}


def _about(results: Results) -> dict[str, Any]:
    folder = shipped("reports")
    script = (folder / "script.js").read_text("utf-8")
    cards = sentences.cards(results)
    rows, left_out = facts.trouble_rows(results.errors)
    candidates = order.candidates_of(results)
    beside, left_to_groups = variants.asides_of(results), variants.left_to_groups(results)
    suite = next((c.task for c in results.comparisons if c.level == Level.SUITE), None) or results.signature.get(
        "suite"
    )
    return {
        "style": Markup((folder / "style.css").read_text("utf-8")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "suite": suite,
        "tasks": list(
            dict.fromkeys(c.task for c in results.comparisons if c.level == Level.TASK and c.task not in beside)
        ),
        "bases": [model.name for model in results.models if model.base is None],
        "candidates": candidates,
        "marks": [mark_of(i) for i in range(len(candidates))],
        "headline": sentences.headline(cards),
        "cards": cards,
        "errors": rows,
        "errors_left_out": left_out,
        "error_count": len(results.errors),
        "level": next((c.ci_level for c in results.comparisons), 0.9),
        "forest": Markup(registry.find(REGISTRY, "forest", "figure")(results)),
        "tradeoff": Markup(registry.find(REGISTRY, "tradeoff", "figure")(results)),
        "ungained": [model.name for model in results.models if model.judged and model.target_gain is None],
        "models": results.models,
        "noise_floor": references.noise_floor(results),
        "quantisation": references.quantisation(results),
        "made_columns": training_table.COLUMNS,
        "made": training_table.made_rows(results),
        "gain_of": training_table.gain_of,
        "learned_words": training_table.learned_words,
        "ways": variants.variant_tables(results),
        "overview": variants.overview(results),
        "asked_rows": early_stopping_table.asked_rows(results),
        "asked_lines": early_stopping_table.asked_lines(results),
        "shared": early_stopping_table.SHARED,
        "overlap": overlap.overlap(results),
        "drift": drift.tables(results),
        "diagnoses": diagnoses.views(results),
        "lab": tables.lab_tables(results),
        "reference": tables.reference_candidate(results),
        "detail_columns": tables.DETAIL_COLUMNS,
        "details": tables.details(results, left_to_groups),
        "left_to_groups": len({c.task for c in results.comparisons if c.task in left_to_groups}),
        "signature": facts.fact_tables({key: value for key, value in results.signature.items() if key != "overlap"}),
        "flags_used": list(dict.fromkeys(flag for c in results.comparisons for flag in c.flags)),
        "say": wording,
    }


def mark_of(i: int) -> tuple[str, str]:
    """The shape and the colour's custom property of candidate `i`, as the figures have them."""
    return MARKS[(i + i // 8) % len(MARKS)], f"--c{i % 8}"
