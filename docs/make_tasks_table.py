"""Write docs/tasks.md: every shipped task, group and suite.

python docs/make_tasks_table.py        (tests/test_docs_tables.py holds that the committed page is what this writes)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evalharness.records.tasks import Group, Suite, Task
from evalharness.tasks.library import Library
from evalharness.tasks.metadata import FAMILIES

PAGE = Path(__file__).resolve().parent / "tasks.md"
ANSWERS = {
    "multiple_choice": "choices",
    "loglikelihood": "one text",
    "loglikelihood_rolling": "whole text",
    "generate_until": "writing",
}
MANY = 5  # tasks that differ in nothing but their name and data are one line from here on
HEAD = """# Tasks

What is shipped under `tasks/`, written by `python docs/make_tasks_table.py` from the task files.
`evalharness tasks show NAME` says more of each.

**decides**: the primary metric, which gives the verdict; the others describe. **margin**: the largest drop that is
acceptable, where a suite does not say otherwise. **chance**: the primary metric of a model that guesses, on the
published rows; a run takes it from the very rows asked where that can be done. **unit**: what counts as drawn
independently, where several rows belong together. **lm-eval**: does lm-eval 0.4.13, running this very file, give the
number that decides (same), only others (subset), or none (no)? (?) marks what could not be confirmed.
"""
TASKS = (
    "task",
    "rows",
    "answers by",
    "decides",
    "also",
    "margin",
    "chance",
    "unit",
    "other wordings",
    "lm-eval",
    "licence",
)
GROUPS = ("group", "tasks", "metric", "weighs", "one gate unit", "margin")
SUITES = ("suite", "tasks", "examples a task", "shots", "margins of its own", "average")


def page(library: Library) -> str:
    """The whole page as Markdown."""
    tasks = [library.task(name) for name in library.names()]
    parts = [HEAD]
    for family in FAMILIES:
        own = [task for task in tasks if task.family == family]
        if not own:
            continue
        parts.append(f"## {family}\n\n{_table(TASKS, _lines([task for task in own if not task.variant_of]))}")
        if variants := [task for task in own if task.variant_of]:
            parts.append(_variants(variants))
    if groups := [library.group(name) for name in library.groups()]:
        parts.append(f"## Groups\n\nRows of their tasks are pooled.\n\n{_table(GROUPS, map(_group, groups))}")
    suites = _table(SUITES, (_suite(library.suite(name)) for name in library.suites()))
    average = "**average**: the published average, of so many entries, which describes and never decides."
    parts.append(f"## Suites\n\n{average}\n\n{suites}")
    return "\n".join(parts)


def _lines(tasks: Sequence[Task]) -> Iterable[Sequence[str]]:
    """A line for each task, or one for many that are alike."""
    alike: dict[tuple[str, ...], list[Task]] = {}
    for task in tasks:
        alike.setdefault((task.dataset_path, *_facts(task)), []).append(task)
    for (_, *facts), members in alike.items():
        if len(members) < MANY:
            yield from ([f"`{task.name}`", _rows(task), *facts] for task in members)
        else:
            name = f"`{_shared([task.name for task in members])}*`: {len(members)} tasks"
            yield [name, f"{members[0].dataset_path}, {members[0].evaluation_split}", *facts]


def _shared(names: Sequence[str]) -> str:
    """What all names begin with."""
    first, last = min(names), max(names)
    return first[
        : next((i for i, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    ]


def _facts(task: Task) -> tuple[str, ...]:
    others = ", ".join(spec.id for spec in task.metrics if spec.id != task.primary)
    unit = task.unit_name if task.unit or task.reader else ""
    numbers = (f"{task.margin:g}", "–" if task.chance is None else f"{task.chance:.3g}")
    return (
        ANSWERS[task.output_type],
        task.primary,
        others,
        *numbers,
        unit,
        ", ".join(task.templates),
        task.lm_eval,
        task.licence,
    )


def _rows(task: Task) -> str:
    return f"{'/'.join(part for part in (task.dataset_path, task.dataset_name) if part)}, {task.evaluation_split}"


def _variants(tasks: Sequence[Task]) -> str:
    """Parts of tasks and other ways of asking them, by name only; an ending that several share once."""
    by_ending: dict[str, list[str]] = {}
    by_parent: dict[str, list[str]] = {}
    for task in tasks:
        by_ending.setdefault(task.name.removeprefix(str(task.variant_of)), []).append(str(task.variant_of))
    shared = {ending: parents for ending, parents in by_ending.items() if len(parents) > 1}
    for task in tasks:
        if task.name.removeprefix(str(task.variant_of)) not in shared:
            by_parent.setdefault(str(task.variant_of), []).append(task.name)
    listed = [f"with the ending `{ending}` {_few(parents)}" for ending, parents in shared.items()]
    listed += [f"of `{parent}` {_few(names)}" for parent, names in by_parent.items()]
    return f"Parts and other ways of asking (`tasks list --all`): {'; '.join(listed)}.\n"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < MANY else f"{len(names)}, {names[0]} … {names[-1]}"


def _group(group: Group) -> Sequence[str]:
    members = ", ".join(group.tasks) if len(group.tasks) < MANY else str(len(group.tasks))
    metric, weighs = (
        ", ".join((group.metric, *group.also)),
        "each task the same" if group.macro else "each example the same",
    )
    return f"`{group.name}`", members, metric, weighs, "yes" if group.unit else "no", f"{group.margin:g}"


def _suite(suite: Suite) -> Sequence[str]:
    limits = "; ".join([str(suite.limit or "all"), *_each(suite.limits)])
    shots = "; ".join(
        ["each task's own" if suite.num_fewshot is None else str(suite.num_fewshot), *_each(suite.fewshots)]
    )
    average = f"{suite.average.name} of {len(suite.average.over)}" if suite.average else "–"
    return (f"`{suite.name}`", ", ".join(_members(suite)), limits, shots, "; ".join(_each(suite.margins)), average)


def _each(numbers: Mapping[str, float]) -> list[str]:
    """A number and the tasks that it holds for, named where they are few."""
    by_number: dict[float, list[str]] = {}
    for name, number in numbers.items():
        by_number.setdefault(number, []).append(name)
    shown = {
        number: f"{_shared(names)}*" if len(names) >= MANY and _shared(names) else ", ".join(names)
        for number, names in by_number.items()
    }
    return [f"{number:g} for {names}" for number, names in shown.items()]


def _members(suite: Suite) -> list[str]:
    """Tasks by name, but groups of many by the group's."""
    grouped = {
        task: group.name for group in suite.groups if group.unit and len(group.tasks) >= MANY for task in group.tasks
    }
    return list(dict.fromkeys(f"{grouped[task]} (group)" if task in grouped else task for task in suite.tasks))


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', '¦') for cell in row)} |\n" for row in rows)


if __name__ == "__main__":
    PAGE.write_bytes(page(Library()).encode())
