"""Read the keys under `metadata` that only this harness has, with defaults for files without them.

The defaults for a file without any of these keys (a user's own, or one of lm-eval's):

    family   "other"
    primary  the first metric of `metric_list` on a 0-1 scale (or, as correlations are, on -1-1); else the first of
             MARGINS; else the first, a perplexity or a module of `evaluate`: then the task only describes and is never
             a gate unit
    margin   .02 on a 0-1 scale, else that of MARGINS
    chance   1 / number of choices, if the choices are fixed in the file and the metric is an accuracy; else that of
             NO_SKILL; else 0, or unknown (null) if a lower score is better or a module of `evaluate` scores
    lm_eval  "no": the file does not state that lm-eval computes the same number
    stop_at_once  true, as in lm-eval: a stop string of white space ends an answer that is still empty. For a file with
             one of these keys: false, unless lm_eval is "same" or "subset"
    version  `metadata.version`, else "0"
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from evalharness.errors import TaskError, did_you_mean
from evalharness.metrics import LOWER_IS_BETTER
from evalharness.records.tasks import HumanLevel, MetricSpec, Task
from evalharness.tasks import scoring
from evalharness.tasks.fields import Fields
from evalharness.tasks.loading import load
from evalharness.tasks.templates import literal
from evalharness.tasks.wordings import TWIN_KEYS, WORDING_KEYS, check_templates, wording

MARGIN = 0.02
MARGINS = {  # defaults of primary metrics on other scales: 2 % of the scale, or .02 bits
    "bleu": 2.0,
    "chrf": 2.0,
    "chrf++": 2.0,
    "ter": 2.0,
    "brier_score": 0.04,
    "bits_per_byte": 0.02,
}
NO_SKILL = {"ter": 100.0, "bits_per_byte": 8.0}  # scores of an empty translation, and of a uniform guess of a byte
PERPLEXITIES = ("perplexity", "word_perplexity", "byte_perplexity")  # unbounded: no default margin
FAMILIES = (
    *("glue", "superglue", "mmlu", "bigbench_lite", "bbh", "general"),
    *("summarization", "translation", "nlg", "behaviour", "demo", "other"),
)
ACCURACIES = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info")
TOO_LONG: dict[str, Literal["error", "leave_out"]] = {"error": "error", "leave_out": "leave_out"}
LM_EVAL: dict[str, Literal["same", "subset", "no"]] = {"same": "same", "subset": "subset", "no": "no"}
OURS = (
    *("family", "chance", "primary", "margin", "metrics", "lm_eval", "document", "unit", "unit_name", "reader"),
    *("variant_of", "value", "choice_scores", "labels", "templates", "twin", "stop_at_once", "human"),
    "too_long",
)
OTHERS = (
    *("version", "num_fewshot", "licence", "license", "source", "citation", "homepage", "note", "notes"),
    "description",
)


def check_metadata(metadata: Fields) -> Fields:
    """Return the metadata if it is valid.

    Raises TaskError for an unknown key in a file that has one of this harness's keys; lm-eval's own files may have any
    keys.
    """
    if is_ours(metadata):
        metadata.refuse_unknown((*OURS, *OTHERS))
    return metadata


def is_ours(metadata: Fields) -> bool:
    """Return whether the file has a key that only this harness reads."""
    return any(key in metadata.values for key in OURS)


def with_metadata(task: Task, metadata: Fields) -> Task:
    """Return the task with what its metadata say about units, rows and other wordings. Raises TaskError."""
    labels, templates = metadata.part("labels"), _templates(metadata)
    for name, text in labels.values.items():
        check_templates(Fields({"doc_to_text": text}, metadata.path, f"{labels.within}.{name}"))
    return replace(
        task,
        unit_name=metadata.text_or("unit_name", "example"),
        variant_of=metadata.text("variant_of"),
        licence=metadata.text("licence") or metadata.text("license") or "",
        value=metadata.text("value"),
        choice_scores=metadata.text("choice_scores"),
        labels={name: labels.required_text(name) for name in labels.values},
        templates={name: wording(templates.part(name), WORDING_KEYS) for name in templates.values},
        twin=wording(metadata.part("twin"), TWIN_KEYS),
        too_long=TOO_LONG[metadata.one_of("too_long", TOO_LONG, "error")],
        stop_at_once=_stops_at_once(task, metadata),
        human=human(metadata, task.metrics, task.primary),
    )


def human(fields: Fields, metrics: Sequence[MetricSpec], primary: str) -> HumanLevel | None:
    """Return the score of people that the file states under `human`; None if it states none.

    It is by the primary metric unless the file names another. Raises TaskError.
    """
    if fields.values.get("human") is None:
        return None
    part = fields.part("human")
    part.refuse_unknown(("metric", "value", "source"))
    name, value, specs = part.text_or("metric", primary), part.number("value"), {spec.id: spec for spec in metrics}
    if name not in specs:
        what = f"{part.within}.metric is {name!r}, which is no metric here"
        raise TaskError(part.path, what, did_you_mean(name, specs))
    if value is None:
        raise part.wrong("value", "a number in the metric's unit")
    on_shares = not scoring.is_module(specs[name]) and specs[name].name not in scoring.OTHER_SCALES
    if on_shares and not -1 <= value <= 1:
        what = f"{part.within}.value is {value:g}"
        raise TaskError(part.path, what, f"{name} is at most 1: a share, not points")
    return HumanLevel(metric=name, value=value, source=part.required_text("source"))


def _templates(metadata: Fields) -> Fields:
    """Return the other wordings of the prompt: a mapping in the file, or a file beside it that has them for several
    tasks.
    """
    name = metadata.values.get("templates")
    if not isinstance(name, str):
        return metadata.part("templates")
    path = metadata.path.parent / name
    return Fields(load(path), path)


def _stops_at_once(task: Task, metadata: Fields) -> bool:
    as_lm_eval = not is_ours(metadata) or task.lm_eval != "no"
    return metadata.boolean("stop_at_once", as_lm_eval)


def only_describes(task: Task) -> bool:
    """Return whether the task never gets a verdict, because its primary metric is a perplexity, or a module of
    `evaluate` without rows.
    """
    primary = next(spec for spec in task.metrics if spec.id == task.primary)
    return scoring.describes(primary) or primary.name in PERPLEXITIES


def primary(metadata: Fields, metrics: Sequence[MetricSpec]) -> MetricSpec:
    """Return the primary metric, as the file names it or by the rules above. Raises TaskError."""
    able = {spec.id: spec for spec in metrics if not scoring.describes(spec)}
    name = metadata.text("primary")
    if name in able:
        return able[str(name)]
    if name is not None and any(spec.id == name for spec in metrics):
        raise TaskError(
            metadata.path,
            f"metadata.primary is {name!r}, a module of `evaluate`",
            f"it describes, unless `aggregation` and `low` or `high` say how it is tested; {did_you_mean('', able)}",
        )
    if name is not None:
        raise TaskError(
            metadata.path, f"metadata.primary is {name!r}, which is no metric of this task", did_you_mean(name, able)
        )
    if not metrics:
        raise TaskError(metadata.path, "has no metric", "metric_list names one or more")
    if is_ours(metadata):
        if not able:
            raise TaskError(
                metadata.path,
                "has no metric that can decide",
                "a module of `evaluate` only describes, unless `aggregation` and `low` or `high` say how it is tested",
            )
        return next(iter(able.values()))
    on_unit_scale = [spec for spec in able.values() if spec.name not in scoring.OTHER_SCALES]
    return next(iter((*on_unit_scale, *(spec for spec in able.values() if spec.name in MARGINS), *metrics)))


def margin(metadata: Fields, primary: MetricSpec) -> float:
    """Return the drop of the primary metric that may be tolerated, in its unit. Raises TaskError."""
    stated = metadata.number("margin")
    if stated is None:
        if scoring.is_module(primary) and not (scoring.describes(primary) or _on_unit_scale(primary)):
            raise TaskError(
                metadata.path,
                f"metadata.margin is missing: {primary.id} does not run from 0 to 1",
                "state the drop that may be tolerated",
            )
        if primary.name in scoring.OTHER_SCALES and is_ours(metadata):
            scale = scoring.OTHER_SCALES[primary.name]
            raise TaskError(
                metadata.path,
                f"metadata.margin is missing: {primary.id} runs from {scale}",
                "state the drop that may be tolerated",
            )
        return MARGINS.get(primary.name, MARGIN)
    if stated <= 0:
        raise TaskError(
            metadata.path,
            f"metadata.margin is {stated}",
            "a positive number in the primary metric's unit would be right",
        )
    return stated


def _on_unit_scale(module: MetricSpec) -> bool:
    return (module.options.get("low"), module.options.get("high")) == (0, 1)


def chance(metadata: Fields, primary: MetricSpec, choices: str | tuple[str, ...] | None) -> float | None:
    """Return the expected primary score of a model that knows nothing; None: unknown. Raises TaskError."""
    if "chance" in metadata.values:
        return metadata.number("chance")
    number = _fixed_number(choices)
    if primary.name == "brier_score":
        return 1 - 1 / (number or 2)
    if primary.name in ACCURACIES and number:
        return 1 / number
    from_zero = primary.name not in LOWER_IS_BETTER and not scoring.is_module(primary)
    return NO_SKILL.get(primary.name, 0.0 if from_zero else None)


def _fixed_number(choices: str | tuple[str, ...] | None) -> int:
    """Return the number of choices of every row, if the file fixes it: a list, or a template that is one list literal;
    else 0.
    """
    if not isinstance(choices, str):
        return len(choices or ())
    try:
        listed = literal(choices.strip())
    except ValueError:
        return 0
    return len(listed) if isinstance(listed, (list, tuple)) else 0
