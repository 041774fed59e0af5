"""Answer Generate requests with a server, and cut its texts by evalharness's own rule of stop strings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from evalharness.engines.hf.tokenizer_adapter import Untokenizable
from evalharness.engines.openai.prompt_scores import Prompt, Unsound, check_usage, choices_in, count_in, text_in
from evalharness.engines.openai.scoring import UNANSWERED
from evalharness.engines.openai.tokens import PromptSplitter, check_text
from evalharness.openai_api.client import ApiClient
from evalharness.openai_api.replies import ApiFailure, safe_words
from evalharness.openai_api.served_model import CHAT, COMPLETIONS
from evalharness.records.requests import Failure, Generate, Generation

MOST_STOPS = 4  # stop strings of a request that every server accepts
Answer = Generation | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class SentPrompt:
    """One request in the form in which it is sent. `prompt`: its tokens or its text. `stops`: the stop strings sent
    with it.
    """

    request: Generate
    prompt: tuple[int, ...] | str
    stops: tuple[str, ...]


class ServedWriter:
    """Answers Generate requests with one served model: through the chat endpoint if `chat`, else through completions.
    `ids`: prompts are sent as token ids.
    """

    def __init__(
        self, api: ApiClient, model: str, splitter: PromptSplitter | None, *, ids: bool, chat: bool, window: int | None
    ) -> None:
        self._api, self._model, self._splitter = api, model, splitter
        self._ids, self._path, self._window = ids, CHAT if chat else COMPLETIONS, window

    def generate(self, requests: Sequence[Generate]) -> Iterator[Answer]:
        """Yield an answer per request, in any order.

        White space before the first word ends a server's text if it is a stop string, but not by evalharness's rule: if
        the server wrote nothing else, the request is sent again without such stop strings.
        """
        if self._splitter is not None and self._ids:
            self._splitter.learn(request.prompt for request in requests)
        sent: list[SentPrompt] = []
        for request in requests:
            if request.max_tokens < 1:
                yield Generation(request_id=request.id, text="", finish_reason="length", tokens=0)
            elif isinstance(prompt := self._prompt(request), Failure):
                yield prompt
            else:
                sent.append(SentPrompt(request=request, prompt=prompt, stops=sent_stops(request)))
        again = []
        for prompt_sent, answer in self._answered(sent):
            if isinstance(answer, Failure) or not _may_go_on(prompt_sent, answer):
                yield answer
            else:
                words = tuple(stop for stop in prompt_sent.stops if not stop.isspace())
                again.append(replace(prompt_sent, stops=words))
        yield from (answer for _, answer in self._answered(again))

    def _prompt(self, request: Generate) -> tuple[int, ...] | str | Failure:
        try:
            check_text(request.prompt)
            if self._splitter is None or self._path == CHAT:
                return request.prompt or self._refuse_empty()
            tokens = self._splitter.adapter.prompt(request.prompt)
        except Untokenizable as error:
            return Failure(request_id=request.id, reason=str(error))
        if self._window is not None and len(tokens) + request.max_tokens > self._window:
            what = f"{len(tokens)} tokens and {request.max_tokens} new ones do not fit the window of {self._window}"
            return Failure(request_id=request.id, reason=what)
        return tokens if self._ids else request.prompt

    def _refuse_empty(self) -> str:
        raise Untokenizable("an empty prompt, and the server's tokens are not known (give tokenizer=DIR)")

    def _answered(self, sent: Sequence[SentPrompt]) -> Iterator[tuple[SentPrompt, Answer]]:
        for place, answer in self._api.post_all(self._path, [self._body(each) for each in sent]):
            prompt = sent[place]
            if isinstance(answer, ApiFailure):
                yield prompt, Failure(request_id=prompt.request.id, reason=UNANSWERED.format(answer.reason))
                continue
            try:
                yield prompt, _generation(prompt, answer)
            except Unsound as error:
                yield prompt, Failure(request_id=prompt.request.id, reason=str(error))

    def _body(self, sent: SentPrompt) -> dict[str, Any]:
        content = prompt_content(sent.prompt, self._path == CHAT)
        stop = {"stop": list(sent.stops)} if sent.stops else {}
        return {"model": self._model, **content, "max_tokens": sent.request.max_tokens, "temperature": 0, **stop}


def prompt_content(prompt: Prompt, chat: bool) -> dict[str, Any]:
    """Make the part of a request that holds the prompt."""
    sent = prompt if isinstance(prompt, str) else list(prompt)
    return {"messages": [{"role": "user", "content": sent}]} if chat else {"prompt": sent}


def sent_stops(request: Generate) -> tuple[str, ...]:
    """Return the stop strings to send: at most MOST_STOPS, none of which hides another. A server may end a text at any
    string that a token completes, not at the one that begins first.
    """
    stops = tuple(dict.fromkeys(stop for stop in request.stop if stop))
    return tuple(stop for stop in stops if not any(_hides(stop, other) for other in stops))[:MOST_STOPS]


def _hides(stop: str, other: str) -> bool:
    """Return whether a text that is cut before `stop` may lose the end of `other`, which begins before it."""
    rests = (other[start:] for start in range(1, len(other)))
    return stop != other and any(stop.startswith(rest) or rest.startswith(stop) for rest in rests)


def _may_go_on(sent: SentPrompt, answer: Generation) -> bool:
    """Return whether a stop string of white space may have ended an answer before its first word."""
    spaces = any(stop.isspace() for stop in sent.stops)
    return spaces and not sent.request.stop_at_once and answer.finish_reason != "length" and not answer.text.strip()


def _generation(sent: SentPrompt, answer: Mapping[str, Any]) -> Generation:
    """Read the server's answer. Raises Unsound."""
    text, choice, request = text_in(answer), choices_in(answer, 1)[0], sent.request
    if not isinstance(sent.prompt, str):
        check_usage(answer, [sent.prompt])
    tokens = count_in(answer, "completion_tokens")
    if tokens is None or tokens < 0:
        raise Unsound("the server does not say how many tokens it wrote")
    if tokens > request.max_tokens:
        raise Unsound(f"the server wrote {tokens} tokens where {request.max_tokens} are allowed")
    if text and not tokens:
        raise Unsound("the server gives a text of 0 tokens")
    cut, stopped = request.answer_in(text)
    reason = "stop" if stopped else _reason(choice, sent.stops)
    return Generation(request_id=request.id, text=cut, finish_reason=reason, tokens=tokens)


def _reason(choice: Mapping[str, Any], stops: Sequence[str]) -> Literal["stop", "eos", "length"]:
    """Return why a text without a stop string ended. Raises Unsound if the server does not say, or broke off."""
    reason = choice.get("finish_reason")
    if reason == "length":
        return "length"
    if reason not in ("stop", "eos", "stop_sequence", "eos_token"):
        words = safe_words(reason) if isinstance(reason, str) else "none" if reason is None else "no text"
        raise Unsound(f"the server ended the answer for another reason than its end: {words}")
    if "stop_reason" in choice:  # vLLM: the stop string, or None or a token's id for an end token
        return "stop" if isinstance(choice["stop_reason"], str) else "eos"
    return "stop" if stops and reason != "eos" else "eos"
