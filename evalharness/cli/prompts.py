"""A task to its first prompts, without and with shots, from rows in files; and those prompts to lines for a
terminal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from evalharness.data.sources import DataSource, locate
from evalharness.errors import DataError, TaskError
from evalharness.paths import shipped
from evalharness.records.requests import Generate, Score
from evalharness.records.tasks import Task
from evalharness.tasks.prepare import PromptSettings, prepare

WORLD, BENCHMARKS = "fixtures/world/rows", "fixtures/benchmarks"
GIVE = ("--data-dir DIR", "--data NAME=PATH")
LONGEST = 2000  # characters of a prompt that are shown


def first_prompts(task: Task, split: str | None, source: DataSource, shots: int) -> tuple[list[dict[str, Any]], str]:
    """The prompts of the first example, none and `shots` shots before it, and where the rows are from, or why there are
    none or fewer.
    """
    note = f"no rows at hand: give {' or '.join(GIVE)} to see prompts"
    for place, wanted, said in _places(task, split, source):
        try:
            if locate(task, wanted, place) is None:
                continue
            found = [_first(task, place, wanted, 0)]
        except DataError as error:
            note = str(error)
            continue
        try:
            return [*found, *([_first(task, place, wanted, shots)] if shots else [])], said
        except (DataError, TaskError) as error:
            return found, f"{said}; no prompt with shots: {error}".removeprefix("; ")
    return [], note


def _places(task: Task, split: str | None, source: DataSource) -> Iterator[tuple[DataSource, str, str]]:
    """Where rows are looked for, which split of them, and what is said of them: the user's, the embedded world's, a few
    invented ones.
    """
    own = f"give {' or '.join(GIVE)} for your own"
    yield source, split or task.evaluation_split, ""
    yield DataSource(shipped=shipped(WORLD)), split or "test", f"rows of the embedded world; {own}"
    with suppress(FileNotFoundError):  # an installed wheel may go without them
        for folder in (BENCHMARKS, f"{BENCHMARKS}/published"):
            yield (
                DataSource(shipped=shipped(folder)),
                split or task.evaluation_split,
                f"invented rows in the form of the real ones; {own}",
            )


def _first(task: Task, source: DataSource, split: str, shots: int) -> dict[str, Any]:
    prepared = prepare(replace(task, metrics=()), source, PromptSettings(num_fewshot=shots, limit=1, split=split))
    example, request = prepared.examples[0], prepared.requests[0]
    found: dict[str, Any] = {"num_fewshot": shots, "example": example.id}
    if isinstance(request, Generate):
        return found | {"prompt": request.prompt, "references": example.references}
    if isinstance(request, Score):
        return found | {"prompt": request.text, "references": ()}
    return found | {"pairs": request.pairs[: len(example.choices)], "gold": example.gold}


def prompt_lines(prompt: Mapping[str, Any]) -> Iterator[str]:
    """One prompt to read, what is right or wrong after it marked as such."""
    if "prompt" in prompt:
        yield _cut(prompt["prompt"])
        yield from (f"=== right: {reference!r}" for reference in prompt["references"])
        return
    contexts = list(dict.fromkeys(context for context, _ in prompt["pairs"]))
    if len(contexts) == 1:
        yield _cut(contexts[0])
    for index, (context, continuation) in enumerate(prompt["pairs"]):
        mark = "right" if index in prompt["gold"] else "wrong"
        yield (
            f"=== {mark}: {continuation!r}" if len(contexts) == 1 else f"{_cut(context)}\n=== {mark}: {continuation!r}"
        )


def _cut(text: str) -> str:
    return (
        text
        if len(text) <= LONGEST
        else f"{text[: LONGEST // 2]}\n[… {len(text) - LONGEST} characters …]\n{text[-LONGEST // 2 :]}"
    )
