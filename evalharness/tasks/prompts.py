"""Render a row's question, choices, answer and shots, as lm-eval does.

A string under `doc_to_*` that is the name of a column means that column's value; any other string is a template. All
texts are those of lm-eval 0.4.13's ConfigurableTask, byte for byte.
"""

from __future__ import annotations

import contextlib
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

from evalharness.data.files import DataRow
from evalharness.records.tasks import Task
from evalharness.tasks.templates import TemplateProblem, literal, render
from evalharness.tasks.turns import Turn, join_delimited, needs_gap, question

MOST_CHOICES = 10_000  # of one row

Target = str | int | list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One rendered row.

    `contexts` is one text, or one text for each choice if `several`; then `gold` is the index of the right one.
    `prefix` is the start of the model's answer (gen_prefix). `target` is the row's answer: a text, an index into
    `choices`, or a list of either.
    """

    contexts: tuple[str, ...]
    several: bool
    choices: tuple[str, ...]
    target: Target
    gold: int | None
    prefix: str


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders the templates of a task with the columns of the evaluated split.

    `for_shots` renders with the keys that the task changes for its shots.
    """

    task: Task
    columns: Set[str]
    for_shots: bool = False

    def question(self, row: DataRow) -> Question:
        """Render the row. Raises TemplateProblem naming the column at fault."""
        choices = self._choices(row)
        text = self._text(row, has_choices=choices is not None)
        target = self._target(row, has_choices=choices is not None)
        prefix = self.field(row, self._of("gen_prefix"))
        if not isinstance(text, int):
            return Question(
                contexts=(text,), several=False, choices=choices or (), target=target, gold=None, prefix=prefix
            )
        if not choices or not 0 <= text < len(choices):
            raise TemplateProblem(
                f"doc_to_text is {text}, which is none of the {len(choices or ())} choices", self.task.doc_to_text
            )
        return Question(contexts=choices, several=True, choices=choices, target=target, gold=text, prefix=prefix)

    def field(self, row: DataRow, source: str) -> str:
        """Return a column's value or a rendered template, as text; "" if the task has no such key."""
        if not source:
            return ""
        value = self._value(row, source) if source in self.columns else render(source, row)
        return value if isinstance(value, str) else str(value)

    def shot(self, row: DataRow) -> tuple[Turn, ...]:
        """Return a row as a solved example. If its answer is empty, the question stands alone, as in lm-eval."""
        rendered = self.question(row)
        text, prefix = rendered.contexts[rendered.gold or 0], rendered.prefix
        between, after = str(self._of("target_delimiter")), str(self._of("fewshot_delimiter"))
        if rendered.target == "":
            return question(text, prefix, between)
        gap = between if not prefix or needs_gap(text, prefix) else ""
        return Turn("user", text, gap), Turn("assistant", join_delimited(prefix, answer_of(rendered), " "), after)

    def _of(self, key: str) -> Any:
        value = self.task.shots.get(key) if self.for_shots else None
        return getattr(self.task, key) if value is None else value

    def _text(self, row: DataRow, has_choices: bool) -> str | int:
        source = self._of("doc_to_text")
        if source in self.columns:
            value = self._value(row, source)
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                raise TemplateProblem(f"holds {value!r}, which is no text", source)
            return value
        text = render(source, row)
        return _number(text, "doc_to_text") if text.isdigit() and has_choices else text

    def _target(self, row: DataRow, has_choices: bool) -> Target:
        source = self._of("doc_to_target")
        if isinstance(source, tuple):
            return list(source)
        if isinstance(source, int):
            return source
        if source in self.columns:
            value = self._value(row, source)
            if isinstance(value, float) and value.is_integer() and has_choices:
                value = int(value)  # a column of labels with an empty cell somewhere
            if value is None or not isinstance(value, (str, int, float, list)):
                raise TemplateProblem(f"holds {value!r}, which is no answer", source)
            return str(value) if isinstance(value, float) else value
        text = render(source, row)
        if text.isdigit() and has_choices:
            return _number(text, "doc_to_target")
        if text.startswith("[") and text.endswith("]") and len(text) >= 2:
            with contextlib.suppress(ValueError):
                answers = literal(text)
                return answers if isinstance(answers, list) else text
        return text

    def _choices(self, row: DataRow) -> tuple[str, ...] | None:
        source = self._of("doc_to_choice")
        if source is None or isinstance(source, tuple):
            return source
        name = source if source in self.columns else "doc_to_choice"
        if source in self.columns:
            listed = self._value(row, source)
        else:
            text = render(source, row)
            try:
                listed = literal(text)
            except ValueError:
                raise TemplateProblem(f"does not render to a list of choices: {text[:80]!r}", name) from None
        if not isinstance(listed, (list, tuple)) or not listed:
            raise TemplateProblem(f"gives {str(listed)[:80]!r}, which is no list of choices", name)
        wrong = next((item for item in listed if not isinstance(item, str)), None)
        if wrong is not None:
            raise TemplateProblem(f"has the choice {wrong!r}, which is no text", name)
        if len(listed) > MOST_CHOICES:
            raise TemplateProblem(f"gives {len(listed)} choices; at most {MOST_CHOICES} are ranked", name)
        return tuple(listed)

    def _value(self, row: DataRow, column: str) -> Any:
        if column not in row:
            raise TemplateProblem("is missing", column)
        return row[column]


def answer_of(question: Question) -> str:
    """Return the text of the right answer, or of the first of several. Raises TemplateProblem if the label is no
    choice.
    """
    target = question.target
    if isinstance(target, list):
        if not target:
            raise TemplateProblem("the list of answers is empty")
        target = target[0]
    if isinstance(target, int) and question.choices and not question.several:
        if not 0 <= target < len(question.choices):
            raise TemplateProblem(f"the label {int(target)} is none of the {len(question.choices)} choices")
        return question.choices[target]
    return target if isinstance(target, str) else str(target)


def _number(text: str, key: str) -> int:
    try:
        return int(literal(text))
    except ValueError:
        raise TemplateProblem(f"renders to {text!r}, which is no index", key) from None
