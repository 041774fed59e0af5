"""Read training examples from a file of JSON lines: prompts and completions, or conversations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness import fingerprint
from evalharness.data.contents import unreadable
from evalharness.data.files import numbered
from evalharness.errors import DataError

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Pair = tuple[str, str]
"""(prompt, completion)"""
Turns = tuple[tuple[str, str], ...]
"""(role, content) of every turn of a conversation, at least one of them the assistant's."""
Example = Pair | Turns
ROLES = ("system", "user", "assistant")
FORMS = 'a line such as {"prompt": "…", "completion": "…"} or {"messages": [{"role": "user", "content": "…"}, …]}'


def is_turns(example: Example) -> TypeIs[Turns]:
    """Tell whether it is a conversation."""
    return not isinstance(example[0], str)


def read_examples(path: Path) -> tuple[tuple[Example, ...], str]:
    """Read every example of the file in order, and the file's digest. Blank lines and further keys are passed over.

    Raises DataError naming the line for one that is no such object, and for files that mix both forms.
    """
    examples: list[Example] = []
    try:
        for number, row in numbered(path):
            examples.append(_example(f"{path}:{number}", row))
            if is_turns(examples[-1]) != is_turns(examples[0]):
                raise DataError(
                    f"{path}:{number}",
                    "another form than the lines before",
                    "one form a file: prompts and completions, or messages",
                )
        digest = fingerprint.of_file(path)
    except OSError as error:
        raise unreadable(path, error) from None
    if not examples:
        raise DataError(path, "holds no examples", FORMS)
    return tuple(examples), digest


def _example(where: str, row: Any) -> Example:
    if ("messages" in row) == ("prompt" in row or "completion" in row):
        raise DataError(where, "has neither prompt and completion nor messages, or both", FORMS)
    if "messages" in row:
        return _turns(where, row["messages"])
    for key in ("prompt", "completion"):
        if not isinstance(row.get(key), str):
            raise DataError(where, f"{key!r} is missing or no text", FORMS)
    if not row["completion"]:
        raise DataError(where, "an empty completion", "leave the line out: there is nothing to learn")
    return row["prompt"], row["completion"]


def _turns(where: str, messages: Any) -> Turns:
    if not isinstance(messages, list) or not messages:
        raise DataError(where, "its messages are no list of turns", FORMS)
    for place, message in enumerate(messages):
        has_role = isinstance(message, dict) and message.get("role") in ROLES
        if not (has_role and isinstance(message.get("content"), str)):
            raise DataError(where, f"message {place} has no role ({', '.join(ROLES)}) or no text as content", FORMS)
    turns = tuple((message["role"], message["content"]) for message in messages)
    if not any(role == "assistant" and content for role, content in turns):
        raise DataError(
            where,
            "no turn of the assistant that says anything",
            "leave the line out: the loss is on the assistant's turns",
        )
    return turns
