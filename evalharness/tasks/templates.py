"""Render a task's templates, with errors for undefined names and limits of work, size and time."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Undefined, UndefinedError

from evalharness.budget import LONGEST, TooMuch, check_size
from evalharness.sandbox import FAILURES, BoundedEnvironment, BoundedTemplate

LONGEST_LITERAL = 1_000_000  # characters of a text that is read as a Python literal


class TemplateProblem(Exception):
    """Raised for a row that cannot be rendered; it has the reason, and the column at fault if that is known."""

    def __init__(self, what: str, column: str = "") -> None:
        super().__init__(what)
        self.what, self.column = what, column


@lru_cache(maxsize=1024)
def compile_template(source: str) -> BoundedTemplate:
    """Compile a template. Raises TemplateProblem if it does not parse, or uses something that the sandbox removes."""
    try:
        return BoundedTemplate(ENVIRONMENT, source)
    except FAILURES as error:
        line = getattr(error, "lineno", None)
        raise TemplateProblem(f"{str(error) or 'nests too deeply'}{f' (line {line})' if line else ''}") from None


def render(source: str, row: Mapping[str, Any]) -> str:
    """Render the template with the row's columns as variables. Raises TemplateProblem if a column is missing or a limit
    is exceeded.
    """
    try:
        return compile_template(source).render(_variables(source, row))
    except UndefinedError as error:
        raise TemplateProblem(str(error.message), _column(str(error.message))) from None
    except TooMuch as error:
        raise TemplateProblem(str(error)) from None
    except FAILURES as error:
        raise TemplateProblem(f"{type(error).__name__}: {error}") from None


class _Null(Undefined):
    """An empty cell (null): false in a condition, and an error if it would be printed as "None"."""

    __slots__ = ()
    __str__ = __iter__ = __len__ = __contains__ = Undefined._fail_with_undefined_error

    def __bool__(self) -> bool:
        return False


def _variables(source: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row's columns. A template that uses `none` itself gets empty cells as None."""
    if "none" in source.lower():
        return dict(row)
    return {key: _Null(hint=f"'{key}' is null") if value is None else value for key, value in row.items()}


def literal(text: str) -> Any:
    """Return the value of a text that is a Python literal. Raises ValueError for any other text."""
    if len(text) > LONGEST_LITERAL:
        raise ValueError(f"it has more than {LONGEST_LITERAL} characters")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _column(message: str) -> str:
    match = re.match(r"'([^']+)' is (?:undefined|null)", message) or re.search(r"has no attribute '([^']+)'", message)
    return match[1] if match else ""


def _regex_replace(text: str, pattern: str, repl: str, count: int = 0) -> str:
    """Replace matches as lm-eval's filter does. If all replacements together could be too long, they are made one by
    one.
    """
    references = repl.count("\\")
    if not references and len(text) * len(repl) <= LONGEST:
        return re.sub(pattern, repl, text, count=count)
    length = 0

    def replacement(match: re.Match[str]) -> str:
        nonlocal length
        longest = max(map(len, (match[0], *match.groups(""))))
        check_size(length + len(repl) + references * longest)
        piece = match.expand(repl)
        length += len(piece)
        return piece

    return re.sub(pattern, replacement, text, count=count)


# lm-eval's environment: undefined names are errors, a trailing newline is kept
ENVIRONMENT = BoundedEnvironment(
    {"regex_replace": _regex_replace}, {}, undefined=StrictUndefined, keep_trailing_newline=True
)
