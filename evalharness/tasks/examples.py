"""Make Examples from rendered rows, and compute the expected score of guessing among their choices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from evalharness import fingerprint
from evalharness.json_text import number_in
from evalharness.records.requests import Example, example_id
from evalharness.records.tasks import OutputType, Task
from evalharness.tasks.prompts import Question, Renderer, answer_of
from evalharness.tasks.templates import TemplateProblem, literal, render
from evalharness.tasks.truncation import Draft
from evalharness.tasks.turns import Chat

# metrics whose expected value for a guess is the mean score of the choices
GUESSED = ("acc", "acc_norm", "acc_bytes", "multiple_choice_grade", "em")


class NoLabel(TemplateProblem):
    """Raised for a row without a right answer: its label is -1, or is none of the choices."""


def make_example(
    renderer: Renderer, index: int, draft: Draft, chat: Chat | None = None, whole: Draft | None = None
) -> Example:
    """Make the example of row `index`, with its prompt in the chat template if there is one. Raises NoLabel, and
    TemplateProblem naming the column at fault.

    Its id does not depend on the template: it is the digest of the plain prompt, or of that of `whole`, the draft
    before anything was cut to fit.
    """
    task = renderer.task
    unnamed = _unnamed(renderer, draft)
    content = unnamed if whole is None else _unnamed(renderer, whole)
    parts: list[Any] = [content.prompt, content.choices, content.gold, content.references]
    parts += [part for part in (list(content.scores), content.value, content.tags) if part not in ([], None, {})]
    identity = example_id(index, fingerprint.of_value(parts)[:8])
    unit = render(task.unit, (whole or draft).row) if task.unit else identity
    if chat is not None and task.output_type != OutputType.LOGLIKELIHOOD_ROLLING:
        unnamed = replace(unnamed, prompt=draft.contexts(task, chat)[0])
    return replace(unnamed, id=identity, unit=unit, key=unit)


def content_digest(renderer: Renderer, draft: Draft) -> str:
    """Return a digest of a row's question and right answer, without shots and template.

    Equal digests mean the same question. `draft` is the prompt before anything was cut. Raises as `make_example` does.
    """
    bare = replace(draft, shots=())
    one, rolling = _unnamed(renderer, bare), renderer.task.output_type == OutputType.LOGLIKELIHOOD_ROLLING
    contexts = () if rolling else bare.contexts(renderer.task)
    return fingerprint.of_value([contexts, one.choices, one.gold, one.references, one.scores, one.value])


def _unnamed(renderer: Renderer, draft: Draft) -> Example:
    """Return an example without id and unit."""
    task, question = renderer.task, draft.question
    choices: tuple[str, ...] = ()
    gold: tuple[int, ...] = ()
    references: tuple[str, ...] = ()
    if task.output_type == OutputType.MULTIPLE_CHOICE:
        choices, gold = question.choices, _gold(task, question)
    elif task.output_type == OutputType.GENERATE_UNTIL:
        references = _references(task, question)
    else:
        references = (answer_of(question),)
        if task.output_type == OutputType.LOGLIKELIHOOD:
            choices, gold = references, (0,)
    return Example(
        id="",
        unit="",
        prompt="" if task.output_type == OutputType.LOGLIKELIHOOD_ROLLING else draft.contexts(task)[0],
        choices=choices,
        gold=gold,
        references=references,
        truncated=draft.truncated,
        tags={name: renderer.field(draft.row, source) for name, source in task.labels.items()},
        scores=_scores(renderer, draft, len(choices)),
        value=_value(renderer, draft),
    )


def chance(task: Task, examples: Sequence[Example]) -> float | None:
    """Return the expected primary score of a uniform guess among the choices of these examples, if the primary metric
    is an accuracy; else the task's figure.
    """
    primary = next((spec.name for spec in task.metrics if spec.id == task.primary), "")
    if primary not in GUESSED or task.output_type != OutputType.MULTIPLE_CHOICE or not examples:
        return task.chance
    worth = [sum(each.scores) if each.scores else float(len(each.gold)) for each in examples]
    return math.fsum(total / len(each.choices) for total, each in zip(worth, examples, strict=True)) / len(examples)


def _gold(task: Task, question: Question) -> tuple[int, ...]:
    """Return the indices of the right choices. Raises NoLabel if the row's answer is none of them."""
    if question.gold is not None:
        return (question.gold,)
    answers = question.target if isinstance(question.target, list) else [question.target]
    column = task.doc_to_target if isinstance(task.doc_to_target, str) else ""
    indices: dict[int, None] = {}
    for answer in answers:
        index = question.choices.index(answer) if isinstance(answer, str) and answer in question.choices else answer
        if not isinstance(index, int) or not 0 <= index < len(question.choices):
            raise NoLabel(f"the label {answer!r} is none of the {len(question.choices)} choices", column)
        indices[int(index)] = None
    if not indices:
        raise NoLabel("has no right answer", column)
    return tuple(indices)


def _references(task: Task, question: Question) -> tuple[str, ...]:
    if not isinstance(question.target, list):
        return (answer_of(question),)
    if not question.target:
        raise NoLabel("has no reference", task.doc_to_target if isinstance(task.doc_to_target, str) else "")
    indices = range(len(question.choices))
    return tuple(
        question.choices[answer] if isinstance(answer, int) and answer in indices else str(answer)
        for answer in question.target
    )


def _scores(renderer: Renderer, draft: Draft, choices: int) -> tuple[float, ...]:
    """Return the score of each choice, if the task states it."""
    source = renderer.task.choice_scores
    if source is None:
        return ()
    scores = draft.row.get(source) if source in renderer.columns else _listed(render(source, draft.row))
    listed = scores if isinstance(scores, (list, tuple)) else ()
    numbers = [float(each) for each in listed if isinstance(each, (int, float)) and math.isfinite(each)]
    if not (isinstance(scores, (list, tuple)) and len(listed) == len(numbers) == choices):
        raise TemplateProblem(
            f"gives {str(scores)[:80]!r}, which is no list of one number for each of the {choices} choices", source
        )
    return tuple(numbers)


def _value(renderer: Renderer, draft: Draft) -> float | None:
    """Return the number that is the answer, if the task states it."""
    source = renderer.task.value
    if source is None:
        return None
    text = renderer.field(draft.row, source)
    if not math.isfinite(value := number_in(text)):
        raise TemplateProblem(f"gives {text[:80]!r}, which is no number", source)
    return value


def _listed(text: str) -> Any:
    try:
        return literal(text)
    except ValueError:
        return text
