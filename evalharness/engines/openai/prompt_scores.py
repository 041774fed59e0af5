"""Read the log-probabilities of a prompt's tokens from a server's answer, and refuse unsound ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

Tokens = tuple[int, ...]
Prompt = Tokens | str
TOKEN_ID = "token_id:"  # vLLM's prefix of a token's id
ROUNDED = 1e-3  # nats by which rounding may put a log-probability above 0


class Unsound(ValueError):
    """Raised for an answer that cannot be used; the message is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScore:
    """One token of a prompt, as the server scored it.

    `logprob`: in nats, None for the first token. `is_best`: whether no token is likelier. `text`: the token's text, ""
    if the token is known by its id.
    """

    logprob: float | None
    is_best: bool = False
    text: str = ""


def choices_in(answer: Mapping[str, Any], count: int) -> list[Mapping[str, Any]]:
    """Return the choices of an answer in the order of the prompts. Raises Unsound unless there is one for each."""
    choices = answer.get("choices")
    if not (isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices)):
        raise Unsound("the server's answer has no choices")
    if len(choices) != count:
        raise Unsound(f"the server's answer has {len(choices)} choices for {count} prompts")
    by_index = {index: choice for choice in choices if type(index := choice.get("index", 0)) is int}
    if set(by_index) != set(range(count)):
        raise Unsound("the server does not say which of its choices belongs to which prompt")
    return [by_index[index] for index in range(count)]


def text_in(answer: Mapping[str, Any]) -> str:
    """Return the text of an answer to one prompt. Raises Unsound."""
    choice = choices_in(answer, 1)[0]
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    if not isinstance(text, str):
        raise Unsound("the server's answer has no text")
    return text


def count_in(answer: Mapping[str, Any], name: str) -> int | None:
    """Return a count of tokens in the answer's `usage`; None if there is none."""
    usage = answer.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if type(count) is int else None


def read_prompt_logprobs(choice: Mapping[str, Any], prompt: Tokens) -> list[TokenScore]:
    """Read one score a token from vLLM's `prompt_logprobs`. Raises Unsound."""
    places = choice.get("prompt_logprobs")
    if not isinstance(places, list):
        raise Unsound("the server's answer has no prompt_logprobs")
    if len(places) != len(prompt):
        raise Unsound(f"the server gives log-probabilities of {len(places)} tokens for a prompt of {len(prompt)}")
    if places and places[0] is not None:
        raise Unsound("the server gives a log-probability of a prompt's first token, which has none")
    scores = [TokenScore(logprob=None)]
    for token, place in zip(prompt[1:], places[1:], strict=True):
        top = _by_id(place)
        if token not in top:
            raise Unsound("the server gives log-probabilities of other tokens than it was sent")
        own, best = top[token], max(top.values())
        if own >= best and len(top) == 1 and _is_ranked_below(place, token):
            raise Unsound("the server gives no log-probability of a likelier token than its own")
        scores.append(TokenScore(logprob=own, is_best=own >= best))
    return scores


