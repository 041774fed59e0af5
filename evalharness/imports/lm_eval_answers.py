"""Read the question and the model's answer, a choice or a text, from a logged line of lm-eval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evalharness.imports.logged import AnswerTexts
from evalharness.json_text import number_in
from evalharness.tasks.answer_counts import ReadAnswer, picked_answer
from evalharness.tasks.filters import FALLBACK


def read_answer(line: Mapping[str, Any], choices: int) -> ReadAnswer | None:
    """Return the answer of one line; it is not scored. None if the line does not have it.

    `choices` is the number of ranked continuations, 0 for generated text.
    """
    responses = line.get("filtered_resps")
    if not isinstance(responses, list) or not responses:
        return None
    if choices:
        return _picked(line, responses[:choices])
    text = responses[0][0] if isinstance(responses[0], list) and len(responses[0]) == 1 else responses[0]
    if not isinstance(text, str):
        return None
    unreadable = line["filter"] != "none" and text == FALLBACK
    return ReadAnswer(
        text.strip(), (str(line.get("target", "")).strip(),), empty=not text.strip(), unreadable=unreadable
    )


def texts_of(line: Mapping[str, Any], choices: int, read: ReadAnswer | None) -> AnswerTexts:
    """Return the texts of one line: the first context, the answer, and the right answer.

    The answer is the choice ranked first or the text before any filter. `read` is the answer as `read_answer` returns
    it.
    """
    arguments = line.get("arguments")
    first = next(iter(arguments.values()), None) if isinstance(arguments, dict) else None
    prompt = first.get("arg_0") if isinstance(first, dict) else None
    response = line.get("resps")
    while isinstance(response, list) and response and not choices:
        response = response[0]
    right = " | ".join(read.right) if read is not None else ""
    output = read.text if read is not None and (choices or not isinstance(response, str)) else response
    return AnswerTexts(
        prompt if isinstance(prompt, str) else "",
        output if isinstance(output, str) else "",
        right or str(line.get("target", "")).strip(),
    )


def _picked(line: Mapping[str, Any], responses: Sequence[Any]) -> ReadAnswer | None:
    """Return the first of the most likely choices; None if one of them has no log-probability."""
    logprobs = [number_in(each[0] if isinstance(each, list) and each else None) for each in responses]
    texts = [str(argument["arg_1"]) for argument in line["arguments"].values()][: len(responses)]
    if len(texts) != len(logprobs) or any(map(math.isnan, logprobs)):
        return None
    target = str(line.get("target", "")).strip()
    places = [place for place, text in enumerate(texts) if text.strip() == target]
    right = places or ([int(target)] if target.isascii() and target.isdigit() else [])
    return picked_answer(texts, max(range(len(logprobs)), key=logprobs.__getitem__), right)
