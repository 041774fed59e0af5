"""Read out of a logged line of lm-eval what the model was asked and answered: the choice ranked first, or the text it
wrote.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evalharness.imports.logged import AnswerTexts
from evalharness.json_text import number_in
from evalharness.tasks.answer_counts import ReadAnswer, picked
from evalharness.tasks.filters import FALLBACK


def read_answer(line: Mapping[str, Any], choices: int) -> ReadAnswer | None:
    """The answer of one line, which scores nothing; None where the line does not tell. `choices`: how many
    continuations were ranked, 0 where something was written.
    """
    given = line.get("filtered_resps")
    if not isinstance(given, list) or not given:
        return None
    if choices:
        return _picked(line, given[:choices])
    text = given[0][0] if isinstance(given[0], list) and len(given[0]) == 1 else given[0]
    if not isinstance(text, str):
        return None
    unreadable = line["filter"] != "none" and text == FALLBACK
    return ReadAnswer(
        text.strip(), (str(line.get("target", "")).strip(),), empty=not text.strip(), unreadable=unreadable
    )


def texts_of(line: Mapping[str, Any], choices: int, given: ReadAnswer | None) -> AnswerTexts:
    """The texts of one line: the first context, the choice ranked first or the text before any filter, what is right.
    `given`: the answer as `read_answer` reads it.
    """
    arguments = line.get("arguments")
    first = next(iter(arguments.values()), None) if isinstance(arguments, dict) else None
    prompt = first.get("arg_0") if isinstance(first, dict) else None
    written = line.get("resps")
    while isinstance(written, list) and written and not choices:
        written = written[0]
    right = " | ".join(given.right) if given is not None else ""
    answer = given.text if given is not None and (choices or not isinstance(written, str)) else written
    return AnswerTexts(
        prompt if isinstance(prompt, str) else "",
        answer if isinstance(answer, str) else "",
        right or str(line.get("target", "")).strip(),
    )


def _picked(line: Mapping[str, Any], given: Sequence[Any]) -> ReadAnswer | None:
    """The first of the most likely choices; None where a log-probability is none."""
    logprobs = [number_in(each[0] if isinstance(each, list) and each else None) for each in given]
    texts = [str(argument["arg_1"]) for argument in line["arguments"].values()][: len(given)]
    if len(texts) != len(logprobs) or any(map(math.isnan, logprobs)):
        return None
    target = str(line.get("target", "")).strip()
    named = [place for place, text in enumerate(texts) if text.strip() == target]
    right = named or ([int(target)] if target.isascii() and target.isdigit() else [])
    return picked(texts, max(range(len(logprobs)), key=logprobs.__getitem__), right)
