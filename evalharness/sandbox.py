"""Render Jinja templates of task files in its immutable sandbox, within a budget of work, size and time.

To charge is to take units off the budget (budget.py). A template within the budget renders as in plain Jinja.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextvars import ContextVar
from functools import wraps
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from evalharness.budget import CONTAINERS, LONGEST, Account, TooMuch, check_size, size, time_limit
from evalharness.growth import units_of_filter, units_of_method, units_of_operation

LONGEST_SOURCE = 200_000  # characters of a template
TEXTS = (str, bytes, bytearray)
SIZED: tuple[type[Sized], ...] = (*TEXTS, *CONTAINERS)
COSTLY = {"wordwrap": 16, "title": 4, "urlize": 16, "striptags": 4, "pprint": 64}  # units for each character
HANDED_ON = ("first", "last", "default", "d", "min", "max", "attr", "safe")  # filters that make no new value

# what compiling and rendering may raise
FAILURES = (
    *(TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError),
    *(SyntaxError, MemoryError, TooMuch, re.error),
)

_account: ContextVar[Account] = ContextVar("account")


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """A Jinja sandbox for immutable values that charges everything that can grow or repeat."""

    intercepted_binops = frozenset(("*", "**", "%", "+", "-", "/", "//"))

    def __init__(
        self,
        filters: Mapping[str, Callable[..., Any]],
        names: Mapping[str, Any],
        namespace: type[Namespace] = Namespace,
        **options: Any,
    ) -> None:
        """Make the environment. `filters`, `names` (globals) and `namespace` are added to Jinja's own, or replace them;
        `options` are those of Jinja's Environment.
        """
        super().__init__(**options)
        self.globals.pop("lipsum", None)  # random, like the filter `random`
        self.globals |= {"dict": _NewDict(), **names}
        self.globals["namespace"] = _charged_namespace(namespace)
        every = {name: each for name, each in self.filters.items() if name != "random"} | dict(filters)
        self.filters = {name: _with_charge(name, function) for name, function in every.items()} | CHARGES

    def _generate(self, source: nodes.Template, *arguments: Any, **options: Any) -> str:
        return super()._generate(_Charging().visit(source), *arguments, **options)

    def handle_exception(self, source: str | None = None) -> NoReturn:
        """Raise TooMuch unchanged, and any other error as Jinja does: it cannot rewrite the traceback of a signal's
        exception.
        """
        if isinstance(error := sys.exception(), TooMuch):
            raise error
        super().handle_exception(source)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        units = units_of_operation(operator, left, right)
        check_size(units)
        _account.get().spend(units)
        value = super().call_binop(context, operator, left, right)
        size(value)  # it raises TooMuch for a number that is too long
        return value

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        built_in = getattr(obj, "__wrapped__", obj)  # Jinja wraps str.format
        owner = getattr(built_in, "__self__", None)
        if isinstance(obj, LoopContext):
            args = tuple(map(_steps_of, args))
        elif isinstance(owner, (*TEXTS, int)):
            args = tuple([*_steps_of(each)] if isinstance(each, Iterator) else each for each in args)
            units = units_of_method(built_in.__name__, (owner, *args), kwargs)
            check_size(units)
            _account.get().spend(units + size(owner))
        return _pay_for(super().call(context, obj, *args, **kwargs))


class _NewDict:
    """The function `dict` in templates, without the type's methods, which can change mappings."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class BoundedTemplate:
    """One compiled template. Every rendering has its own budget."""

    def __init__(self, environment: BoundedEnvironment, source: str) -> None:
        """Compile the template. Raises one of FAILURES."""
        if len(source) > LONGEST_SOURCE:
            raise TooMuch(f"it has {len(source)} characters; at most {LONGEST_SOURCE} are read")
        _account.set(Account())
        with time_limit():
            self._template = environment.from_string(source)

    def render(self, variables: Mapping[str, Any]) -> str:
        """Return the rendered text. Raises one of FAILURES."""
        _account.set(Account())
        pieces: list[str] = []
        length = 0
        with time_limit():
            for piece in self._template.generate(variables):
                length += len(piece)
                if length > LONGEST:
                    raise TooMuch(f"the text is longer than {LONGEST} characters")
                pieces.append(piece)
        return "".join(pieces)


