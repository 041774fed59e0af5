"""Render results as one self-contained HTML page: no network, readable without JavaScript, all model text escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from evalharness import registry
from evalharness.analysis import relative
from evalharness.analysis.candidate_order import Standing, candidate_order
from evalharness.interruption import stop_if_interrupted
from evalharness.paths import shipped
from evalharness.records.policy import Policy
from evalharness.records.results import Results
from evalharness.report import (
    REGISTRY,
    calibration,
    candidate_lines,
    command,
    details,
    diagnoses,
    drift,
    drift_forecast,
    early_stopping_table,
    examples,
    facts,
    flags,
    gate_lines,
    header,
    matrix,
    overlap,
    references,
    repair_table,
    score_tables,
    sentences,
    soft_prompts,
    stage_tables,
    stage_text,
    sweep_tables,
    targets,
    together,
    training_table,
    variants,
    wording,
    wordings,
)
from evalharness.report.repair import Repair
from evalharness.report.stages import Stages
from evalharness.report.sweep import Sweep
from evalharness.report.terms import TERMS

BUDGET = 980_000  # bytes of a page, cost section aside, as long as its tables alone do not need more
HARD_STOP = 25_000_000  # bytes of a page: what does not fit is left out, and comparisons.csv beside it has the numbers
LEFT_OUT = {  # of a page that is too large, in this order: the view's name, its title, and its empty value
    "details": ("the table of all comparisons", details.DetailTable(lines=(), shortened=False)),
    "forest": ("the figure of all differences", ""),
    "scores": ("scores by metric", ()),
    "variant_tables": ("other ways of asking", ()),
    "signature": ("the signature", ()),
    "matrix": ("the table of tasks and candidates", ()),
}
LEAST_FOR_EXAMPLES = 200_000
OPTION = re.compile(r"((?<![\w-])--[a-z][a-z-]*)")
# an interval, points, a name with hyphens
WHOLE = re.compile(r"(\[[^][\s]{1,12}, [^][\s]{1,12}\]|[−+]?\d[\d.]* points|\b\w+(?:[.-]\w+)+)")
LONGEST_WHOLE = 24  # characters that do not break
MARKS = "■◆▲★✚✖◀▶"  # the shapes that marks.MARKERS draws, in its order


def _figure(name: str, subject: Results | Sweep | Stages) -> Markup:
    return Markup(registry.find(REGISTRY, name, "figure")(subject))


VIEWS: Mapping[str, Callable[[Results], object]] = {  # the templates' variables
    "header": header.header,
    "candidates": attrgetter("candidates"),
    "forest": partial(_figure, "forest"),
    "tradeoff": partial(_figure, "tradeoff"),
    "diagnoses": diagnoses.views,
    "early_stopping": early_stopping_table.early_stopping,
    "variant_overview": variants.overview,
    "variant_tables": variants.variant_tables,
    "left_to_groups": variants.left_to_groups,
    "wording_lines": wordings.wording_lines,
    "wordings_depend": lambda results: wordings.wording_dependence(list(results.wordings)),
    "overlap": overlap.overlap,
    "drift": drift.tables,
    "forecast": drift_forecast.table,
    "calibration": calibration.calibration,
    "references": references.references,
    "models": attrgetter("models"),
    "training": training_table.training_table,
    "soft_prompts": soft_prompts.soft_prompts,
    "scores": score_tables.score_tables,
    "reference": relative.reference_candidate,
    "undrawn": targets.undrawn,
    "untargeted": targets.untargeted,
    "joined": training_table.rate_series,
    "together": together.together,
    "what_decides": matrix.what_decides,
    "details": details.details,
    "command": command.command,
    "errors": facts.error_table,
    "signature": facts.signature_tables,
    "unknown_flags": facts.unknown_flags,
}


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """A page as text. `left_out`: the titles of the parts that were too large for it."""

    text: str
    left_out: tuple[str, ...] = ()


def render(
    results: Results,
    cost: Mapping[str, Any] | None = None,
    sweep: Sweep | None = None,
    stages: Stages | None = None,
    repairs: Sequence[Repair] = (),
) -> str:
    """Return the page as text. The arguments are those of `page`."""
    return page(results, cost, sweep, stages, repairs=repairs).text


def page(
    results: Results,
    cost: Mapping[str, Any] | None = None,
    sweep: Sweep | None = None,
    stages: Stages | None = None,
    most: int = HARD_STOP,
    repairs: Sequence[Repair] = (),
) -> RenderedPage:
    """Render the page of a run, with the sweep, stages and repairs of its candidates.

    `most`: largest size in bytes, without the section on cost. `cost` (run.json) fills the section with id "cost" and
    nothing else, `sweep` that with id "sweep", `stages` that with id "stages", `repairs` those with ids "repair",
    "repair-1" …; all else depends on `results` alone.
    """
    template = environment(shipped("reports")).get_template("page.html.jinja")
    views = {}
    for name, view in VIEWS.items():
        stop_if_interrupted()
        views[name] = view(results)
    views |= _decision(results) | _looks(results) | _sweep(sweep) | _stages(stages) | _repairs(repairs)
    for count in range(len(LEFT_OUT) + 1):
        shed = dict(list(LEFT_OUT.items())[:count])
        instead = {name: empty for name, (_, empty) in shed.items()}
        titles = tuple(title for title, _ in shed.values())
        size = len(template.render(views | _examples(results, 0) | instead, cost=(), left_out=titles).encode())
        if size + LEAST_FOR_EXAMPLES <= most:
            break
    values = views | _examples(results, min(max(BUDGET - size, LEAST_FOR_EXAMPLES), max(most - size, 0))) | instead
    return RenderedPage(template.render(values, cost=facts.fact_tables(cost or {}), left_out=titles), titles)


def _decision(results: Results) -> dict[str, object]:
    """Return the template's variables for the first screen."""
    order, drift_only = candidate_order(results), bool(results.signature.get("drift_only"))
    return {
        "drift_only": drift_only,
        "looks_at_baseline": Policy.recorded(results.signature).looks_at_baseline,
        "headline": (drift_forecast.NOTHING_JUDGED,) if drift_only else sentences.headline(order.candidates),
        "order": order,
        "statements": sentences.statements(results, order.candidates),
        "lines": candidate_lines.candidate_lines(results, order),
        "classes": candidate_lines.CLASSES,
        "glyphs": gate_lines.MARKS,
        "terms": TERMS,
        "legend": [s for s in Standing if any(each.standing == s for each in order.candidates)],
    }


