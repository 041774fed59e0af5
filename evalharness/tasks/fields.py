"""Read and check values of a task file's mapping; errors name the file, the key and what would be right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from evalharness.errors import TaskError, did_you_mean
from evalharness.tasks.loading import Code, NeedsCode, kind

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fields:
    """One mapping of a task file, read key by key, with errors that name the key.

    `within` is the mapping's own key in the file ("metadata", "generation_kwargs"); "" for the file itself.
    """

    values: Mapping[str, Any]
    path: Path
    within: str = ""

    def refuse_unknown(self, names: Iterable[str]) -> None:
        """Raise TaskError, with the nearest name, for the first key that is not one of `names`."""
        names = set(names)
        for key in self.values:
            if key not in names:
                raise TaskError(self.path, f"unknown key {self._name(str(key))!r}", did_you_mean(str(key), names))

    def wrong(self, key: str, right: str) -> TaskError:
        """Return the error for a value of the wrong type; NeedsCode for Python code."""
        value = self.values.get(key)
        if isinstance(value, Code):
            return NeedsCode(
                value.where,
                f"{self._name(key)} is Python code ({value.description}), which is not run",
                f"{right} would be right",
            )
        value_text = f" ({value!r})" if isinstance(value, (str, int, float, bool)) else ""
        return TaskError(self.path, f"{self._name(key)} is {kind(value)}{value_text}", f"{right} would be right")

    def wrong_template(self, key: str, what: str) -> TaskError:
        """Return the error for a text that is no template."""
        return TaskError(self.path, f"{self._name(key)} is no template: {what}", "Jinja2 that parses would be right")

    def text(self, key: str) -> str | None:
        return self._of_type(key, str, "a text")

    def text_or(self, key: str, default: str) -> str:
        value = self.text(key)
        return default if value is None else value

    def required_text(self, key: str) -> str:
        value = self.text(key)
        if not value:
            raise TaskError(self.path, f"{self._name(key)} is missing", "a text would be right")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a text, or a list of texts; () if the key is absent."""
        value = self.values.get(key)
        items = [value] if isinstance(value, str) else [] if value is None else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise self.wrong(key, "a text or a list of texts")
        return tuple(items)

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Return a mapping with text keys; empty if the key is absent."""
        value = self._of_type(key, dict, "a mapping") or {}
        if not all(isinstance(name, str) for name in value):
            raise self.wrong(key, "a mapping")
        return value

    def mappings(self, key: str) -> list[Mapping[str, Any]] | None:
        """Return a list of mappings; None if the key is absent."""
        value = self._of_type(key, list, "a list of mappings")
        if not all(isinstance(item, dict) for item in value or ()):
            raise self.wrong(key, "a list of mappings")
        return value

    def number(self, key: str) -> float | None:
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
            raise self.wrong(key, "a number")
        return None if value is None else float(value)

    def whole(self, key: str, least: int) -> int | None:
        right = f"a whole number from {least} up"
        value = self._of_type(key, int, right)
        if isinstance(value, bool) or (value is not None and value < least):
            raise self.wrong(key, right)
        return value

    def boolean(self, key: str, default: bool = False) -> bool:
        value = self._of_type(key, bool, "true or false")
        return default if value is None else value

    def one_of(self, key: str, words: Iterable[str], default: str) -> str:
        """Return one of `words`. YAML reads a bare `no` as false; if "no" is one of the words, false means it."""
        words = tuple(words)
        value = "no" if self.values.get(key) is False and "no" in words else self.text_or(key, default)
        if value not in words:
            raise TaskError(self.path, f"{self._name(key)} is {value!r}", did_you_mean(value, words))
        return value

    def part(self, key: str) -> Fields:
        """Return the mapping under `key`, as Fields."""
        return Fields(self.mapping(key), self.path, self._name(key))

    def _of_type(self, key: str, type_: type[T], right: str) -> T | None:
        value = self.values.get(key)
        if value is None or isinstance(value, type_):
            return value
        raise self.wrong(key, right)

    def _name(self, key: str) -> str:
        return f"{self.within}.{key}" if self.within else key
