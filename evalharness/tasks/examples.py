"""A rendered row to the Example that is scored, and what guessing among its choices would be worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from evalharness import fingerprint
from evalharness.records.requests import Example
from evalharness.records.tasks import OutputType, Task
from evalharness.tasks.fitting import Draft
from evalharness.tasks.prompts import Question, Renderer, answer_of
from evalharness.tasks.templates import TemplateProblem, literal, render
from evalharness.tasks.turns import Chat

GUESSED = (
    "acc",
    "acc_norm",
    "acc_bytes",
    "multiple_choice_grade",
    "em",
)  # metrics whose expected value for a guess is the mean worth of the choices


class NoLabel(TemplateProblem):
    """A row whose answer is none: label -1, or outside the choices."""


def example(
    renderer: Renderer, index: int, draft: Draft, chat: Chat | None = None, whole: Draft | None = None
) -> Example:
    """The example of row `index`, as it is asked of a chat model where `chat` says so. Raises NoLabel, and
    TemplateProblem naming the column at fault.

    Its identity never knows of the template: it is made from the plain prompt, or from that of `whole`, before anything
    was cut to fit.
    """
    task = renderer.task
    made, base = _unnamed(renderer, draft), whole or draft
    content = made if whole is None else _unnamed(renderer, whole)
    parts: list[Any] = [content.prompt, content.choices, content.gold, content.references]
    parts += [part for part in (list(content.scores), content.value, content.tags) if part not in ([], None, {})]
    identity = f"{index}-{fingerprint.of_value(parts)[:8]}"
    unit = render(task.unit, base.row) if task.unit else identity
    put = chat if task.output_type != OutputType.LOGLIKELIHOOD_ROLLING else None
    return replace(made, id=identity, unit=unit, prompt=made.prompt if put is None else draft.contexts(task, put)[0])


def _unnamed(renderer: Renderer, draft: Draft) -> Example:
    """All of an example but its identity and unit."""
    task, asked = renderer.task, draft.asked
    prompt = "" if task.output_type == OutputType.LOGLIKELIHOOD_ROLLING else draft.contexts(task)[0]
    choices: tuple[str, ...] = asked.choices
    gold: tuple[int, ...] = ()
    references: tuple[str, ...] = ()
    if task.output_type == OutputType.GENERATE_UNTIL:
        choices, references = (), _references(task, asked)
    elif task.output_type == OutputType.LOGLIKELIHOOD:
        choices, gold, references = (answer_of(asked),), (0,), (answer_of(asked),)
    elif task.output_type == OutputType.LOGLIKELIHOOD_ROLLING:
        choices, references = (), (answer_of(asked),)
    else:
        gold = _gold(task, asked)
    tags = {name: renderer.field(draft.row, source) for name, source in task.labels.items()}
    scores, value = _scores(renderer, draft, len(choices)), _value(renderer, draft)
    return Example("", "", prompt, choices, gold, references, draft.truncated, tags, scores, value)


def chance(task: Task, examples: Sequence[Example]) -> float:
    """Expected primary score of a uniform guess among the choices of these very examples; the task's own figure where
    that says nothing.
    """
    primary = next((spec.name for spec in task.metrics if spec.id == task.primary), "")
    if primary not in GUESSED or task.output_type != OutputType.MULTIPLE_CHOICE or not examples:
        return task.chance
    worth = [sum(each.scores) if each.scores else float(len(each.gold)) for each in examples]
    return math.fsum(total / len(each.choices) for total, each in zip(worth, examples, strict=True)) / len(examples)


def _gold(task: Task, asked: Question) -> tuple[int, ...]:
    """Indices of the choices that count as right. Raises NoLabel where the row's answer is none of them."""
    if asked.gold is not None:
        return (asked.gold,)
    answers = asked.target if isinstance(asked.target, list) else [asked.target]
    column = task.doc_to_target if isinstance(task.doc_to_target, str) else ""
    found: list[int] = []
    for answer in answers:
        index = asked.choices.index(answer) if isinstance(answer, str) and answer in asked.choices else answer
        if not isinstance(index, int) or not 0 <= index < len(asked.choices):
            raise NoLabel(f"the label {answer!r} is none of the {len(asked.choices)} choices", column)
        found.append(int(index))
    if not found:
        raise NoLabel("has no right answer", column)
    return tuple(dict.fromkeys(found))


def _references(task: Task, asked: Question) -> tuple[str, ...]:
    if isinstance(asked.target, list):
        if not asked.target:
            raise NoLabel("has no reference", task.doc_to_target if isinstance(task.doc_to_target, str) else "")
        indices = range(len(asked.choices))
        return tuple(
            asked.choices[answer] if isinstance(answer, int) and answer in indices else str(answer)
            for answer in asked.target
        )
    return (answer_of(asked),)


def _scores(renderer: Renderer, draft: Draft, choices: int) -> tuple[float, ...]:
    """What each choice is worth, where the task says so."""
    source = renderer.task.choice_scores
    if source is None:
        return ()
    found = draft.row.get(source) if source in renderer.columns else _listed(render(source, draft.row))
    numbers = isinstance(found, (list, tuple)) and all(
        isinstance(each, (int, float)) and math.isfinite(each) for each in found
    )
    if not numbers or len(found or ()) != choices:
        raise TemplateProblem(
            f"gives {str(found)[:80]!r}, which is no list of one number for each of the {choices} choices", source
        )
    return tuple(float(each) for each in found or ())


def _value(renderer: Renderer, draft: Draft) -> float | None:
    """The number that the row asks for, where the task says so."""
    source = renderer.task.value
    if source is None:
        return None
    found = renderer.field(draft.row, source)
    try:
        value = float(found)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise TemplateProblem(f"gives {found[:80]!r}, which is no number", source)
    return value


def _listed(text: str) -> Any:
    try:
        return literal(text)
    except ValueError:
        return text
