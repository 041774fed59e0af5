"""Check the keys that make a prompt (templates, targets, choices): in a task, in its shots, or in another wording.

Another wording is a second way to put the same question; it changes some of these keys.
"""

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
    """Check another wording of a task's prompts, and return the keys that it changes, with their values.

    `keys` are those that it may change. Raises TaskError.
    """
    fields.refuse_unknown(keys)
    check_templates(fields)
    return prompt_keys(fields, keys)


def prompt_keys(fields: Fields, keys: tuple[str, ...]) -> dict[str, Any]:
    """Read the values of those `keys` that the mapping has. Raises TaskError."""
    stated = [key for key in keys if fields.values.get(key) is not None]
    return {key: READERS.get(key, Fields.text)(fields, key) for key in stated}


def template(fields: Fields, key: str) -> str:
    """Read a template or the name of a column under a key. Raises TaskError."""
    value = fields.values.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # the index of the right one among doc_to_choice, which are then contexts
    if not isinstance(value, str):
        raise fields.wrong(key, "a template or the name of a column")
    return value


def target(fields: Fields, key: str) -> str | int | tuple[Any, ...]:
    """Read the right answer under a key: a template, the name of a column, an index, or a list of answers. Raises
    TaskError.
    """
    value = fields.values.get(key)
    if isinstance(value, list) and all(isinstance(item, (str, int)) and not isinstance(item, bool) for item in value):
        return tuple(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise fields.wrong(key, "a template, the name of a column, an index or a list")
    return value


def choices(fields: Fields, key: str) -> str | tuple[str, ...] | None:
    """Read the choices under a key: texts, the values of a mapping, or a template that renders to a list.

    Returns None if the key is absent. Raises TaskError.
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
