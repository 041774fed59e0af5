"""Read the question and the model's answer from a sample of inspect_ai."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalharness.data.files import kind
from evalharness.errors import DataError
from evalharness.imports.inspect_files import AGAIN, Object
from evalharness.imports.logged import AnswerTexts, mapping
from evalharness.tasks.answer_counts import ReadAnswer, picked_answer

ATTACHED = "attachment://"
CUT_OFF = ("max_tokens", "model_length")


def question_of(place: str, epochs: Sequence[Object]) -> tuple[list[Any], list[str], list[str]]:
    """Return the prompts, choices and right answers of a sample; equal prompts of several epochs are listed once.
    Raises DataError for another form.
    """
    first = epochs[0]
    target = first.get("target")
    targets = [target] if isinstance(target, str) else target
    if not isinstance(targets, list) or not all(isinstance(each, str) for each in targets):
        raise DataError(place, f"no sample of inspect_ai (target is {kind(target)})", AGAIN)
    choices = first.get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(each, str) for each in choices):
        raise DataError(place, f"no sample of inspect_ai (choices is {kind(choices)})", AGAIN)
    prompts: list[Any] = []
    for sample in epochs:
        if not isinstance(sample.get("input"), str | list):
            raise DataError(place, f"no sample of inspect_ai (input is {kind(sample.get('input'))})", AGAIN)
        prompt = [_contents(sample["input"]), _contents(_sent(sample))]
        if prompt not in prompts:
            prompts.append(prompt)
    return prompts, choices, targets


def _contents(messages: Any) -> Any:
    """Return the contents of messages, without the ids that every run creates anew."""
    if not isinstance(messages, list):
        return messages
    return [
        [message.get("role"), message.get("content"), [_call(call) for call in message.get("tool_calls") or ()]]
        if isinstance(message, dict)
        else message
        for message in messages
    ]


def _call(call: Any) -> Any:
    return [call.get("function"), call.get("arguments")] if isinstance(call, dict) else call


def _sent(sample: Object) -> list[Object]:
    """List the messages before the first that the model wrote.

    Messages of the model that the task gives it (`source` is input) count as sent.
    """
    messages = sample.get("messages")
    sent: list[Object] = []
    for message in messages if isinstance(messages, list) else []:
        if not isinstance(message, dict):
            continue
        if message.get("role") == "assistant" and message.get("source") != "input":
            break
        sent.append(message)
    return sent


def texts_of(sample: Object, targets: Sequence[str]) -> AnswerTexts:
    """Return the texts of a sample for people: the messages that were sent, the answer, and the right answer."""
    messages = [(str(message.get("role")), _text(message.get("content"))) for message in _sent(sample)]
    prompt = messages[0][1] if len(messages) == 1 else "\n\n".join(f"{role}: {text}" for role, text in messages)
    choices = sample.get("choices") or []
    places = [_place(target, len(choices)) for target in targets]
    right = [
        target if place is None else f"{target}: {choices[place]}"
        for target, place in zip(targets, places, strict=True)
    ]
    return AnswerTexts(prompt or _text(sample.get("input")), _completion(sample), " | ".join(right))


def with_attachments(sample: Object) -> Object:
    """Return a sample with the long texts of input, messages and output, which a log may store apart."""
    if not (attached := mapping(sample, "attachments")):
        return sample

    def whole(value: Any) -> Any:
        if isinstance(value, str):
            return attached.get(value.removeprefix(ATTACHED), value) if value.startswith(ATTACHED) else value
        if isinstance(value, dict):
            return {key: whole(each) for key, each in value.items()}
        return [whole(each) for each in value] if isinstance(value, list) else value

    return {**sample, **{key: whole(sample[key]) for key in ("input", "messages", "output") if key in sample}}


def _text(content: Any) -> str:
    """Return the text of a message's content. A part that is no text is replaced by the name of its type."""
    if isinstance(content, str):
        return content
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return "\n".join(_text(part["text"]) if "text" in part else f"[{part.get('type')}]" for part in parts)


def _completion(sample: Object) -> str:
    """Return the model's completion. Older versions log it only as a message."""
    completion = mapping(sample, "output").get("completion")
    return (
        completion if isinstance(completion, str) else _text(mapping(_first_output(sample), "message").get("content"))
    )


def _place(letter: str, choices: int) -> int | None:
    """Return the index of a choice that is named by its letter; None if the text is no such letter."""
    place = ord(letter) - ord("A") if len(letter) == 1 else -1
    return place if 0 <= place < choices else None


def answer_read(sample: Object) -> str:
    """Return the answer that the first scorer extracted from the completion; "" if it extracted none or does not log
    it.
    """
    score = next(iter(mapping(sample, "scores").values()), None)
    answer = score.get("answer") if isinstance(score, dict) else None
    return answer if isinstance(answer, str) else ""


def read_answer(sample: Object, choices: Sequence[str], targets: Sequence[str], reads: bool) -> ReadAnswer | None:
    """Return the answer of one epoch as its first scorer extracted it; None for a choice of one.

    `reads`: that scorer logs what it extracts, so that no logged answer means an unreadable one.
    """
    answer, text = answer_read(sample), _completion(sample).strip()
    if choices and answer and (place := _place(answer.strip(), len(choices))) is not None:
        return picked_answer(
            choices, place, [right for each in targets if (right := _place(each, len(choices))) is not None]
        )
    return ReadAnswer(
        text,
        tuple(target.strip() for target in targets),
        empty=not text,
        cut_off=_first_output(sample).get("stop_reason") in CUT_OFF,
        unreadable=reads and bool(text) and not answer,
    )


def _first_output(sample: Object) -> Object:
    outputs = mapping(sample, "output").get("choices")
    first = outputs[0] if isinstance(outputs, list) and outputs else None
    return first if isinstance(first, dict) else {}
