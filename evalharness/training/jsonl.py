"""A JSONL file of prompts and completions, or of conversations, to training examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from evalharness import fingerprint
from evalharness.errors import DataError

Pair = tuple[str, str]  # (prompt, completion)
Turns = tuple[
    tuple[str, str], ...
]  # (role, content) of every turn of a conversation, at least one of them the assistant's
Example = Pair | Turns
ROLES = ("system", "user", "assistant")
FORMS = '{"prompt": "…", "completion": "…"} or {"messages": [{"role": "user", "content": "…"}, …]}'


def is_turns(example: Example) -> bool:
    """Is it a conversation?"""
    return not isinstance(example[0], str)


def read(path: Path) -> tuple[tuple[Example, ...], str]:
    """Every example of the file in order, and the file's digest. Blank lines and further keys are passed over.

    Raises DataError naming the line for one that is no such object, and for files that mix both forms.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        digest = fingerprint.of_file(path)
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "give a file of JSON lines") from None
    except UnicodeDecodeError as error:
        raise DataError(path, f"is not UTF-8 ({error.reason} at byte {error.start})", "save it as UTF-8") from None
    found: list[Example] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        example = _example(f"{path}, line {number}", line)
        if found and is_turns(example) != is_turns(found[0]):
            raise DataError(
                f"{path}, line {number}",
                "another form than the lines before",
                "one form a file: prompts and completions, or messages",
            )
        found.append(example)
    if not found:
        raise DataError(path, "holds no examples", f"lines such as {FORMS}")
    return tuple(found), digest


def _example(where: str, line: str) -> Example:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(where, f"is no JSON ({error})", f"a line such as {FORMS}") from None
    if not isinstance(row, dict) or ("messages" in row) == ("prompt" in row or "completion" in row):
        raise DataError(where, "has neither prompt and completion nor messages, or both", f"a line such as {FORMS}")
    if "messages" in row:
        return _turns(where, row["messages"])
    for key in ("prompt", "completion"):
        if not isinstance(row.get(key), str):
            raise DataError(where, f"{key!r} is missing or no text", f"a line such as {FORMS}")
    if not row["completion"]:
        raise DataError(where, "an empty completion", "leave the line out: there is nothing to learn")
    return row["prompt"], row["completion"]


def _turns(where: str, messages: Any) -> Turns:
    if not isinstance(messages, list) or not messages:
        raise DataError(where, "its messages are no list of turns", f"a line such as {FORMS}")
    for place, message in enumerate(messages):
        right = isinstance(message, dict) and message.get("role") in ROLES and isinstance(message.get("content"), str)
        if not right:
            raise DataError(
                where,
                f"message {place} has no role ({', '.join(ROLES)}) or no text as content",
                f"a line such as {FORMS}",
            )
    turns = tuple((message["role"], message["content"]) for message in messages)
    if not any(role == "assistant" and content for role, content in turns):
        raise DataError(
            where,
            "no turn of the assistant that says anything",
            "leave the line out: the loss is on the assistant's turns",
        )
    return cast(Turns, turns)
