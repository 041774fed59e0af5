"""Make the Jinja environment of chat templates as transformers does, with limits of work, size and time."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes, pass_eval_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import EvalContext
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.utils import Namespace

from evalharness.sandbox import BoundedEnvironment


class GenerationBlock(Extension):
    """Implements `{% generation %}`, which marks the model's own turns for training and outputs its content."""

    tags = {"generation"}  # noqa: RUF012 (Jinja declares it for instances)

    def parse(self, parser: Parser) -> nodes.CallBlock:
        """Parse the block as a call that returns its body."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body", lineno=line), [], [], body, lineno=line)

    @pass_eval_context
    def _body(self, context: EvalContext, caller: Macro) -> str:
        return caller()


class ChatNamespace(Namespace):
    """A namespace without attributes that begin with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # Jinja's signature, so that any name can be an attribute
        attributes = dict(*args[1:], **kwargs)
        for name in attributes:
            _refuse_underscore(name)
        Namespace.__init__(args[0], attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_underscore(name)
        super().__setitem__(name, value)


def _refuse_underscore(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot hold {name!r}, which begins with an underscore")


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


ENVIRONMENT = BoundedEnvironment(
    {"tojson": _to_json},
    {"raise_exception": _raise_exception},
    ChatNamespace,
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=[GenerationBlock, loopcontrols],
)
