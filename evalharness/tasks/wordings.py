"""Check the keys of prompts in a task, its shots or another wording: templates, targets and choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evalharness.errors import TaskError
from evalharness.tasks.fields import Fields
from evalharness.tasks.loading import kind
from evalharness.tasks.templates import TemplateProblem, compile_template

SHOT_KEYS = ("doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix", "fewshot_delimiter", "target_delimiter")
WORDING_KEYS = (*SHOT_KEYS, "description")
TWIN_KEYS = (*WORDING_KEYS, "generation_kwargs")
TEMPLATES = (
    *("doc_to_text", "doc_to_target", "doc_to_choice", "description", "gen_prefix", "unit", "value", "choice_scores"),
)


def check_templates(*parts: Fields) -> None:
    """Raise TaskError for a template that does not parse; names of columns are no templates."""
    for part in parts:
        for key in TEMPLATES:
            source = part.values.get(key)
            if isinstance(source, str) and any(sign in source for sign in ("{{", "{%", "{#")):
                try:
                    compile_template(source)
                except TemplateProblem as problem:
                    raise part.wrong_template(key, problem.what) from None


def wording(fields: Fields, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the checked keys that another wording changes. Raises TaskError."""
    fields.refuse_unknown(keys)
    check_templates(fields)
    return prompt_keys(fields, keys)


def prompt_keys(fields: Fields, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the values of the present keys. Raises TaskError."""
    stated = [key for key in keys if fields.values.get(key) is not None]
    return {key: READERS.get(key, Fields.text)(fields, key) for key in stated}


def template(fields: Fields, key: str) -> str:
    """Return a template or the name of a column. Raises TaskError."""
    value = fields.values.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # the index of the right one among doc_to_choice, which are then contexts
    if not isinstance(value, str):
        raise fields.wrong(key, "a template or the name of a column")
    return value


def target(fields: Fields, key: str) -> str | int | tuple[Any, ...]:
    """Return a template, the name of a column, an index, or a list of answers. Raises TaskError."""
    value = fields.values.get(key)
    if isinstance(value, list) and all(isinstance(item, (str, int)) and not isinstance(item, bool) for item in value):
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise fields.wrong(key, "a template, the name of a column, an index or a list")
    return value


def choices(fields: Fields, key: str) -> str | tuple[str, ...] | None:
    """Return a list of texts, the values of a mapping, or a template that renders to a list; None if the key is
    absent. Raises TaskError.
    """
    value = fields.values.get(key)
    if value is None or isinstance(value, str):
        return value
    items = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(items, list) or not items:
        raise fields.wrong(key, "a list of choices, a template or the name of a column")
    for item in items:
        if not isinstance(item, str):
            raise TaskError(
                fields.path, f"{key} holds {kind(item)} ({item!r})", "choices are texts; write them in quotes"
            )
    return tuple(items)


READERS: dict[str, Callable[[Fields, str], Any]] = {  # of keys that are not plain texts
    "doc_to_text": template,
    "doc_to_target": target,
    "doc_to_choice": choices,
    "generation_kwargs": Fields.mapping,
}
