"""Disturb the texts of a row with typos, case, spacing, another dialect or other names. Choices and answer do not
change.

    typos    one in twenty words of four letters or more, and at least one: two letters swapped, one left out or one
             doubled
    case     lower case
    spacing  a space between two words becomes one, two or three
    dialect  every word of a list is replaced by one of another dialect
    names    every first name of a list becomes another, the same one throughout the row

The idea is HELM's robustness and fairness (Liang et al. 2022, arXiv 2211.09110), whose disturbances come from
NL-Augmenter (Dhole et al. 2021, arXiv 2112.02721); the rates of the first three are ours. Draws depend on seed, task,
disturbance and row alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial

from jinja2 import meta, nodes

from evalharness.data.files import DataRow
from evalharness.records.tasks import Task
from evalharness.tasks.prompts import Renderer
from evalharness.tasks.shots import generator
from evalharness.tasks.templates import ENVIRONMENT, TemplateProblem

TYPO_RATE = 0.05  # of the words that are long enough
WIDEST = 3  # spaces
UNITS = {"typos": r"[^\W\d_]{4,}", "case": r"\w+", "spacing": r"(?<=\S) (?=\S)"}  # patterns of the changed pieces
REPLACING = ("dialect", "names")  # the disturbances whose pieces are the words of a list
Change = Callable[[str, random.Random], str]
KEPT = r"@\w+|^[ \t]*choice:"  # placeholders, and the word before a listed choice
PLACES = re.compile(r"(^|_)(start|end|span|offset)s?\d*(_|$)")  # columns that point into a text


def perturb_row(renderer: Renderer, index: int, row: DataRow, seed: int) -> DataRow:
    """Return row `index` with its texts disturbed as the task says; the row itself if the task has no disturbance.
    Raises TemplateProblem if a template cannot be rendered.
    """
    task = renderer.task
    if task.perturbation is None:
        return row
    columns = text_columns(renderer, row)
    if not columns:
        return row
    protected = _protected(renderer.question(row).choices)
    draw = generator("perturb", seed, task.origin, task.perturbation, index)
    pattern, change = _unit(task), _change(task)
    return {
        **row,
        **{
            column: _disturbed(task.perturbation, row[column], f"(?P<kept>{protected})|{pattern}", change, draw)
            for column in columns
        },
    }


def text_columns(renderer: Renderer, row: DataRow) -> list[str]:
    """Return the columns whose text only appears in the prompt.

    No choice, answer, unit, label or condition of a template depends on them, so they can be disturbed.
    """
    task, columns = renderer.task, renderer.columns
    printed, compared = ({task.doc_to_text}, set()) if task.doc_to_text in columns else _used_columns(task.doc_to_text)
    others = (task.doc_to_choice, task.doc_to_target, task.unit, task.value, task.choice_scores, *task.labels.values())
    fixed = {
        name
        for source in others
        if isinstance(source, str)
        for name in ({source} if source in columns else _names(source))
    }
    return sorted(column for column in printed - compared - fixed if isinstance(row.get(column), str))


def why_not(task: Task, rows: Sequence[DataRow], seed: int) -> str:
    """Return why the disturbance of `task` is useless for these rows; "" if it is useful."""
    columns = frozenset(column for row in rows for column in row)
    pointing = sorted(
        column for column in columns if PLACES.search(column) and not isinstance(rows[0].get(column), str | None)
    )
    if pointing:
        return f"its rows point at words of their texts by number ({', '.join(pointing)})"
    renderer = Renderer(task, columns)
    if not any(text_columns(renderer, row) for row in rows):
        return "its prompt shows no text that is neither a choice nor needed as it stands"
    try:
        if any(perturb_row(renderer, index, row, seed) != row for index, row in enumerate(rows)):
            return ""
    except TemplateProblem:
        return ""  # the error names its row when the prompts are made
    return "it would change no row" + (" (their texts are lower case already)" if task.perturbation == "case" else "")


def _unit(task: Task) -> str:
    """Return the pattern of the pieces that the task's disturbance changes."""
    if task.perturbation not in REPLACING:
        return UNITS[task.perturbation or ""]
    words = "|".join(map(re.escape, sorted(task.substitutes, key=lambda word: (-len(word), word))))
    return rf"(?<!\w)(?{'i' * (task.perturbation == 'dialect')}:{words})(?!\w)"  # names have capitals: Frank, not frank