def breakable(text: str) -> Markup:
    """Mark up a sentence: options of commands become code, intervals and short names do not break, and long names break
    only behind an underscore.
    """
    parts = OPTION.split(wording.one_line(text))
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else _unbroken(p) for i, p in enumerate(parts))


def _unbroken(text: str) -> Markup:
    pieces = []
    for i, part in enumerate(WHOLE.split(text)):
        if i % 2 and len(part) <= LONGEST_WHOLE:
            pieces.append(Markup('<span class="whole">{}</span>').format(part))
        else:
            pieces.append(Markup("_<wbr>").join(map(escape, part.split("_"))))
    return Markup("").join(pieces)


def environment(folder: Path) -> Environment:
    """Return a Jinja environment that makes every value visible and escapes it; a missing value is an error."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalized(value: object) -> object:
    if isinstance(value, Markup):
        return value
    return wording.NONE if value is None else wording.visible(str(value))


def _looks(results: Results) -> dict[str, object]:
    """Return the template's variables for style, script, wording, and the candidates' marks."""
    folder = shipped("reports")
    script = (folder / "script.js").read_text("utf-8")
    return {
        "style": Markup((folder / "style.css").read_text("utf-8")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "say": wording,
        "breakable": breakable,
        "flags": flags,
        "targets": targets,
        "marks": {name: mark_of(i) for i, name in enumerate(results.candidates)},
    }


def mark_of(i: int) -> tuple[str, str]:
    """Return the shape and the colour's custom property of candidate `i`, as the figures have them."""
    return MARKS[(i + i // 8) % len(MARKS)], f"--c{i % 8}"


def _examples(results: Results, budget: int) -> dict[str, object]:
    island = examples.pack(results.flips, results.candidates, budget)
    return {"island": island, "data": Markup(island.json), "matrix": matrix.matrix(results, island.pairs)}


def _sweep(sweep: Sweep | None) -> dict[str, object]:
    if sweep is None:
        return {"sweep": None}
    return {"sweep": sweep, "sweep_tables": sweep_tables.tables(sweep), "curves": _figure("curves", sweep)}


def _stages(stages: Stages | None) -> dict[str, object]:
    if stages is None:
        return {"stages": None}
    return {
        "stages": stages,
        "stage_sentences": stage_text.sentences(stages),
        "trajectories": _figure("trajectories", stages),
        "stage_rows": list(stage_tables.page_rows(stages)),
        "stage_tables": (stage_tables.measure_table(stages), stage_tables.task_table(stages)),
        "stage_notes": list(stage_text.notes(stages)),
    }


def _repairs(repairs: Sequence[Repair]) -> dict[str, object]:
    """Return the template's variables for the sections on repairs."""
    several = len(repairs) > 1
    return {
        "repairs": [
            {
                "id": f"repair-{number}" if number else "repair",
                "title": f"The repair of {wording.one_line(repair.candidate, 60)}" if several else "The repair",
                "repair": repair,
                "sentences": repair_table.sentences(repair),
                "table": repair_table.path_table(repair),
                "curve": Markup(registry.find(REGISTRY, "path", "figure")(repair, f"path-{number}")),
            }
            for number, repair in enumerate(repairs)
        ]
    }
