"""Read training examples from a file: prompts and completions, or conversations, in the usual formats."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalharness import fingerprint
from evalharness.data.contents import form_of, lines, unreadable
from evalharness.data.files import json_value, kind, numbered_rows
from evalharness.errors import DataError
from evalharness.training.tool_turns import CALLS, TOOL, TOOLS, Turn, further_keys, tools_of, with_tools

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Pair = tuple[str, str]
"""(prompt, completion)"""
Turns = tuple[Turn, ...]
"""Every turn of a conversation, at least one of them the assistant's."""
Example = Pair | Turns
ROLES = ("system", "user", "assistant", TOOL)
ASSISTANT, GIVEN = "assistant", "assistant, given"  # GIVEN: the assistant's turns of weight 0, which are not learned
SHAREGPT = {"human": "user", "gpt": ASSISTANT, "chatgpt": ASSISTANT, "bing": ASSISTANT, "bard": ASSISTANT}
FORMS = 'a line such as {"prompt": "…", "completion": "…"} or {"messages": [{"role": "user", "content": "…"}, …]}'
PAIRS, MESSAGES, SHARED, ALPACAS, TEXTS = "prompt/completion", "messages", "ShareGPT", "Alpaca", "text"
WITH_TOOLS = " with tools"  # after a form's name
UNSEEN = ("functions", "function_call", "reasoning_content", "thinking")
WEIGHTS = ("weight", "weights", "mask", "loss_mask", "loss_weight", "sample_weight")
# Stanford Alpaca's own prompts (Taori et al. 2023, github.com/tatsu-lab/stanford_alpaca)
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    "\n\n### Instruction:\n{instruction}\n\n### Response:\n"
)
ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request."
    "\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
)


def is_turns(example: Example) -> TypeIs[Turns]:
    """Return whether an example is a conversation."""
    return not isinstance(example[0], str)


def role_of(role: str) -> str:
    """Return the role of a turn for chat templates."""
    return ASSISTANT if role == GIVEN else role


def name_by_answer(example: Example) -> str:
    """Name an example by the beginning of its answer."""
    answers = [turn[1] for turn in example if turn[0] == ASSISTANT] if is_turns(example) else [example[1]]
    return f"training example {answers[0][:40]!r}"


def first_place(examples: Sequence[Example], paths: Iterable[str]) -> str:
    """Return the place of the first of some examples in files; if none is there, name one by its answer."""
    distinct = set(examples)
    with suppress(OSError, DataError):
        for path in paths:
            for where, _, each in placed_examples(Path(path)):
                if each in distinct:
                    return where
    return name_by_answer(examples[0])


class ExampleFile(NamedTuple):
    """The content of a file. `examples`: in order. `digest`: of the file. `forms`: form of a row (such as messages) ->
    number of rows in it.
    """

    examples: tuple[Example, ...]
    digest: str
    forms: dict[str, int]


def read_examples(path: Path) -> ExampleFile:
    """Read every example of the file.

    Raises DataError naming the line for a malformed example, and for files that mix pairs and conversations.
    """
    if form_of(path) in (".csv", ".tsv", ".parquet", ".arrow"):
        fix = f"JSON lines or one JSON array would be right, also as .gz: {FORMS}"
        raise DataError(path, f"a training file is not read as {form_of(path)}", fix)
    examples, forms = list[Example](), Counter[str]()
    try:
        for where, form, example in placed_examples(path):
            examples.append(example)
            forms[form] += 1
            if is_turns(example) != is_turns(examples[0]):
                raise DataError(
                    where, "another form than the lines before", "one form a file: prompts and completions, or messages"
                )
        digest = fingerprint.of_file(path)
    except OSError as error:
        raise unreadable(path, error) from None
    if not examples:
        raise DataError(path, "holds no examples", FORMS)
    return ExampleFile(tuple(examples), digest, dict(forms))


def placed_examples(path: Path) -> Iterator[tuple[str, str, Example]]:
    """Yield (place, form, example) of the JSON lines that are not blank, or of one JSON array. Raises DataError and
    OSError.
    """
    if not next(filter(str.strip, lines(path)), "").lstrip().startswith("["):
        for number, row in numbered_rows(path):
            yield f"{path}:{number}", *_example(f"{path}:{number}", row)
        return
    for number, row in enumerate(json_value(path), start=1):
        where = f"{path}: entry {number}"
        if not isinstance(row, dict):
            raise DataError(where, f"holds {kind(row)}", "one object an entry would be right")
        yield where, *_example(where, row)


def _example(where: str, row: Mapping[str, Any]) -> tuple[str, Example]:
    """Read one row: (form, example)."""
    _check_seen(where, row)
    _check_unweighted(where, row)
    readers = [reader for keys, reader in READERS if all(key in row for key in keys)]
    if set(row) == {"text"}:
        return TEXTS, ("", _some(where, _string(where, row, "text")))  # all of it is learned
    if len(readers) != 1:
        fit = "fit several forms" if readers else "fit no form that is known"
        raise DataError(where, f"has the keys {_listed(row)}, which {fit}", FORMS)
    form, example = readers[0](where, row)
    has_tools = is_turns(example) and any(len(turn) > 2 for turn in example)
    if row.get(TOOLS) and not is_turns(example):
        raise DataError(where, f"has {TOOLS} and no turns", "messages would be right, whose first sees the tools")
    return form + WITH_TOOLS * has_tools, example


