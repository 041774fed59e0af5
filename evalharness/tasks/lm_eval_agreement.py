"""Check a task's statement that lm-eval 0.4.13 computes the same number from this file."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import dropwhile
from typing import Any

from evalharness.records.tasks import MetricSpec, OutputType, Task
from evalharness.tasks import scoring

COMPUTED = {  # metrics that lm-eval computes for a task without code; others are missing, or modules of `evaluate`
    OutputType.MULTIPLE_CHOICE: (
        *("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "f1", "mcc", "brier_score"),
    ),
    OutputType.LOGLIKELIHOOD: ("acc", "perplexity"),
    OutputType.LOGLIKELIHOOD_ROLLING: ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    OutputType.GENERATE_UNTIL: ("exact_match", "bleu", "chrf", "chrf++", "ter"),
}
READ = {  # options that lm-eval reads, or (classes of mcc) that change nothing there
    "exact_match": ("ignore_case", "ignore_punctuation", "ignore_numbers", "regexes_to_ignore"),
    "mcc": ("classes",),
}
NEUTRAL = ("aggregation", "higher_is_better")
OUR_FILTER = "written_choice"
PER_ROW = ("bleu", "chrf", "chrf++", "ter")  # with several references lm-eval only tests whether any score is not 0


def contradiction(task: Task, definition: Mapping[str, Any]) -> str:
    """Return why lm-eval cannot compute the number that the task states; "" if nothing contradicts the statement.

    The statement `same` is about the primary metric, `subset` about any metric of the file's `metric_list`; `no`
    states nothing.
    """
    if task.lm_eval == "no":
        return ""
    listed = _listed(task, definition)
    if task.lm_eval == "subset":
        some = any(not _not_computed(task, spec) for spec in listed)
        return "" if some else "lm-eval computes no metric of its metric_list"
    primary = next(spec for spec in task.metrics if spec.id == task.primary)
    if primary not in listed:
        return f"its primary metric {primary.id} is under metadata, where lm-eval does not look"
    return _not_computed(task, primary) or _other_requests(task)


def _listed(task: Task, definition: Mapping[str, Any]) -> list[MetricSpec]:
    """Return the metrics that lm-eval computes: those of `metric_list`, or its defaults."""
    entries = definition.get("metric_list")
    theirs = scoring.DEFAULT_METRICS[task.output_type] if entries is None else [each.get("metric") for each in entries]
    ours = (definition.get("metadata") or {}).get("metrics") or ()
    only_ours = {str(entry.get("metric")) for entry in ours} - set(map(str, theirs))
    return [spec for spec in task.metrics if spec.name not in only_ours]


def _not_computed(task: Task, spec: MetricSpec) -> str:
    if scoring.is_module(spec):
        return ""
    if spec.name not in COMPUTED[task.output_type]:
        return f"lm-eval does not compute {spec.name} of a {task.output_type} task"
    if unread := [key for key in spec.options if key not in (*NEUTRAL, *READ.get(spec.name, ()))]:
        return f"lm-eval does not read the option {unread[0]} of {spec.name}"
    if spec.name in PER_ROW and isinstance(task.doc_to_target, tuple) and len(task.doc_to_target) > 1:
        return f"lm-eval computes {spec.name} with one reference only"
    return ""


def _other_requests(task: Task) -> str:
    """Return why the same file gives other prompts, rows or answers in lm-eval; "" if it does not."""
    if task.reader:
        return f"its rows are made by the reader {task.reader}, which lm-eval does not have"
    if task.num_fewshot and task.sampler != "first_n":
        return f"its {task.num_fewshot} shots are drawn, and lm-eval draws others"
    if not task.stop_at_once and any(stop.isspace() for stop in task.stop):
        return "white space does not end its answers before their first word (stop_at_once), as it does in lm-eval"
    for name, steps in task.filters:
        functions = [str(step["function"]) for step in steps]
        if OUR_FILTER in functions:
            return f"its filter {name} uses {OUR_FILTER}, which lm-eval does not have"
        late = [each for each in dropwhile(lambda each: each != "take_first", functions) if each != "take_first"]
        if late:
            return f"in its filter {name}, {late[0]} comes after take_first, where lm-eval sees single letters"
    return ""
