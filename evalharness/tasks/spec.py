"""Check a task file's mapping and make a Task of it.

lm-eval's declarative keys have lm-eval's meaning. Keys that only this harness has are under `metadata`; metadata.py
reads them and has their defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from evalharness import fingerprint
from evalharness.errors import TaskError
from evalharness.records.tasks import MetricSpec, OutputType, Task
from evalharness.tasks import filters, metadata, scoring
from evalharness.tasks.fields import Fields
from evalharness.tasks.loading import Code, NeedsCode, NotSupported
from evalharness.tasks.wordings import SHOT_KEYS, check_templates, choices, prompt_keys, target, template

SAMPLERS: dict[str, Literal["seeded", "first_n", "per_example"]] = {
    "default": "seeded",
    "seeded": "seeded",
    "first_n": "first_n",
    "per_example": "per_example",
}

MOST_SHOTS = 1_000
# Keys of lm-eval's TaskConfig. CODE: always Python; PASSED_OVER: without effect here.
READ = (
    *("task", "tag", "dataset_path", "dataset_name", "dataset_kwargs", "output_type", "repeats", "unsafe_code"),
    *("training_split", "validation_split", "test_split", "fewshot_split", "fewshot_config", "num_fewshot"),
    *("doc_to_text", "doc_to_target", "doc_to_choice", "description", "target_delimiter", "fewshot_delimiter"),
    *("gen_prefix", "generation_kwargs", "filter_list", "metric_list", "metadata"),
)
CODE = ("class", "custom_dataset", "process_docs", "process_results")
MULTIMODAL = ("doc_to_image", "doc_to_audio", "use_prompt")
PASSED_OVER = (
    *("task_alias", "should_decontaminate", "doc_to_decontamination_query", "group", "group_alias", "task_list"),
    "include",
)


class TaskScoring(NamedTuple):
    """The fields of a Task that are about scores and verdicts."""

    pipelines: scoring.Pipelines
    metrics: tuple[MetricSpec, ...]
    primary: MetricSpec
    margin: float
    chance: float | None


def task_from(values: Mapping[str, Any], path: Path) -> Task:
    """Make the Task of a mapping with merged includes. Raises TaskError with the file, the key and what would be right,
    NeedsCode or NotSupported.
    """
    fields = Fields(values, path)
    _refuse_what_cannot_run(fields)
    output = OutputType(fields.one_of("output_type", tuple(OutputType), "generate_until"))
    ours, shots = metadata.check_metadata(fields.part("metadata")), fields.part("fewshot_config")
    check_templates(fields, shots, ours)
    task = metadata.with_metadata(_task(fields, ours, shots, output, _scoring(fields, ours, output)), ours)
    if filters.reads_choices(task.filters):
        task = replace(task, labels={**task.labels, filters.CHOICES_TAG: filters.CHOICES})
    return replace(task, shots=_shots(shots, task.fewshot_split), repeats=scoring.repeats(fields))


def _task(fields: Fields, ours: Fields, shots: Fields, output: OutputType, scored: TaskScoring) -> Task:
    delimiter = fields.text_or("fewshot_delimiter", "\n\n")
    most, stop = scoring.lengths_and_stops(fields, delimiter) if output == OutputType.GENERATE_UNTIL else (0, ())
    return Task(
        name=fields.required_text("task"),
        version=str(ours.values.get("version", "0")),
        family=ours.one_of("family", metadata.FAMILIES, "other"),
        output_type=output,
        source=fields.path,
        dataset_path=fields.required_text("dataset_path"),
        dataset_name=fields.text("dataset_name"),
        dataset_kwargs=fields.mapping("dataset_kwargs"),
        evaluation_split=_evaluation_split(fields),
        fewshot_split=_fewshot_split(fields, shots),
        training_split=fields.text("training_split"),
        validation_split=fields.text("validation_split"),
        doc_to_text=_doc_to_text(fields, output),
        doc_to_target=target(fields, "doc_to_target"),
        doc_to_choice=_doc_to_choice(fields, output),
        description=fields.text_or("description", ""),
        target_delimiter=fields.text_or("target_delimiter", " "),
        fewshot_delimiter=delimiter,
        gen_prefix=fields.text_or("gen_prefix", ""),
        num_fewshot=_num_fewshot(fields),
        sampler=SAMPLERS[shots.one_of("sampler", SAMPLERS, "default")],
        max_tokens=most,
        stop=stop,
        filters=scored.pipelines,
        metrics=scored.metrics,
        primary=scored.primary.id,
        margin=scored.margin,
        chance=scored.chance,
        document=ours.text("document"),
        unit=ours.text("unit"),
        reader=ours.text("reader"),
        tags=fields.texts("tag"),
        lm_eval=metadata.LM_EVAL[ours.one_of("lm_eval", metadata.LM_EVAL, "no")],
        digest=_digest(fields.values, fields.path),
    )


def _doc_to_text(fields: Fields, output: OutputType) -> str:
    if output == OutputType.LOGLIKELIHOOD_ROLLING and fields.values.get("doc_to_text") is None:
        return ""
    return template(fields, "doc_to_text")


def _num_fewshot(fields: Fields) -> int:
    number = fields.whole("num_fewshot", 0) or 0
    if number > MOST_SHOTS:
        raise fields.wrong("num_fewshot", f"a number up to {MOST_SHOTS}")
    return number


def _doc_to_choice(fields: Fields, output: OutputType) -> str | tuple[str, ...] | None:
    listed = choices(fields, "doc_to_choice")
    if output == OutputType.MULTIPLE_CHOICE and listed is None:
        raise TaskError(fields.path, "doc_to_choice is missing", "a multiple_choice task names its choices")
    return listed


def _scoring(fields: Fields, ours: Fields, output: OutputType) -> TaskScoring:
    pipelines = scoring.pipelines(fields)
    listed, more = fields.mappings("metric_list"), ours.mappings("metrics")
    default = [{"metric": name} for name in scoring.DEFAULT_METRICS[output]] if more is None else []
    entries = [*(default if listed is None else listed), *(more or [])]
    metrics = scoring.metrics(entries, [name for name, _ in pipelines], fields)
    primary = metadata.primary(ours, metrics)
    chance = metadata.chance(ours, primary, choices(fields, "doc_to_choice"))
    return TaskScoring(pipelines, metrics, primary, metadata.margin(ours, primary), chance)


def _refuse_what_cannot_run(fields: Fields) -> None:
    """Raise NeedsCode, NotSupported or, for unknown keys, TaskError. Python code is reported first."""
    for key in (*CODE, *READ):
        if key == "metadata":
            continue
        value = fields.values.get(key)
        code = next(_code_in(value), None)
        if code is not None or (key in CODE and value is not None):
            where, function = (code.where, f" ({code.description})") if code else (fields.path, "")
            raise NeedsCode(
                where,
                f"{key} {'is' if value is code or not code else 'holds'} Python code{function}, which is not run",
                "write the task with templates, or prepare its rows beforehand",
            )
    for key in MULTIMODAL:
        if fields.values.get(key) is not None:
            raise NotSupported(fields.path, f"{key} is not supported", "prompts are texts made by doc_to_text")
    if fields.values.get("unsafe_code"):
        raise NotSupported(fields.path, "unsafe_code: true asks to run what the model writes", "that is not done here")
    fields.refuse_unknown((*READ, *CODE, *MULTIMODAL, *PASSED_OVER))


def _code_in(value: Any) -> Iterator[Code]:
    if isinstance(value, Code):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _code_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from _code_in(item)


def _evaluation_split(fields: Fields) -> str:
    split = fields.text("test_split") or fields.text("validation_split")
    if not split:
        raise TaskError(fields.path, "names no split to evaluate", "test_split or validation_split would be right")
    return split


def _fewshot_split(fields: Fields, shots: Fields) -> str | None:
    """Return the split of shots: the stated one, else training, validation or test; None if the file lists
    the shots.
    """
    split = shots.text("split") or fields.text("fewshot_split")
    if split or shots.values.get("samples") is not None:
        return split
    return fields.text("training_split") or fields.text("validation_split") or fields.text("test_split")


def _shots(shots: Fields, split: str | None) -> dict[str, Any]:
    """Return the keys of `fewshot_config` for shots: rows listed in the file, and templates that differ from the
    task's.
    """
    shots.refuse_unknown(("sampler", "split", "samples", "process_docs", "fewshot_indices", *SHOT_KEYS))
    if shots.values.get("process_docs") is not None:
        raise shots.wrong("process_docs", "a split whose rows need no change")
    samples, changes = shots.mappings("samples"), prompt_keys(shots, SHOT_KEYS)
    return changes if samples is None or split is not None else {"samples": tuple(samples), **changes}


def _digest(values: Mapping[str, Any], path: Path) -> str:
    try:
        return fingerprint.of_value(_plain(values))
    except (TypeError, ValueError) as error:
        raise TaskError(
            path, f"holds a value that is no text, number, list or mapping ({error})", "write it in quotes"
        ) from None


def _plain(value: Any) -> Any:
    """Return the value as JSON. Python code in keys without effect still belongs to the definition."""
    if isinstance(value, Code):
        return ["!function", value.function]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
