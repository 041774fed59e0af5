"""Check `metric_list`, `filter_list` and `generation_kwargs` of a task file: metric specs, filter pipelines, limits.

The id of a metric is its name, then ",stemmer" if it stems, ",precision" or ",recall" if ROUGE is not F1, ",macro" or
",micro" for such an average of F1, ",mean" for the mean over references, and ",NAME" of the filter pipeline unless that
is "none".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalharness import registry
from evalharness.errors import TaskError, did_you_mean
from evalharness.metrics import REGISTRY
from evalharness.metrics.evaluate_rows import JACKKNIFE, MEAN, has_rows
from evalharness.records.tasks import MetricSpec, OutputType
from evalharness.tasks import filters
from evalharness.tasks.fields import Fields
from evalharness.tasks.loading import NeedsCode, NotSupported

Pipelines = tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...]

WAYS = (MEAN, JACKKNIFE)  # ways to test a module of `evaluate`
MAX_TOKENS = 256  # lm-eval's default
MOST_REPEATS = 10_000
MOST_TOKENS = 1_000_000  # of one answer
MOST_STOPS, LONGEST_STOP = 1_000, 10_000
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # by lm-eval's priority
NO_FILTER: Pipelines = (("none", ({"function": "take_first"},)),)
DEFAULT_METRICS = {  # lm-eval's
    OutputType.MULTIPLE_CHOICE: ("acc", "acc_norm"),
    OutputType.LOGLIKELIHOOD: ("perplexity", "acc"),
    OutputType.LOGLIKELIHOOD_ROLLING: ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    OutputType.GENERATE_UNTIL: ("exact_match",),
}
OTHER_SCALES = {
    **dict.fromkeys(("bleu", "chrf", "chrf++"), "0 to 100"),
    **dict.fromkeys(("perplexity", "word_perplexity", "byte_perplexity"), "1 and up"),
    **dict.fromkeys(("ter", "nist", "bits_per_byte"), "0 and up"),
    "brier_score": "0 to 2",
    "cider": "0 to 10",
}
ELSEWHERE = {  # metrics of lm-eval that this harness does not compute, and why
    "likelihood": "lm-eval cannot aggregate it either: its rows are pairs, and their mean is asked for",
    "bypass": "it is no metric, but lm-eval's way to keep answers without a score",
    "acc_all": "lm-eval has it for code only; em_all is the same of a multiple_choice task whose unit is the question",
}


def pipelines(fields: Fields) -> Pipelines:
    """Return the checked filter pipelines; NO_FILTER if the file has none."""
    listed = fields.mappings("filter_list")
    if listed is None:
        return NO_FILTER
    by_name: dict[str, tuple[Mapping[str, Any], ...]] = {}
    for number, item in enumerate(listed):
        entry = Fields(item, fields.path, f"filter_list[{number}]")
        entry.refuse_unknown(("name", "filter"))
        name = entry.required_text("name")
        steps = entry.mappings("filter") or []
        _check_steps(steps, f"{fields.path}: filter {name!r}", repeats(fields))
        if name in by_name:
            raise TaskError(fields.path, f"the filter {name!r} appears twice", "give each pipeline its own name")
        by_name[name] = tuple(steps)
    if not by_name:
        raise TaskError(fields.path, "filter_list is empty", "leave it out, or name a pipeline")
    return tuple(by_name.items())


def repeats(fields: Fields) -> int:
    """Return how many times lm-eval generates each answer. Here it is generated once, greedily, and filters get that
    many copies. Raises TaskError.
    """
    number = fields.whole("repeats", 1) or 1
    if number > MOST_REPEATS:
        raise TaskError(fields.path, f"repeats is {number}", f"a whole number from 1 to {MOST_REPEATS} would be right")
    return number


def metrics(listed: Sequence[Mapping[str, Any]], pipes: Sequence[str], fields: Fields) -> tuple[MetricSpec, ...]:
    """Return one spec per metric and filter pipeline. Raises TaskError for an unknown metric, or two with the
    same id.
    """
    specs: dict[str, MetricSpec] = {}
    for entry in listed:
        name = entry.get("metric")
        if not isinstance(name, str) or not name:
            raise TaskError(
                fields.path, f"an entry of metric_list has the metric {name!r}", "each entry names one: `- metric: acc`"
            )
        options = {key: value for key, value in entry.items() if key not in ("metric", "weight_by_size")}
        _check_name(name, options, fields)
        local = fields.path.parent / name
        if "/" in name and local.exists():
            name = str(local.resolve())
        for pipe in pipes:
            spec = MetricSpec(id=_id(entry["metric"], options, pipe), name=name, options=options, filter=pipe)
            if spec.id in specs:
                raise TaskError(fields.path, f"the metric {spec.id!r} appears twice", "keep one of them")
            if is_module(spec):
                _check_module(spec, fields)
            specs[spec.id] = spec
    return tuple(specs.values())


def _check_module(spec: MetricSpec, fields: Fields) -> None:
    """Raise TaskError for a module with an invalid range or an unknown way of testing."""
    ends = {key: spec.options[key] for key in ("low", "high") if key in spec.options}
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends.values())
    if not numbers or (len(ends) == 2 and not ends["low"] < ends["high"]):
        stated = ", ".join(f"{key} is {end!r}" for key, end in ends.items())
        raise TaskError(fields.path, f"metric {spec.id}: {stated}", "two numbers, low the smaller one, would be right")
    way = spec.options.get("aggregation")
    if ends and way not in (None, *WAYS):  # without a range it is lm-eval's file, and only describes
        raise TaskError(fields.path, f"metric {spec.id}: aggregation is {way!r}", did_you_mean(str(way), WAYS))


def is_module(spec: MetricSpec) -> bool:
    """Return whether the metric is a module of the `evaluate` library."""
    return bool(spec.options.get("hf_evaluate")) or "/" in spec.name


def describes(spec: MetricSpec) -> bool:
    """Return whether the metric is a module of the `evaluate` library that gives one number for all answers. Such a
    number cannot be tested.
    """
    return is_module(spec) and not has_rows(spec.options)


def lengths_and_stops(fields: Fields, fewshot_delimiter: str) -> tuple[int, tuple[str, ...]]:
    """Return the largest number of new tokens and the stop strings of a task whose answers are generated.

    Sampling is refused, because base and candidate must be decoded in the same way, greedily.
    """
    options = fields.part("generation_kwargs")
    options.refuse_unknown((*LENGTHS, "until", "do_sample", "temperature", "top_p", "top_k", "num_beams"))
    hot = (options.number("temperature") or 0.0) > 0 and "do_sample" not in options.values
    if options.boolean("do_sample") or hot:
        raise NotSupported(
            fields.path,
            "generation_kwargs ask for sampling",
            "answers are decoded greedily: do_sample: false, temperature: 0",
        )
    if (options.whole("num_beams", 1) or 1) > 1:
        raise NotSupported(
            fields.path, "generation_kwargs ask for beam search", "answers are decoded greedily: num_beams: 1"
        )
    lengths = (options.whole(key, 1) for key in LENGTHS)
    most = next((length for length in lengths if length is not None), MAX_TOKENS)
    if most > MOST_TOKENS:
        raise options.wrong(next(key for key in LENGTHS if key in options.values), f"a number up to {MOST_TOKENS}")
    stops = options.texts("until") if options.values.get("until") is not None else (fewshot_delimiter,)
    if len(stops) > MOST_STOPS or any(len(stop) > LONGEST_STOP for stop in stops):
        raise options.wrong("until", f"up to {MOST_STOPS} texts of up to {LONGEST_STOP} characters")
    return most, tuple(filter(None, stops))


def _check_steps(steps: Sequence[Mapping[str, Any]], where: str, repeats: int) -> None:
    try:
        filters.check(steps, where, repeats)
    except TaskError as error:
        names = {step.get("function") for step in steps}
        if names & set(filters.REFUSED):
            raise (NeedsCode if "custom" in names else NotSupported)(error.where, error.what, error.fix) from None
        raise


def _check_name(name: str, options: Mapping[str, Any], fields: Fields) -> None:
    names = set(registry.names(REGISTRY, "metric")) - {"evaluate"}
    is_evaluates = options.get("hf_evaluate", False)
    if not isinstance(is_evaluates, bool):
        raise TaskError(
            fields.path, f"hf_evaluate of the metric {name!r} is {is_evaluates!r}", "true or false would be right"
        )
    if is_evaluates or "/" in name or name in names:
        return
    if name in ELSEWHERE:
        raise NotSupported(
            fields.path,
            f"the metric {name!r} is not computed here: {ELSEWHERE[name]}",
            f"known: {', '.join(sorted(names))}",
        )
    raise TaskError(
        fields.path,
        f"unknown metric {name!r}",
        f"{did_you_mean(name, names)} (a module of `evaluate` needs `hf_evaluate: true`)",
    )


def _id(name: str, options: Mapping[str, Any], pipe: str) -> str:
    average = options.get("average", "binary") if name == "f1" else "binary"
    parts = (
        ("stemmer", options.get("use_stemmer") is True),
        (str(options.get("stat")), options.get("stat", "f1") != "f1"),
        (str(average), average != "binary"),
        ("mean", options.get("references") == "mean"),
        (pipe, pipe != "none"),
    )
    return ",".join([name, *(part for part, applies in parts if applies)])
