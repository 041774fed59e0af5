"""Collect the facts of a task, group, tag or suite for `tasks show`, as names and values."""

from __future__ import annotations

from dataclasses import asdict, fields

from evalharness.data.columns import in_words
from evalharness.data.published import names_of
from evalharness.records.tasks import OutputType, Suite, Task
from evalharness.tasks.library import Library

Facts = dict[str, object]

SOURCE = ("version", "family", "output_type", "source", "evaluation_split", "fewshot_split", "training_split")
SHOTS = ("num_fewshot", "sampler")
TEMPLATES = ("description", "doc_to_text", "doc_to_choice", "doc_to_target", "target_delimiter", "fewshot_delimiter")
OURS = ("document", "unit", "unit_name", "variant_of", "value", "choice_scores", "labels", "reader", "repeats")


def facts_of(library: Library, name: str, is_suite: bool) -> tuple[Facts, Task | None]:
    """Return the facts about `name`, and the task if it is one.

    If `name` is a suite and also a task, group or tag, the facts of both are returned. Raises TaskError for an unknown
    name.
    """
    suite: Facts = {"suite": suite_facts(library.suite(name))} if is_suite else {}
    if suite and not (library.is_group(name) or name in library.names() or name in library.tags()):
        return suite_facts(library.suite(name)), None
    if library.is_group(name):
        return asdict(library.group(name)) | suite, None
    tasks = library.select([name])
    if len(tasks) != 1:
        return {"stands for": [task.name for task in tasks], **suite}, None
    return {**task_facts(tasks[0]), **suite}, tasks[0]


def task_facts(task: Task) -> Facts:
    """Return what `tasks show` prints of a task: its data, prompts, metrics, margin and tags."""
    writes = task.output_type == OutputType.GENERATE_UNTIL
    ends = {key: getattr(task, key) for key in ("stop", "stop_at_once", "max_tokens") if writes}
    return {
        **{key: getattr(task, key) for key in ("name", *SOURCE, *SHOTS)},
        "dataset": "/".join(filter(None, (task.dataset_path, task.dataset_name))),
        "source": str(task.source),
        "licence": task.licence,
        "columns": in_words(names_of(task)),
        **{key: getattr(task, key) for key in (*TEMPLATES, "gen_prefix", *OURS)},
        "wordings": task.templates,
        "twin": task.twin,
        **ends,
        "filters": {name: steps for name, steps in task.filters if name != "none"},
        "metrics": [
            {"id": spec.id, "name": spec.name, "filter": spec.filter, "options": dict(spec.options)}
            for spec in task.metrics
        ],
        "primary": task.primary,
        "margin": task.margin,
        "chance": task.chance,
        "human": asdict(task.human) if task.human else None,
        "lm_eval": task.lm_eval,
        "tags": task.tags,
        "digest": task.digest,
    }


def suite_facts(suite: Suite) -> Facts:
    """Return what `tasks show` prints of a suite: its groups and tasks, margins and published average."""
    return {field.name: getattr(suite, field.name) for field in fields(suite)} | {
        "groups": [group.name for group in suite.groups],
        "margins": dict(suite.margins),
        "average": asdict(suite.average) if suite.average else None,
    }
