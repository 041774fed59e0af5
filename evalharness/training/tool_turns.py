"""Read tools and their calls in conversations, and pass them to a chat template as transformers does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from evalharness.data.files import kind
from evalharness.errors import DataError
from evalharness.json_text import parse_json

TOOL = "tool"  # the role of a tool's answer
CALLS, TOOLS = "tool_calls", "tools"
BESIDE = ("name", "tool_call_id")  # further keys that a turn may have
FIX = 'a list of {"type": "function", "function": {"name": …, …}} would be right'
Turn = tuple[str, str] | tuple[str, str, str]
"""(role, content), and as JSON the message's other keys: calls, names, in the first turn the tools."""


def further_keys(where: str, turn: Mapping[str, Any]) -> dict[str, Any]:
    """Read a turn's keys beside its text: its calls of tools, the call that it answers. Raises DataError."""
    more = {key: str(turn[key]) for key in BESIDE if turn.get(key)}
    calls = turn.get(CALLS)
    return {**more, CALLS: [_call(where, each) for each in _listed(where, CALLS, calls)]} if calls else more


def tools_of(where: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read the tools of a line, a list or its JSON text; [] if it has none. Raises DataError."""
    tools = row.get(TOOLS)
    if isinstance(tools, str) and tools.strip():
        tools = _json(tools)
    return _listed(where, TOOLS, tools) if tools else []


def with_tools(turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...]:
    """Put the tools of a conversation into its first turn, and return the turns."""
    if not tools:
        return tuple(turns)
    role, content, *more = turns[0]
    first = {**json.loads(more[0] if more else "{}"), TOOLS: tools}
    return (role, content, json.dumps(first, ensure_ascii=False)), *turns[1:]


def tools_in(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Return the tools of a conversation."""
    return list(_more(turns[0]).get(TOOLS, []))


def message_of(turn: Turn, role: str) -> dict[str, Any]:
    """Return a turn as a message for chat templates, with this role."""
    more = _more(turn)
    more.pop(TOOLS, None)
    return {"role": role, "content": turn[1], **more}


def calls_in(turn: Turn) -> list[str]:
    """Return the names of the functions that a turn calls."""
    return [call["function"]["name"] for call in _more(turn).get(CALLS, [])]


def _more(turn: Turn) -> dict[str, Any]:
    return dict(json.loads(turn[2])) if len(turn) > 2 else {}


def _call(where: str, call: dict[str, Any]) -> dict[str, Any]:
    """Return a call with its arguments as an object, which templates expect, also if they are a JSON text."""
    function = call.get("function", call)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise DataError(where, f"has {CALLS} without the name of a function", FIX)
    value = function.get("arguments")
    decoded = _json(value) if isinstance(value, str) else value
    arguments = decoded if isinstance(decoded, dict) else value
    return {**call, "type": "function", "function": {**function, "arguments": arguments if arguments else {}}}


def _listed(where: str, key: str, values: Any) -> list[dict[str, Any]]:
    if not isinstance(values, list) or not all(isinstance(each, dict) for each in values):
        raise DataError(where, f"its {key} are {kind(values)}, no list of objects", FIX)
    return values


def _json(text: str) -> Any:
    try:
        return parse_json(text.encode())
    except ValueError:
        return text