class _Charging(NodeTransformer):
    """A transformer that adds charges to a template where values are made, put out or repeated."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "charge_steps")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "charge_concat")

    def visit_Output(self, node: nodes.Output) -> nodes.Node:
        self.generic_visit(node)
        own = sum(len(each.data) for each in node.nodes if isinstance(each, nodes.TemplateData))
        node.nodes = [
            each if isinstance(each, nodes.TemplateData) else _filtered(each, "charge_text") for each in node.nodes
        ]
        if own:
            node.nodes.append(_filtered(nodes.Const(own, lineno=node.lineno), "charge_own_text"))
        return node

    def visit_List(self, node: nodes.List | nodes.Dict | nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        constant = all(isinstance(each, nodes.Const) for each in node.items)
        return node if constant or getattr(node, "ctx", "load") != "load" else _filtered(node, "charge_value")

    visit_Dict = visit_Tuple = visit_List


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _with_charge(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter with charges for its arguments and its value."""
    leading = int(hasattr(function, "jinja_pass_arg"))  # a context or an environment before its value

    @wraps(function)
    def charged(*args: Any, **kwargs: Any) -> Any:
        arguments = list(args[leading:])
        if name == "join" and arguments and isinstance(arguments[0], Iterator):
            arguments[0] = [*_steps_of(arguments[0])]
        units = units_of_filter(name, arguments, kwargs)
        check_size(units)
        first = arguments[0] if arguments else ""
        read = len(first) if isinstance(first, SIZED) else 1
        _account.get().spend(units + read * COSTLY.get(name, 1))
        value = function(*args[:leading], *arguments, **kwargs)
        return value if name in HANDED_ON else _pay_for(value)

    return charged


def _charged_namespace(original: type[Namespace]) -> type[Namespace]:
    """Return a namespace like Jinja's that is charged when it is put out: namespaces can be nested without limit."""

    class ChargedNamespace(original):  # type: ignore[misc, valid-type]
        """As Jinja's."""

        def __repr__(self) -> str:
            text = str(super().__repr__())
            _account.get().spend_value(text)
            return text

    return ChargedNamespace


@pass_context
def _charge_text(context: Context, value: Any) -> str:
    check_size(size(value))
    text = str(value)
    _account.get().spend(len(text))
    return text


@pass_context
def _charge_own_text(context: Context, length: int) -> str:
    """Pay for the template's own text, which loops and macros put out again and again."""
    _account.get().spend(length)
    return ""


@pass_context
def _charge_value(context: Context, value: Any) -> Any:
    return _pay_for(value)


@pass_context
def _charge_steps(context: Context, items: Any) -> Iterator[Any]:
    return _steps_of(items)


@pass_context
def _charge_concat(context: Context, items: list[Any]) -> str:
    check_size(size(items))
    text = "".join(map(str, items))
    _account.get().spend_value(text)
    return text


def _steps_of(items: Iterable[Any]) -> Iterator[Any]:
    account = _account.get()
    for item in items:
        account.spend(1)
        yield item


def _pay_for(value: Any) -> Any:
    """Charge a new value; an iterator is charged step by step."""
    if isinstance(value, Iterator):
        return _steps_of(value)
    _account.get().spend_value(value)
    return value


CHARGES: dict[str, Callable[..., Any]] = {
    "charge_text": _charge_text,
    "charge_own_text": _charge_own_text,
    "charge_value": _charge_value,
    "charge_steps": _charge_steps,
    "charge_concat": _charge_concat,
}