def _change(task: Task) -> Change:
    """Return the function that changes a piece; it remembers the row's names."""
    if task.perturbation == "dialect":
        return partial(_translated, {word.lower(): others for word, others in task.substitutes.items()})
    if task.perturbation == "names":
        return partial(_renamed, task.substitutes, {})
    return CHANGES[task.perturbation or ""]


def _disturbed(way: str, text: str, pieces: str, change: Change, draw: random.Random) -> str:
    """Return the text with changed pieces, but none that matches `kept` (a group of the pattern `pieces`)."""
    pattern = re.compile(pieces, re.M)
    free = [match.start() for match in pattern.finditer(text) if match["kept"] is None]
    if way == "typos" and free:
        free = draw.sample(free, max(1, round(TYPO_RATE * len(free))))
    starts = frozenset(free)
    return pattern.sub(lambda match: change(match[0], draw) if match.start() in starts else match[0], text)


def _translated(others: Mapping[str, Sequence[str]], word: str, draw: random.Random) -> str:
    """Return the word in the other dialect, with its capitals."""
    new = draw.choice(others[word.lower()])
    if word.isupper() and len(word) > 1:
        return new.upper()
    return new[:1].upper() + new[1:] if word[:1].isupper() else new


def _renamed(others: Mapping[str, Sequence[str]], renamed: dict[str, str], name: str, draw: random.Random) -> str:
    """Return a substitute that no other name of the row has, as long as there are enough.

    `renamed` are the row's substitutes so far.
    """
    if name not in renamed:
        free = [other for other in others[name] if other not in renamed.values()]
        renamed[name] = draw.choice(free or others[name])
    return renamed[name]


def _misspelt(word: str, draw: random.Random) -> str:
    """Return the word with one typo after its first letter."""
    slip, at = draw.choice(("swap", "drop", "double")), draw.randrange(1, len(word) - 1)
    if slip == "swap" and word[at] != word[at + 1]:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + word[at] * 2 + word[at + 1 :] if slip == "double" else word[:at] + word[at + 1 :]


CHANGES: dict[str, Change] = {
    "typos": _misspelt,
    "case": lambda word, draw: word.lower(),
    "spacing": lambda space, draw: space * draw.randint(1, WIDEST),
}


@lru_cache(maxsize=256)
def _protected(choices: tuple[str, ...]) -> str:
    """Return the pattern of the unchanged parts: placeholders, and every choice in the text."""
    words = sorted(
        {choice.strip() for choice in choices if len(choice.strip()) > 1}, key=lambda word: (-len(word), word)
    )
    return "|".join([KEPT, *(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words)])


@lru_cache(maxsize=256)
def _names(source: str) -> frozenset[str]:
    """Return the columns that a template mentions."""
    return frozenset(meta.find_undeclared_variables(ENVIRONMENT.parse(source)))


@lru_cache(maxsize=256)
def _used_columns(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the columns whose values a template prints, and those that it compares, tests, loops over or processes
    first.
    """
    tree = ENVIRONMENT.parse(source)
    printed = frozenset(
        name.name for output in tree.find_all(nodes.Output) for child in output.nodes for name in _printed(child)
    )
    return printed, _names(source) - printed | frozenset(name.name for name in _compared(tree))


def _printed(node: nodes.Node) -> Iterator[nodes.Name]:
    """Return the names in an expression whose values are printed."""
    if isinstance(node, nodes.Name):
        yield node
    parts: Sequence[nodes.Node] = ()
    if isinstance(node, nodes.CondExpr):
        parts = [part for part in (node.expr1, node.expr2) if part is not None]
    elif isinstance(node, nodes.Filter | nodes.Getitem | nodes.Getattr | nodes.Call):
        parts = [node.node] if node.node is not None else []
    elif isinstance(node, nodes.Concat | nodes.List):
        parts = node.nodes if isinstance(node, nodes.Concat) else node.items
    elif isinstance(node, nodes.Add):
        parts = [node.left, node.right]
    for part in parts:
        yield from _printed(part)


def _compared(tree: nodes.Template) -> Iterator[nodes.Name]:
    """Return the names that a template compares, tests or loops over."""
    for node in tree.find_all((nodes.Compare, nodes.Test, nodes.Assign, nodes.AssignBlock)):
        yield from node.find_all(nodes.Name)
    tests = [node.test for node in tree.find_all(nodes.If)] + [node.test for node in tree.find_all(nodes.CondExpr)]
    for node in (*tests, *(loop.iter for loop in tree.find_all(nodes.For))):
        yield from (node,) if isinstance(node, nodes.Name) else node.find_all(nodes.Name)