def _check_seen(where: str, row: Mapping[str, Any]) -> None:
    """Raise DataError for keys that other trainers put into prompts, and evalharness does not."""
    for key in UNSEEN:
        if row.get(key):
            raise DataError(
                where, f"has {key}, which is not put into prompts here", "leave the line out, or write it into a turn"
            )


def _check_unweighted(where: str, row: Mapping[str, Any]) -> None:
    """Raise DataError for keys that weight or mask a line, because every line has the weight 1 here."""
    for key in WEIGHTS:
        if row.get(key) not in (None, 1):
            what = f"has {key}, which is not supported: every line is learned with the same weight"
            raise DataError(where, what, 'leave the line out, or the key; "weight" is read of turns in messages')


def _pair(where: str, row: Mapping[str, Any]) -> tuple[str, Pair]:
    prompt, completion = (_string(where, row, key) for key in ("prompt", "completion"))
    return PAIRS, (prompt, _some(where, completion))


def _alpaca(where: str, row: Mapping[str, Any]) -> tuple[str, Pair]:
    text = row.get("input") or ""
    values = {"instruction": _string(where, row, "instruction"), "input": _string(where, {"input": text}, "input")}
    completion = _some(where, _string(where, row, "output"))
    return ALPACAS, ((ALPACA_WITH_INPUT if text else ALPACA).format(**values), completion)


def _string(where: str, row: Mapping[str, Any], key: str) -> str:
    if not isinstance(row[key], str):
        raise DataError(where, f"{key!r} is {kind(row[key])}, no text", FORMS)
    return str(row[key])


def _some(where: str, completion: str) -> str:
    if not completion.strip():
        raise DataError(where, "an empty completion", "leave the line out: there is nothing to learn")
    return completion


def _messages(where: str, row: Mapping[str, Any]) -> tuple[str, Turns]:
    return MESSAGES, with_tools(_turns(where, row["messages"], "role", "content"), tools_of(where, row))


def _conversations(where: str, row: Mapping[str, Any]) -> tuple[str, Turns]:
    """Read ShareGPT's form, or messages under ShareGPT's key."""
    turns = row["conversations"]
    theirs = isinstance(turns, list) and any(isinstance(turn, dict) and "from" in turn for turn in turns)
    read = _turns(where, turns, *(("from", "value") if theirs else ("role", "content")))
    return SHARED if theirs else MESSAGES, with_tools(read, tools_of(where, row))


def _turns(where: str, messages: Any, role_key: str, text_key: str) -> Turns:
    if not isinstance(messages, list) or not messages:
        raise DataError(where, "its messages are no list of turns", FORMS)
    turns = tuple(
        _turn(f"{where}: message {place}", turn, role_key, text_key) for place, turn in enumerate(messages, start=1)
    )
    if not any(turn[0] == ASSISTANT for turn in turns):
        raise DataError(
            where, "no turn of the assistant to learn", "leave the line out: the loss is on the assistant's turns"
        )
    return turns


def _turn(where: str, turn: Any, role_key: str, text_key: str) -> Turn:
    if not isinstance(turn, dict) or not isinstance(turn.get(role_key), str):
        raise DataError(where, f"has no {role_key}", f"one of {', '.join(ROLES)} would be right")
    _check_seen(where, turn)
    role, text, weight = SHAREGPT.get(turn[role_key], turn[role_key]), turn.get(text_key), turn.get("weight")
    if role not in ROLES:
        raise DataError(where, f"has the {role_key} {turn[role_key]!r}", f"one of {', '.join(ROLES)} would be right")
    more = further_keys(where, turn)
    if text is None and CALLS in more:
        text = ""
    if not isinstance(text, str):
        raise DataError(where, f"has no text as {text_key}", "leave the line out, or give it a text")
    if weight not in (None, 0, 1):
        raise DataError(where, f"has the weight {weight!r}", "0 (given, not learned) or 1 would be right")
    if role == ASSISTANT and weight == 0:
        role = GIVEN
    if role == ASSISTANT and not (text.strip() or CALLS in more):
        raise DataError(where, "an empty turn of the assistant", 'leave it out, or give it "weight": 0')
    return (role, text, json.dumps(more, ensure_ascii=False)) if more else (role, text)


READERS: tuple[tuple[tuple[str, ...], Callable[[str, Mapping[str, Any]], tuple[str, Example]]], ...] = (
    (("prompt", "completion"), _pair),
    (("messages",), _messages),
    (("conversations",), _conversations),
    (("instruction", "output"), _alpaca),
)


def _listed(row: Mapping[str, Any]) -> str:
    names = [repr(key[:40]) for key in list(row)[:12]]
    return ", ".join(names) + (", …" if len(row) > 12 else "") if names else "of an empty object"
