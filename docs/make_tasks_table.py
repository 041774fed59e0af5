"""Write docs/tasks.md: every shipped task, group and suite.

python docs/make_tasks_table.py        (tests/test_docs_tables.py holds that the committed page is what this writes)
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
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
MANY = 5  # names that are counted, not listed, from here on
LONG = 12  # a family of more tasks has one line for those that differ in nothing but name and data
EXCEPTIONS = 4  # lines that are named above a table in place of a column
NONE = "–"
HEAD = """# Tasks

Every task, group and suite that is shipped under `tasks/`, to choose what a run asks. The page is written by
`python docs/make_tasks_table.py`.

```console
$ evalharness tasks list --family glue
…
$ evalharness tasks show rte
…
```

| column | meaning |
| --- | --- |
| answers by | choosing, writing, or the likelihood of one text |
| decides, also | the primary metric gives the verdict, the others describe |
| margin | the largest acceptable drop, unless a suite says otherwise |
| chance | the primary metric of a guesser on the published rows; a run computes it from its own rows where it can |
| unit | what counts as drawn independently where several rows belong together |
| lm-eval | running this file, lm-eval 0.4.13 gives the number that decides (same), only others (subset), or none (no) |

(?) marks what could not be confirmed. What nearly all tasks of a family share stands above its table, exceptions in
brackets; works to cite stand in the task files.
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
SUITES_WORDS = """Shots are one number, or each task's own. The average is the published one, over so many entries; it
describes and never decides. `tasks show SUITE` has every task, limit and margin."""
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
        parts.append(f"## {family}\n\n{_shortened(TASKS, _lines([task for task in own if not task.variant_of]))}")
        if variants := [task for task in own if task.variant_of]:
            parts.append(_variants(variants))
    if groups := [library.group(name) for name in library.groups()]:
        parts.append(f"## Groups\n\nA group pools the rows of its tasks.\n\n{_shortened(GROUPS, map(_group, groups))}")
    suites = _table(SUITES, (_suite(library.suite(name), library) for name in library.suites()))
    parts.append(f"## Suites\n\n{SUITES_WORDS}\n\n{suites}")
    return "\n".join(parts)


def _shortened(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """The table without the columns in which nearly all lines agree; a sentence above it has them, with exceptions."""
    rows = [*lines]
    words, others = [], [0]
    for place in range(1, len(header)):
        usual = Counter(row[place] for row in rows).most_common(1)[0][0]
        exceptions = [row for row in rows if row[place] != usual]
        if len(exceptions) > min(EXCEPTIONS, (len(rows) - 1) // 2) or any("`, `" in row[0] for row in exceptions):
            others.append(place)
        elif usual or exceptions:
            but = "; ".join(f"{row[0]} {row[place] or NONE}" for row in exceptions)
            words.append(f"{header[place]} {usual or NONE}{f' ({but})' if but else ''}")
    table = _table([header[place] for place in others], [[row[place] for place in others] for row in rows])
    common = _wrapped(f"All: {'; '.join(words)}.") + "\n" if words else ""
    return common + table


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 115, break_long_words=False, break_on_hyphens=False) + "\n"


def _lines(tasks: Sequence[Task]) -> Iterable[Sequence[str]]:
    """A line for each task; in a long family one for all that are alike."""
    if len(tasks) <= LONG:
        yield from ([f"`{task.name}`", _rows(task), *_facts(task)] for task in tasks)
        return
    alike: dict[tuple[str, ...], list[Task]] = {}
    for task in tasks:
        alike.setdefault(_facts(task), []).append(task)
    for facts, members in alike.items():
        names = [task.name for task in members]
        rows = f"{members[0].dataset_path}, {members[0].evaluation_split}"
        if len(alike) == 1:
            yield [f"`{_shared(names)}*`: {len(names)} tasks", rows, *facts]
        else:
            yield [", ".join(f"`{name}`" for name in names), rows, *facts]


def _shared(names: Sequence[str]) -> str:
    """What all names begin with."""
    first, last = min(names), max(names)
    return first[
        : next((i for i, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    ]


def _facts(task: Task) -> tuple[str, ...]:
    others = ", ".join(spec.id for spec in task.metrics if spec.id != task.primary)
    unit = task.unit_name if task.unit or task.reader else ""
    numbers = (f"{task.margin:g}", NONE if task.chance is None else f"{task.chance:.3g}")
    return (
        ANSWERS[task.output_type],
        task.primary,
        others,
        *numbers,
        unit,
        _few([*task.templates]),
        task.lm_eval,
        re.sub(r"[;,] cite .*", "", task.licence),
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
    return _wrapped(f"Parts and other ways of asking (`tasks list --all`): {'; '.join(listed)}.")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < MANY else f"{len(names)}, {names[0]} … {names[-1]}"


def _few_or_number(names: Sequence[str]) -> str:
    """Short names listed; long ones, which `tasks show` has, counted."""
    return ", ".join(names) if sum(map(len, names)) < 60 else f"{len(names)} tasks"


def _group(group: Group) -> Sequence[str]:
    members = ", ".join(group.tasks) if len(group.tasks) < MANY else str(len(group.tasks))
    metric, weighs = (", ".join((group.metric, *group.also)), "each task" if group.macro else "each example")
    return f"`{group.name}`", members, metric, weighs, "yes" if group.unit else "no", f"{group.margin:g}"


def _suite(suite: Suite, library: Library) -> Sequence[str]:
    limits = "; ".join([str(suite.limit or "all"), *_each(suite.limits)])
    shots = "; ".join(["own" if suite.num_fewshot is None else str(suite.num_fewshot), *_each(suite.fewshots)])
    average = f"{suite.average.name} of {len(suite.average.over)}" if suite.average else NONE
    members, margins = ", ".join(_members(suite, library)), "; ".join(_each(suite.margins))
    return f"`{suite.name}`", members, limits, shots, margins, average


def _each(numbers: Mapping[str, float]) -> list[str]:
    """A number and the tasks that it holds for, named where they are few."""
    by_number: dict[float, list[str]] = {}
    for name, number in numbers.items():
        by_number.setdefault(number, []).append(name)
    entries = {
        number: f"{_shared(names)}*" if len(names) >= MANY and _shared(names) else _few_or_number(names)
        for number, names in by_number.items()
    }
    return [f"{number:g} for {names}" for number, names in entries.items()]


def _members(suite: Suite, library: Library) -> list[str]:
    """Tasks by name, but groups of many by the group's, and many of a long family by their number."""
    grouped = {
        task: group.name for group in suite.groups if group.unit and len(group.tasks) >= MANY for task in group.tasks
    }
    single = [library.task(name) for name in suite.tasks if name not in grouped]
    families = Counter(task.family for task in single)
    many = {task.name: f"{families[task.family]} of {task.family}" for task in single if families[task.family] > LONG}
    return list(dict.fromkeys(f"{grouped[n]} (group)" if n in grouped else many.get(n, n) for n in suite.tasks))


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', '¦') for cell in row)} |\n" for row in rows)


if __name__ == "__main__":
    PAGE.write_bytes(page(Library()).encode())
