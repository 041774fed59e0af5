"""`evalharness tasks`: list task definitions, show one with its prompts, check whether task files run here."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from evalharness.cli import completion
from evalharness.cli.command import CommandGroup
from evalharness.cli.explain import explain_command
from evalharness.cli.option_texts import data_source
from evalharness.cli.options import data_options, debug_option, include_option, json_option, with_options
from evalharness.cli.printing import print_json, print_line, print_lines
from evalharness.errors import TaskError
from evalharness.records.tasks import Task
from evalharness.report.text_table import aligned
from evalharness.tasks.catalogue import DefinitionKind
from evalharness.tasks.facts import facts_of
from evalharness.tasks.library import Library
from evalharness.tasks.listing import Listing, listing
from evalharness.tasks.preview import Prompt, first_prompts
from evalharness.tasks.validation import FileStatus, file_status, yaml_files

TITLES = ("task", "family", "answers by", "primary", "margin", "chance", "unit", "evaluates", "tags")
WIDEST = 40  # characters of a name in `show`


@click.group("tasks", cls=CommandGroup)
def tasks_command() -> None:
    """List, show and validate task definitions; explain scores."""


tasks_command.add_command(explain_command)


@tasks_command.command("list")
@click.argument("pattern", required=False)
@click.option("--family", help="Only tasks of this family.")
@click.option("--tag", help="Only tasks with this tag.")
@click.option("--all", "everything", is_flag=True, help="List parts and variants of tasks, too.")
@with_options(include_option, json_option, debug_option)
def list_command(**options: Any) -> None:
    """List all tasks, groups and suites, or those whose name matches PATTERN (a name or a glob such as 'mmlu_*').

    Without PATTERN and --tag, parts and variants of other tasks are left out; --all lists them.
    """
    library = Library(options["include"])
    selection = listing(library, options["pattern"], options["family"], options["tag"], options["everything"])
    if options["as_json"]:
        print_json(json.dumps(selection.document(), indent=1))
        return
    print_lines(_list_lines(selection))


def _list_lines(selection: Listing) -> Iterator[str]:
    rows = list(map(_cells, selection.tasks))
    yield from aligned([TITLES, *rows]) if rows else ()
    for group in selection.groups:
        unit = ", one gate unit" if group.unit else ""
        yield f"group {group.name}: {len(group.tasks)} tasks pooled by {group.metric}{unit}"
    for suite in selection.suites:
        limit = f", at most {suite.limit} examples each" if suite.limit else ""
        yield f"suite {suite.name}: {len(suite.tasks)} tasks{limit}"
    if selection.broken:
        yield f"{len(selection.broken)} more cannot run here; `tasks validate` says why"


def _cells(task: Task) -> tuple[str, ...]:
    margin, chance, tags = f"{task.margin:g}", "–" if task.chance is None else f"{task.chance:.3g}", " ".join(task.tags)
    scored = (task.output_type, task.primary, margin, chance, task.unit_name, task.evaluation_split)
    return (task.name, task.family, *scored, tags)


@tasks_command.command("show")
@click.argument("name", shell_complete=completion.names)
@click.option(
    "--num-fewshot",
    default=2,
    show_default=True,
    type=click.IntRange(min=0),
    help="Number of few-shot examples in the second prompt.",
)
@click.option("--split", help="Show rows of this split instead of the task's own.")
@with_options(*data_options, json_option, debug_option)
def show_command(name: str, **options: Any) -> None:
    """Show how the task, group, tag or suite NAME is asked and scored, and a task's first prompts.

    The prompts are made from the rows of --data-dir or --data; without these from the embedded world, or from a few
    invented rows.
    """
    library = Library(options["include"])
    is_suite = name in library.suites()
    if name.endswith((".yaml", ".yml")):
        kind, name = library.add(Path(name))
        is_suite = kind == DefinitionKind.SUITE
    facts, task = facts_of(library, name, is_suite)
    prompts: list[Prompt] = []
    note = ""
    if task is not None:
        source = data_source(options)
        prompts, note = first_prompts(task, options["split"], source, options["num_fewshot"])
    if options["as_json"]:
        shown_prompts = {"prompts": list(map(asdict, prompts))} if task else {}
        print_json(json.dumps({**facts, **shown_prompts, **({"note": note} if note else {})}, indent=1, default=str))
        return
    print_lines(_show_lines(facts, prompts, note))


def _show_lines(facts: Mapping[str, object], prompts: Sequence[Prompt], note: str) -> Iterator[str]:
    entries = [(key, value) for key, value in _flat(facts) if value not in (None, "", (), [], {})]
    width = min(WIDEST, max(len(key) for key, _ in entries))
    yield from (f"{key.ljust(width)}  {_text(value)}" for key, value in entries)
    for prompt in prompts:
        yield f"\n--- example {prompt.example} with {prompt.num_fewshot} shots"
        yield from prompt.lines()
    if note:
        yield f"\n{note}"


def _flat(facts: Mapping[str, object], within: str = "") -> Iterator[tuple[str, object]]:
    """Yield the facts, with nested mappings flattened into dotted keys."""
    for key, value in facts.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", value


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(item["id"] if isinstance(item, Mapping) and "id" in item else item) for item in value)
    return repr(value) if isinstance(value, str) and ("\n" in value or value != value.strip()) else str(value)


@tasks_command.command("validate")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@with_options(include_option, json_option, debug_option)
def validate_command(files: tuple[Path, ...], include: tuple[Path, ...], as_json: bool, debug: bool) -> int:
    """Check whether the task, group or suite files at PATH (files or folders) run here. Ends with 2 where one does not.

    Each file is one of: runs; needs code (it names Python code, which is never run); not supported; wrong (also where
    it claims lm-eval's results, and its settings contradict that). Rows are not read.
    """
    library = Library((*include, *(file for file in files if file.is_dir())))
    checked = [(path, *file_status(library, path)) for file in files for path in yaml_files(file)]
    counts = Counter(status for _, status, _ in checked)
    if as_json:
        document = [{"path": str(path), "standing": status, "why": why} for path, status, why in checked]
        print_json(json.dumps(document, indent=1))
    else:
        for path, status, why in checked:
            print_line(f"{path}: {status}" + (f": {why}" if why else ""))
        print_line(", ".join(f"{counts[each]} {each}" for each in FileStatus if counts[each]))
    return 0 if set(counts) == {FileStatus.RUNS} else TaskError.exit_code
