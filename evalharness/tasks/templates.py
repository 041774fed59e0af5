"""Render templates in Jinja's immutable sandbox: undefined names are errors, output and loops are bounded."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, Undefined, UndefinedError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

LONGEST = 4_000_000  # characters of one rendered text, and of one repeated or padded value
MANY = 1 << 62
MOST_STEPS = 100_000  # loop steps of one rendering
# methods of texts that can make one of any length
UNBOUNDED = ("center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map")
# filters: unbounded, or not the same each time
REMOVED = ("center", "format", "indent", "random", "pprint", "wordwrap", "batch", "slice")

# what rendering may raise
RAISED = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError, re.error)


class TemplateProblem(Exception):
    """Why a row cannot be rendered, and the column at fault where it is known."""

    def __init__(self, what: str, column: str = "") -> None:
        super().__init__(what)
        self.what, self.column = what, column


_steps_left: ContextVar[int] = ContextVar("steps_left", default=MOST_STEPS)  # of the rendering under way


class _Bounded(ImmutableSandboxedEnvironment):
    """lm-eval's environment (strict undefined, trailing newline kept, `regex_replace`) with limits."""

    intercepted_binops = frozenset(("*", "**", "%", "+"))

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=True)
        self.filters["regex_replace"] = _regex_replace
        self.filters["counted_steps"] = _counted_steps
        self.filters["joined_texts"] = _joined_texts
        for name in REMOVED:
            self.filters.pop(name, None)
        for name in ("lipsum", "cycler", "joiner"):
            self.globals.pop(name, None)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed = super()._parse(source, name, filename)
        return _Limits().visit(parsed)  # type: ignore[no-any-return]

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return not (isinstance(obj, str) and attr in UNBOUNDED) and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*" and (
            _size(left) * (right if isinstance(right, int) else 1) > LONGEST or _size(right) * _count(left) > LONGEST
        ):
            raise SecurityError("a repeated value is too long")
        if operator == "+" and _size(left) + _size(right) > LONGEST:
            raise SecurityError("a joined value is too long")
        if operator == "**" and (abs(_count(left)) > 1000 or abs(_count(right)) > 64):
            raise SecurityError("a power is too large")
        if operator == "%" and isinstance(left, str) and re.search(r"%[^a-zA-Z%]*(\d{4,}|\*)", left):
            raise SecurityError("a padded value is too long")
        return super().call_binop(context, operator, left, right)


class _Limits(NodeTransformer):
    """Every loop counts its steps, and `~` checks its length."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        if node.recursive:
            raise SecurityError("recursive loops are not supported")
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, "counted_steps", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        items = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(items, "joined_texts", [], [], None, None, lineno=node.lineno)


@lru_cache(maxsize=1024)
def compiled(source: str) -> Template:
    """The template. Raises TemplateProblem where it does not parse, or asks for something that is removed."""
    try:
        return ENVIRONMENT.from_string(source)
    except (TemplateError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise TemplateProblem(f"{str(error) or 'nests too deeply'}{f' (line {line})' if line else ''}") from None


def render(source: str, row: Mapping[str, Any]) -> str:
    """The template with the row's columns as variables. Raises TemplateProblem where a column is missing or a limit is
    passed.
    """
    _steps_left.set(MOST_STEPS)
    pieces: list[str] = []
    length = 0
    try:
        for piece in compiled(source).generate(_variables(source, row)):
            length += len(piece)
            if length > LONGEST:
                raise SecurityError(f"the text is longer than {LONGEST} characters")
            pieces.append(piece)
    except UndefinedError as error:
        raise TemplateProblem(str(error.message), _column(str(error.message))) from None
    except RAISED as error:
        raise TemplateProblem(f"{type(error).__name__}: {error}") from None
    return "".join(pieces)


class _Null(Undefined):
    """An empty cell (null): false where it is asked about, and an error where it would become the text "None"."""

    __slots__ = ()
    __str__ = __iter__ = __len__ = __contains__ = Undefined._fail_with_undefined_error

    def __bool__(self) -> bool:
        return False


def _variables(source: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row's columns. A template that itself speaks of `none` sees empty cells as they are."""
    if "none" in source.lower():
        return dict(row)
    return {key: _Null(hint=f"'{key}' is null") if value is None else value for key, value in row.items()}


def literal(text: str) -> Any:
    """The Python literal that a rendered text is. Raises ValueError for any other text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _column(message: str) -> str:
    match = re.match(r"'([^']+)' is (?:undefined|null)", message) or re.search(r"has no attribute '([^']+)'", message)
    return match[1] if match else ""


def _regex_replace(text: str, pattern: str, repl: str, count: int = 0) -> str:
    return re.sub(pattern, repl, text, count=count)


def _counted_steps(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        left = _steps_left.get() - 1
        _steps_left.set(left)
        if left < 0:
            raise SecurityError(f"its loops take more than {MOST_STEPS} steps")
        yield item


def _joined_texts(items: Iterable[Any]) -> str:
    texts = [str(item) for item in items]
    if sum(map(len, texts)) > LONGEST:
        raise SecurityError("a joined value is too long")
    return "".join(texts)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, (str, bytes, list, tuple)) else 0


def _count(value: Any) -> int:
    if not isinstance(value, (int, float)):
        return 1
    return int(value) if abs(value) < MANY else MANY


ENVIRONMENT = _Bounded()
