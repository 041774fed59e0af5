"""Read the question and the model's answer from a row of lighteval's details."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evalharness.data.files import DataRow, kind
from evalharness.errors import DataError
from evalharness.imports.logged import AnswerTexts
from evalharness.tasks.answer_counts import ReadAnswer, picked_answer

AGAIN = "run lighteval again with --save-details, or copy the file again"
SHOWN = ("query", "instruction", "choices", "gold_index")  # of a solved example


def question_of(place: str, row: DataRow, system: Any) -> tuple[list[Any], list[Any], tuple[list[Any], list[Any]]]:
    """Return the identity of a row: its document, its prompt, and its right answers and choices. `system` is the
    system prompt of the run. Raises DataError for another form.
    """
    doc, response = row["doc"], row["model_response"]
    if not isinstance(doc.get("query"), str):
        raise DataError(place, f"no details of lighteval (query is {kind(doc.get('query'))})", AGAIN)
    if not isinstance(doc.get("choices"), list):
        raise DataError(place, f"no details of lighteval (choices is {kind(doc.get('choices'))})", AGAIN)
    if not all(isinstance(gold, int) for gold in _golds(doc)):
        raise DataError(place, "no details of lighteval (gold_index is no number)", AGAIN)
    examples = doc.get("fewshot_samples")
    solved = [
        [example.get(key) for key in SHOWN]
        for example in (examples if isinstance(examples, list) else ())
        if isinstance(example, dict)
    ]
    prompt = [doc["query"], doc.get("instruction"), doc.get("unconditioned_query"), solved, response.get("input")]
    prompt += [system, doc.get("stop_sequences"), doc.get("generation_size")]
    return [doc.get("id")], prompt, (_golds(doc), doc["choices"])


def _golds(doc: Mapping[str, Any]) -> list[Any]:
    gold = doc.get("gold_index")
    return gold if isinstance(gold, list) else [gold]


def _right(doc: Mapping[str, Any]) -> list[str]:
    choices = doc["choices"]
    return [str(choices[gold]).strip() for gold in _golds(doc) if isinstance(gold, int) and 0 <= gold < len(choices)]


def read_answer(row: DataRow) -> ReadAnswer | None:
    """Return the answer of one row, which is not scored: the most likely choice, or the text; None if it has
    neither.
    """
    doc, response = row["doc"], row["model_response"]
    logprobs, choices = _list(response, "logprobs"), [str(choice) for choice in doc["choices"]]
    if logprobs:
        numbers = [value for value in logprobs if isinstance(value, int | float) and not math.isnan(value)]
        if not len(numbers) == len(logprobs) == len(choices):
            return None
        return picked_answer(choices, max(range(len(numbers)), key=numbers.__getitem__), _golds(doc))
    texts = _list(response, "text_post_processed") or _list(response, "text")
    if not texts:
        return None
    text = str(texts[0]).strip()
    return ReadAnswer(text, tuple(_right(doc)), empty=not text)


def texts_of(row: DataRow, answer: ReadAnswer | None) -> AnswerTexts:
    """Return the texts of one row.

    The prompt is as it was sent if that is logged, else the question after its solved examples. The answer is as it
    was before processing.
    """
    doc, response = row["doc"], row["model_response"]
    examples = [
        f"{example.get('query')}{' | '.join(_right(example))}"
        for example in _list(doc, "fewshot_samples")
        if isinstance(example, dict) and isinstance(example.get("choices"), list)
    ]
    question = f"{doc.get('instruction') or ''}{doc['query']}"
    texts = _list(response, "text")
    output = str(texts[0]) if texts else answer.text if answer is not None else ""
    return AnswerTexts(
        _sent(response.get("input")) or "\n\n".join((*examples, question)), output, " | ".join(_right(doc))
    )


def _sent(prompt: Any) -> str:
    """Return the text that was sent, or the messages of a chat; "" if neither is logged."""
    if isinstance(prompt, str):
        return prompt
    messages = [each for each in prompt if isinstance(each, dict)] if isinstance(prompt, list) else []
    return "\n\n".join(f"{message.get('role')}: {message.get('content')}" for message in messages)


def _list(of: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = of.get(key)
    return value if isinstance(value, list) else ()
