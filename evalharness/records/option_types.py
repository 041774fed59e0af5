"""Check the values of options given from Python against their type hints."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

from evalharness.errors import UsageError, did_you_mean

Function = TypeVar("Function", bound=Callable[..., Any])

WORDS = {
    str: "a text",
    Path: "a path",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    types.NoneType: "None",
}
LEAST = {"limit": 1, "num_fewshot": 0, "seed": 0, "batch_size": 1, "batch_tokens": 1}


def list_options(function: Function) -> Function:
    """Put every option of a function into its signature, also those of its TypedDict (with the default `...`).

    The function then raises UsageError for an unknown option, with the nearest name, as the command line does.
    """
    signature, hints = inspect.signature(function), get_type_hints(function)
    parameters: list[Parameter] = []
    for each in signature.parameters.values():
        if each.kind is Parameter.VAR_KEYWORD:
            options = get_type_hints(get_args(hints[each.name])[0]).items()
            for name, hint in options:
                parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=..., annotation=hint))
        else:
            parameters.append(each.replace(annotation=hints[each.name]))
    names = {each.name for each in parameters}

    @functools.wraps(function)
    def call(*values: Any, **options: Any) -> Any:
        for name in options:
            if name not in names:
                raise UsageError(name, "there is no such option", did_you_mean(name, names))
        return function(*values, **options)

    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return cast(Function, call)


def check_options(values: Mapping[str, object], hints: Mapping[str, Any]) -> None:
    """Check each value against the hint of its name. Raises UsageError naming the option and what would be right."""
    for name, value in values.items():
        if not _fits(value, hints[name]):
            what = f"{value!r} ({type(value).__name__}) is no value for it"
            raise UsageError(name, what, f"{_words(hints[name])} would be right")
        if _has_empty_path(value, hints[name]):  # it would be the current folder
            raise UsageError(name, "is empty", "name a file or folder")
        if isinstance(value, int) and value < (least := LEAST.get(name, value)):
            raise UsageError(name, f"{value} is too small", f"a whole number of at least {least} would be right")


def _fits(value: object, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in args)
    if origin is Literal:
        return isinstance(value, str) and value in args
    if origin is Sequence:
        if isinstance(value, str) or not isinstance(value, Sequence):
            return False
        return all(_fits(item, args[0]) for item in value)
    if is_typeddict(hint):
        kinds = get_type_hints(hint)
        return isinstance(value, Mapping) and all(key in kinds and _fits(of, kinds[key]) for key, of in value.items())
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(k, args[0]) and _fits(v, args[1]) for k, v in value.items())
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _has_empty_path(value: object, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return (value == "" and Path in args) or any(_has_empty_path(value, each) for each in args)
    if origin is Sequence and isinstance(value, Sequence) and not isinstance(value, str):
        return any(_has_empty_path(item, args[0]) for item in value)
    return origin is Mapping and isinstance(value, Mapping) and any(_has_empty_path(v, args[1]) for v in value.values())


def _words(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_words, args))
    if origin is Literal:
        return " or ".join(map(repr, args))
    if origin is Sequence:
        return f"a list of which each is {_words(args[0])}"
    if is_typeddict(hint):
        return "a mapping with " + ", ".join(f"{key}: {_words(kind)}" for key, kind in get_type_hints(hint).items())
    if origin is Mapping:
        return f"a mapping from names, to {_words(args[1])} each"
    return WORDS.get(hint) or str(hint.__name__)
