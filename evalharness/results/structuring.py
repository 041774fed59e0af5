"""Turn JSON into records strictly: all keys, no others, each value of its type. Errors name the file and the key.

Keys that earlier versions did not write may be missing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from enum import StrEnum
from typing import Any, TypeVar, get_origin

from cattrs import BaseValidationError, Converter, transform_error
from cattrs.cols import homogenous_tuple_structure_factory, is_mapping, mapping_structure_factory
from cattrs.dispatch import StructureHook
from cattrs.gen import make_dict_structure_fn

from evalharness.errors import UsageError, did_you_mean
from evalharness.json_text import parse_json
from evalharness.results.digest import check_digest

SCHEMA_VERSION = 2  # of results.json and of the metadata of measurements.parquet
AGAIN = "run the evaluation again"
NOUNS = {
    float: "a number",
    int: "a whole number",
    str: "a text",
    bool: "true or false",
    date: "a day",
    dict: "an object",
    list: "a list",
    type(None): "null",
}

T = TypeVar("T")
Factory = Callable[[Any, Converter], StructureHook]  # makes the hook for a type


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a JSON document must be: its name in errors and its schema version.

    `fix` is the advice for another document, `restore` the advice for one that was changed.
    """

    what: str
    version: int = SCHEMA_VERSION
    fix: str = AGAIN
    restore: str = AGAIN


def parse_document(text: bytes, where: object, form: Form, beside: str = "") -> dict[str, Any]:
    """Parse a JSON document of this form and remove its schema version and digest.

    `beside` is as in `with_digest`. Raises UsageError for a text that is no such document, and for one that was
    changed after it was written.
    """
    fix = form.fix
    try:
        document = parse_json(text)
    except ValueError as error:
        raise UsageError(where, f"not JSON ({error})", fix) from error
    if not isinstance(document, dict) or "schema_version" not in document:
        raise UsageError(where, f"not the {form.what} of evalharness (there is no key 'schema_version')", fix)
    version = structure_json(document["schema_version"], int, where, "schema_version", fix)
    if version != form.version:
        wrong = f"{form.what} of schema version {version}, this evalharness reads {form.version}"
        raise UsageError(where, wrong, f"{fix}, or use the version that wrote it")
    check_digest(document, where, form.restore, beside)
    del document["schema_version"]
    return document


def structure_json(value: object, cls: type[T], where: object, key: str = "", fix: str = AGAIN) -> T:
    """Turn a JSON value into `cls`: a record, a tuple of records or a plain type. `key` is its path in the file
    `where`.

    Raises UsageError with the key: "runs/x/results.json: comparisons[3].difference.low: not a number (a text)".
    """
    try:
        return _CONVERTER.structure(value, cls)
    except (BaseValidationError, ValueError) as error:
        wrong, _, path = transform_error(error, key, lambda each, _: str(each))[0].rpartition(" @ ")
        path = path.removeprefix(".")
        raise UsageError(f"{where}: {path}" if path else where, wrong, fix) from error


def _check(value: object, kind: type) -> None:
    right = isinstance(value, int | float if kind is float else kind)
    right = right and (kind is not date or type(value) is date)  # not a datetime
    if not right or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"not {NOUNS[kind]} ({NOUNS.get(type(value), type(value).__name__)})")
    if kind is float and isinstance(value, int) and abs(value) > sys.float_info.max:
        raise ValueError("beyond all numbers")


def _plain(kind: type) -> StructureHook:
    def structure(value: object, _: object) -> object:
        _check(value, kind)
        return value  # unchanged: an int where a float may be stays an int

    return structure


def _member(value: Any, enum: type[StrEnum]) -> StrEnum:
    try:
        return enum(value)
    except ValueError:
        raise ValueError(f"{value!r} is none of {', '.join(enum)}") from None


def _with_check(kind: type, factory: Factory) -> Factory:
    """Return a factory whose hooks check the value's type first: cattrs' own accept any iterable for a tuple."""

    def make(cls: Any, converter: Converter) -> StructureHook:
        inner = factory(cls, converter)

        def structure(value: object, of: Any) -> Any:
            _check(value, kind)
            return inner(value, of)

        return structure

    return make


def _is_tuple(cls: object) -> bool:
    return get_origin(cls) is tuple


def _tuple(cls: Any, converter: Converter) -> StructureHook:
    whole = cls.__args__[-1] is Ellipsis
    return homogenous_tuple_structure_factory(cls, converter) if whole else converter.gen_structure_hetero_tuple(cls)


def _record(cls: Any, converter: Converter) -> StructureHook:
    inner = make_dict_structure_fn(cls, converter)
    keys = [field.name for field in fields(cls)]
    needed = [field.name for field in fields(cls) if not field.metadata.get("later")]

    def structure(value: dict[str, Any], of: Any) -> Any:
        for key in needed:
            if key not in value:
                raise ValueError(f"the key {key!r} is missing")
        for key in value:
            if key not in keys:
                raise ValueError(f"the key {key!r} is unknown ({did_you_mean(key, keys)})")
        return inner(value, of)

    return structure


_CONVERTER = Converter()
for _kind in (float, int, str, bool, date):
    _CONVERTER.register_structure_hook(_kind, _plain(_kind))
_CONVERTER.register_structure_hook(StrEnum, _member)
_CONVERTER.register_structure_hook_factory(_is_tuple, _with_check(list, _tuple))
_CONVERTER.register_structure_hook_factory(is_mapping, _with_check(dict, mapping_structure_factory))
_CONVERTER.register_structure_hook_factory(is_dataclass, _with_check(dict, _record))