def read_echo(choice: Mapping[str, Any], prompt: Prompt, new_tokens: int) -> list[TokenScore]:
    """Read one score a token of the prompt from the `logprobs` of an answer that echoes it; at most `new_tokens` after
    it are left out. Raises Unsound.
    """
    entry = choice.get("logprobs")
    if not isinstance(entry, dict):
        raise Unsound("the server's answer has no logprobs")
    texts, values, tops = (entry.get(name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if not (isinstance(texts, list) and isinstance(values, list) and isinstance(tops, list)):
        raise Unsound("the server's logprobs have no tokens, token_logprobs or top_logprobs")
    if not len(texts) == len(values) == len(tops) or not all(isinstance(text, str) for text in texts):
        raise Unsound("the server's lists of tokens and log-probabilities are not of one length")
    count = _sent_tokens(texts, prompt)
    if len(texts) > count + new_tokens:
        raise Unsound(f"the server gives log-probabilities of {len(texts)} tokens for a prompt of {count}")
    if values[0] is not None:
        raise Unsound("the server gives a log-probability of a prompt's first token, which has none")
    scores = [TokenScore(logprob=None, text=texts[0])]
    for text, value, top in zip(texts[1:count], values[1:count], tops[1:count], strict=True):
        likely = [_finite(each) for each in top.values()] if isinstance(top, dict) else []
        if not likely:
            raise Unsound("the server does not say which token is the likeliest")
        own = _finite(value)
        if own > max(likely) + ROUNDED or abs(own - top.get(text, own)) > ROUNDED:
            raise Unsound("a token's log-probability and those of the likeliest tokens contradict each other")
        scores.append(TokenScore(logprob=own, is_best=own >= max(likely), text=text))
    return scores


def check_usage(answer: Mapping[str, Any], prompts: Sequence[Prompt]) -> None:
    """Raise Unsound if the server reports that it read more or fewer tokens than it was sent."""
    read, sent = count_in(answer, "prompt_tokens"), sum(map(len, prompts))
    if read is not None and read != sent and not any(isinstance(prompt, str) for prompt in prompts):
        raise Unsound(f"the server read {read} tokens and was sent {sent}")


def sum_from(scores: Sequence[TokenScore], start: int) -> tuple[float, bool]:
    """Sum the log-probabilities from a place on; also return whether each token is the likeliest. Raises Unsound."""
    scored = [score.logprob for score in scores[start:]]
    finite = [logprob for logprob in scored if logprob is not None]
    if not finite or len(finite) != len(scored):
        raise Unsound("the server gives no log-probability of a token that is scored")
    return math.fsum(finite), all(score.is_best for score in scores[start:])


def token_at(scores: Sequence[TokenScore], text: str, character: int) -> int:
    """Return the place of the prompt's token that begins at this character. Raises Unsound if none does."""
    at = len(text) - sum(len(score.text) for score in scores)  # below 0 where the server put tokens before the text
    for place, score in enumerate(scores):
        if at == character:
            return place
        if at > character:
            break
        at += len(score.text)
    raise Unsound("a token is part of the context and of its continuation; give its tokenizer (tokenizer=DIR)")


def _sent_tokens(texts: Sequence[str], prompt: Prompt) -> int:
    """Count the tokens of an answer that are the prompt's. Raises Unsound if they are not those that were sent."""
    if not texts:
        raise Unsound("the server echoes no token")
    if isinstance(prompt, str):
        return _tokens_of(texts, prompt)
    if len(texts) < len(prompt):
        raise Unsound(f"the server gives log-probabilities of {len(texts)} tokens for a prompt of {len(prompt)}")
    if texts[: len(prompt)] != [f"{TOKEN_ID}{token}" for token in prompt]:
        raise Unsound("the server gives log-probabilities of other tokens than it was sent")
    return len(prompt)


def _tokens_of(texts: Sequence[str], prompt: str) -> int:
    """Count the tokens that add up to the prompt; the text of a first token that the server adds does not count."""
    for lead in (0, len(texts[0])):
        length = -lead
        for count, text in enumerate(texts, 1):
            length += len(text)
            if length == len(prompt) and "".join(texts[:count])[lead:] == prompt:
                return count
            if length > len(prompt):
                break
    raise Unsound("the tokens that the server echoes do not add up to the prompt; give its tokenizer (tokenizer=DIR)")


def _by_id(place: object) -> dict[int, float]:
    """Return token id -> log-probability at one place of a prompt. Raises Unsound."""
    if not (isinstance(place, dict) and place):
        raise Unsound("the server leaves a token of the prompt without log-probabilities")
    try:
        return {int(token): _finite(value["logprob"]) for token, value in place.items()}
    except (TypeError, KeyError, ValueError) as error:
        if isinstance(error, Unsound):
            raise
        raise Unsound("the server's prompt_logprobs are of another form than vLLM's") from None


def _is_ranked_below(place: Mapping[str, Any], token: int) -> bool:
    """Return whether the server ranks other tokens above this one, which it then has to name."""
    rank = next((value.get("rank") for key, value in place.items() if int(key) == token), None)
    return isinstance(rank, int) and rank > 1


def _finite(value: object) -> float:
    try:
        is_number = type(value) in (int, float) and math.isfinite(cast(float, value))
    except OverflowError:  # a whole number too large for a float
        is_number = False
    if not is_number:
        raise Unsound("a log-probability is not a finite number")
    value = cast(float, value)
    if value > ROUNDED:
        raise Unsound("a log-probability is above 0")
    return float(value)
