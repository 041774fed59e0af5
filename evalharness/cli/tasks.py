"""`evalharness tasks`: which tasks there are, what one asks, and whether a task file runs here."""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import click

from evalharness.cli.options import data_options, debug_option, paths, with_options
from evalharness.cli.prompts import first_prompts, prompt_lines
from evalharness.data.grouping import reader_of
from evalharness.data.sources import DataSource
from evalharness.errors import EvalHarnessError, TaskError, did_you_mean
from evalharness.metrics.base import build, check_asked
from evalharness.records.tasks import OutputType, Suite, Task
from evalharness.report.escape import plain
from evalharness.report.text_table import aligned
from evalharness.tasks.claims import contradiction
from evalharness.tasks.library import Library
from evalharness.tasks.loading import NeedsCode, NotSupported
from evalharness.tasks.scoring import is_module

Found = TypeVar("Found")
Standing = Literal["runs", "needs code", "not supported", "wrong"]

COLUMNS = ("task", "family", "answers by", "primary", "margin", "chance", "unit", "evaluates", "tags")
SHOWN = (
    "version",
    "family",
    "output_type",
    "source",
    "evaluation_split",
    "fewshot_split",
    "training_split",
    "num_fewshot",
    "sampler",
)
TEMPLATES = (
    "description",
    "doc_to_text",
    "doc_to_choice",
    "doc_to_target",
    "target_delimiter",
    "fewshot_delimiter",
    "gen_prefix",
)
OURS = ("document", "unit", "unit_name", "variant_of", "value", "choice_scores", "labels", "reader", "repeats")


@click.group("tasks")
def tasks_command() -> None:
    """List, show and validate task definitions."""


@tasks_command.command("list")
@click.argument("pattern", required=False)
@click.option("--family", help="Only tasks of this family.")
@click.option("--tag", help="Only tasks with this tag.")
@click.option("--all", "everything", is_flag=True, help="Parts of tasks and other ways of asking them, too.")
@click.option(
    "--include-path", "include", multiple=True, type=click.Path(path_type=Path), help="Folder with more task files."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@debug_option
def list_command(pattern: str | None, **given: Any) -> None:
    """All tasks, groups and suites, or those whose name matches PATTERN (a name or a glob such as 'mmlu_*').

    Without PATTERN and --tag, tasks that are a part of another, or another way of asking it, are left out; --all shows
    them.
    """
    family, tag = given["family"], given["tag"]
    library = Library(given["include"])
    broken: dict[str, TaskError] = {}
    tasks = _readable(library.task, _matching(library.names(), pattern), broken)
    if pattern is None and tag is None and not given["everything"]:
        tasks = [task for task in tasks if task.variant_of is None]
    tasks = [task for task in tasks if family in (None, task.family) and (tag is None or tag in task.tags)]
    groups = [] if family or tag else _readable(library.group, _matching(library.groups(), pattern), broken)
    suites = [] if family or tag else _readable(library.suite, _matching(library.suites(), pattern), broken)
    if not (tasks or groups or suites):
        if broken and not (family or tag):
            raise next(iter(broken.values()))
        _nothing(library, pattern, family, tag)
    if given["as_json"]:
        found = {
            "tasks": [_line(task) for task in tasks],
            "groups": [
                {"name": group.name, "tasks": group.tasks, "metric": group.metric, "unit": group.unit}
                for group in groups
            ],
            "suites": [{"name": suite.name, "tasks": suite.tasks} for suite in suites],
            "cannot run": {name: str(error) for name, error in broken.items()},
        }
        click.echo(json.dumps(found, indent=1))
        return
    rows = [
        (
            t.name,
            t.family,
            t.output_type,
            t.primary,
            f"{t.margin:g}",
            f"{t.chance:.3g}",
            t.unit_name,
            t.evaluation_split,
            " ".join(t.tags),
        )
        for t in tasks
    ]
    for line in aligned([[plain(cell) for cell in row] for row in (COLUMNS, *rows)] if rows else []):
        click.echo(line)
    for group in groups:
        click.echo(
            plain(
                f"group {group.name}: {len(group.tasks)} tasks pooled by {group.metric}{', one gate unit' if group.unit else ''}"
            )
        )
    for suite in suites:
        click.echo(
            plain(
                f"suite {suite.name}: {len(suite.tasks)} tasks{f', at most {suite.limit} examples each' if suite.limit else ''}"
            )
        )
    if broken:
        click.echo(f"{len(broken)} more cannot run here; `tasks validate` says why")


@tasks_command.command("show")
@click.argument("name")
@click.option(
    "--num-fewshot",
    default=2,
    show_default=True,
    type=click.IntRange(min=0),
    help="Shots of the second prompt that is shown.",
)
@click.option("--split", help="Show rows of this split instead of the task's own.")
@with_options(*data_options)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@debug_option
def show_command(name: str, **given: Any) -> None:
    """What the task, group, tag or suite NAME asks and how it is scored, and a task's first prompts where rows are in a
    file.

    The rows are those of --data-dir or --data, else of the embedded world, else a few invented ones.
    """
    library = Library(given["include"])
    if name.endswith((".yaml", ".yml")):
        kind, name = library.add(Path(name))
    else:
        kind = "suite" if name in library.suites() else "task"
    suite = {"suite": _suite_facts(library.suite(name))} if kind == "suite" else {}
    if suite and not (library.is_group(name) or name in library.names() or name in library.tags()):
        _show(suite["suite"], given["as_json"])
    elif library.is_group(name):
        group = library.group(name)
        _show({field.name: getattr(group, field.name) for field in fields(group)} | suite, given["as_json"])
    elif len(selected := library.select([name])) != 1:
        _show({"stands for": [task.name for task in selected], **suite}, given["as_json"])
    else:
        source = DataSource(given["data_dir"], paths("--data", given["data"]))
        prompts, note = first_prompts(selected[0], given["split"], source, given["num_fewshot"])
        _show(_facts(selected[0]) | suite | {"prompts": prompts} | ({"note": note} if note else {}), given["as_json"])


@tasks_command.command("validate")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option(
    "--include-path", "include", multiple=True, type=click.Path(path_type=Path), help="Folder with more task files."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@debug_option
def validate_command(files: tuple[Path, ...], include: tuple[Path, ...], as_json: bool, debug: bool) -> int:
    """Do the task, group or suite files at PATH (files or folders) run here? Ends with 2 where one does not.

    Each is one of: runs; needs code (asks for Python, which is not run); not supported; wrong (also where it says that
    lm-eval computes the same and what it asks for contradicts that). Rows are not read.
    """
    library = Library((*include, *(file for file in files if file.is_dir())))
    found = [(path, *standing(library, path)) for file in files for path in _yaml_files(file)]
    counts = Counter(standing for _, standing, _ in found)
    if as_json:
        click.echo(
            json.dumps(
                [{"path": str(path), "standing": standing, "why": why} for path, standing, why in found], indent=1
            )
        )
    else:
        for path, its_standing, why in found:
            click.echo(plain(f"{path}: {its_standing}" + (f": {why}" if why else "")))
        click.echo(", ".join(f"{counts[each]} {each}" for each in get_args(Standing) if counts[each]))
    return 0 if set(counts) == {"runs"} else TaskError.exit_code


def standing(library: Library, path: Path) -> tuple[Standing, str]:
    """Whether a file runs, and why not; of one that runs, what it needs beside its rows."""
    try:
        kind, name = library.add(path)
        if kind == "suite":
            library.suite(name)
        elif kind == "group":
            library.group(name)
        else:
            return "runs", _runs(library.task(name), library.definition(name))
    except NeedsCode as error:
        return "needs code", str(error)
    except NotSupported as error:
        return "not supported", str(error)
    except EvalHarnessError as error:
        return "wrong", str(error)
    return "runs", ""


def _runs(task: Task, definition: Mapping[str, Any]) -> str:
    """Builds what a task is scored by. Modules of `evaluate` are foreign code, and may be far away: they are only
    named. Raises TaskError.
    """
    modules = [spec.name for spec in task.metrics if is_module(spec)]
    for spec in task.metrics:
        if not is_module(spec):
            build(spec)
            check_asked(spec, task.output_type)
    reader_of(task)
    if why := contradiction(task, definition):
        fix = (
            "subset (other metrics of it are the same) or no would be right"
            if task.lm_eval == "same"
            else "no would be right"
        )
        raise TaskError(task.source, f"metadata.lm_eval is {task.lm_eval}, but {why}", fix)
    return f"with {', '.join(modules)} of `evaluate`" if modules else ""


def _yaml_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob("*.yaml"))
    if not found:
        raise TaskError(path, "holds no .yaml file", "a task file, or a folder of them, would be right")
    return found


def _matching(names: Sequence[str], pattern: str | None) -> list[str]:
    return [name for name in names if pattern is None or fnmatch.fnmatchcase(name, pattern)]


def _readable(read: Callable[[str], Found], names: Sequence[str], broken: dict[str, TaskError]) -> list[Found]:
    """What can run of these names; why the others cannot goes into `broken`."""
    found: list[Found] = []
    for name in names:
        try:
            found.append(read(name))
        except TaskError as error:
            broken[name] = error
    return found


def _nothing(library: Library, pattern: str | None, family: str | None, tag: str | None) -> None:
    if tag and tag not in library.tags():
        raise TaskError("--tag", f"no task has the tag {tag!r}", did_you_mean(tag, library.tags()))
    families = {task.family for task in _readable(library.task, library.names(), {})}
    if family and family not in families:
        raise TaskError("--family", f"no task is of the family {family!r}", did_you_mean(family, families))
    known = [*library.names(), *library.groups(), *library.suites()]
    raise TaskError("tasks list", f"nothing matches {pattern or ''!r}", did_you_mean(str(pattern), known))


def _line(task: Task) -> dict[str, Any]:
    """A task as `list --json` has it."""
    return {
        "task": task.name,
        "family": task.family,
        "output_type": task.output_type,
        "primary": task.primary,
        "metrics": [spec.id for spec in task.metrics],
        "chance": task.chance,
        "unit": task.unit_name,
        "margin": task.margin,
        "source": str(task.source),
        "lm_eval": task.lm_eval,
        "variant_of": task.variant_of,
        "licence": task.licence,
        "tags": task.tags,
    }


def _facts(task: Task) -> dict[str, Any]:
    """A task as `show` has it."""
    facts = {key: getattr(task, key) for key in ("name", *SHOWN)}
    data = {
        "dataset": "/".join(filter(None, (task.dataset_path, task.dataset_name))),
        "source": str(task.source),
        "licence": task.licence,
    }
    metrics = [
        {"id": spec.id, "name": spec.name, "filter": spec.filter, "options": dict(spec.options)}
        for spec in task.metrics
    ]
    filters = {name: steps for name, steps in task.filters if name != "none"}
    scored = {
        "filters": filters,
        "metrics": metrics,
        "primary": task.primary,
        "margin": task.margin,
        "chance": task.chance,
        "lm_eval": task.lm_eval,
    }
    asked = {key: getattr(task, key) for key in (*TEMPLATES, *OURS)} | {"wordings": task.templates, "twin": task.twin}
    ends = {"stop": task.stop, "max_tokens": task.max_tokens} if task.output_type == OutputType.GENERATE_UNTIL else {}
    return {**facts, **data, **asked, **ends, **scored, "tags": task.tags, "digest": task.digest}


def _suite_facts(suite: Suite) -> dict[str, Any]:
    facts = {field.name: getattr(suite, field.name) for field in fields(suite)}
    average = asdict(suite.average) if suite.average else None
    return facts | {
        "groups": [group.name for group in suite.groups],
        "margins": dict(suite.margins),
        "average": average,
    }


def _show(facts: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts, indent=1, default=str))
        return
    prompts = facts.get("prompts", [])
    shown = [
        (key, value)
        for key, value in _flat(facts)
        if not key.startswith(("prompts", "note")) and value not in (None, "", (), [], {})
    ]
    width = min(40, max(len(key) for key, _ in shown))
    for key, value in shown:
        click.echo(plain(f"{key.ljust(width)}  {_said(value)}"))
    for prompt in prompts:
        click.echo(f"\n--- example {prompt['example']} with {prompt['num_fewshot']} shots")
        for line in prompt_lines(prompt):
            click.echo(plain(line))
    if facts.get("note"):
        click.echo(plain(f"\n{facts['note']}"))


def _flat(facts: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Mappings inside as keys with dots."""
    for key, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", value


def _said(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_said(item["id"] if isinstance(item, Mapping) and "id" in item else item) for item in value)
    return repr(value) if isinstance(value, str) and ("\n" in value or value != value.strip()) else str(value)
