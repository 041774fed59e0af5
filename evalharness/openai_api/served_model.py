"""Read a server's facts about a model, send it the probes (fixed prompts), and check later that its answers are the
same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalharness import fingerprint
from evalharness.errors import ModelError, NotComparableError, did_you_mean
from evalharness.openai_api.client import ApiClient
from evalharness.openai_api.limits import RequestLimits
from evalharness.openai_api.location import ServedLocation
from evalharness.openai_api.probes import LEAST_CHANGE, PROMPTS, TOKENS, ProbeAnswer, ProbeAnswers, differences, same_at
from evalharness.openai_api.replies import ApiFailure, safe_words

ROUNDED = 1e-3  # nats by which rounding may put a log-probability above 0
MOST_NOISE = 0.2  # nats; where answers to the same prompt differ more, several models answer
ODD = 4  # a pair of answers is odd if it differs this many times more than nine tenths of the pairs
MOST_ODD = 2  # odd pairs that may be chance
AT_A_TIME = 4  # probes that are asked again after a block
WITHOUT = (400, 404, 405, 422, 501)  # statuses of a server that does not support a request
COMPLETIONS, CHAT = "/completions", "/chat/completions"
WINDOWS = ("max_model_len", "max_context_length", "context_length", "context_window")
KEPT = "no answer since the last check of all was kept; run again: the model that answers now is recognised anew"

Pair = tuple[ProbeAnswer, ProbeAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedFacts:
    """The facts of a served model.

    `window`: the most tokens of prompt and answer, None if the server does not say. `parent`: the name of its base on
    the server, None if the server does not say. `tokenizer`: the digest of the prompts' token ids, "" if the server
    returns none. `probes`: its answers to the probes.
    """

    window: int | None
    parent: str | None
    tokenizer: str
    probes: ProbeAnswers


def offered(location: ServedLocation) -> Mapping[str, Mapping[str, Any]]:
    """Return the server's facts of each of its models, by name. Raises ModelError if the server cannot be asked, and if
    it has no such model.
    """
    with ApiClient(location.url) as api:
        return models_of(api, location.model)


def parent_of(location: ServedLocation) -> str | None:
    """Return the name of the base on this server of which the model is an adapter; None if it does not say. Raises
    ModelError.
    """
    return _parent(offered(location), location.model)


def look_at(location: ServedLocation, by_chat: bool, limits: RequestLimits | None = None) -> ServedFacts:
    """Ask the server for its models, and the model all probes twice; `by_chat`: through the chat endpoint only.

    Raises ModelError if the model cannot answer, or answers by chance, and NotComparableError if the budget of requests
    is spent.
    """
    with ApiClient(location.url, limits=limits) as api:
        models = models_of(api, location.model)
        parent = _parent(models, location.model)
        token_ids, window = _tokenized(api, location.model)
        window = window_in(models.get(location.model, {})) or window_in(models.get(parent or "", {})) or window
        probes = Prober(api, location.model, by_chat).all_twice()
    tokenizer = fingerprint.of_value(token_ids) if token_ids else ""
    return ServedFacts(window=window, parent=parent, tokenizer=tokenizer, probes=probes)


class Prober:
    """Sends one served model the probes, in the first form of request that its server supports; `by_chat`: only through
    chat.
    """

    def __init__(self, api: ApiClient, model: str, by_chat: bool = False) -> None:
        self._api, self._model, self._by_chat = api, model, by_chat
        self._way: tuple[str, bool] | None = None  # the path, and whether log-probabilities are asked for

    def all_twice(self) -> ProbeAnswers:
        """Ask all probes forwards and backwards, so that batches differ. Raises ModelError for a server that gives no
        answer, or answers by chance.
        """
        first = self.ask(range(len(PROMPTS)))
        second = self.ask(range(len(PROMPTS) - 1, -1, -1))[::-1]
        with_logprobs = all(map(_is_sound, (*first, *second))) and len({x for a in first for x in a.logprobs}) > 1
        if not with_logprobs:
            first, second = ([_without_logprobs(each) for each in answers] for answers in (first, second))
        pairs = self._without_odd_ones(list(zip(first, second, strict=True)))
        unsteady = tuple(place for place, (a, b) in enumerate(pairs) if a.text != b.text)
        if 2 * len(unsteady) > len(PROMPTS):
            what = f"asked twice at temperature 0, it gives other answers to {len(unsteady)} of {len(PROMPTS)} prompts"
            raise ModelError(self._where, what, "have the server decode greedily where temperature is 0")
        noise = max(map(_moved, pairs))
        if noise > MOST_NOISE:
            what = f"asked twice, it gives log-probabilities that differ by {noise:.2g} nats: these are two models"
            raise ModelError(self._where, what, "have one model answer, or replicas of the same weights")
        answers = tuple(one for one, _ in pairs)
        return ProbeAnswers(
            answers=answers, with_logprobs=with_logprobs, noise=noise, unsteady=unsteady, by_chat=self._by_chat
        )

    def _without_odd_ones(self, pairs: list[Pair]) -> list[Pair]:
        """Replace each odd pair of answers (which differ too much) by the nearest two of three answers, for at most
        MOST_ODD pairs. More odd pairs are no chance, and stay.
        """
        apart = [_moved(pair) for pair in pairs]
        usual = max(LEAST_CHANGE, ODD * sorted(apart)[-1 - len(pairs) // 10])
        odd = [place for place, moved in enumerate(apart) if moved > usual]
        if not 0 < len(odd) <= MOST_ODD:
            return pairs
        for place, third in zip(odd, self.ask(odd), strict=True):
            one, other = pairs[place]
            if not (third.tokens and _is_sound(third)):
                continue
            pairs[place] = min(((one, other), (one, third), (other, third)), key=_moved)
        return pairs

    def ask(self, places: Sequence[int]) -> list[ProbeAnswer]:
        """Ask the probes at these places. Raises as ApiClient.post does."""
        path, with_logprobs = self._way = self._way or self._find_way()
        bodies = [_body(path, self._model, PROMPTS[place], with_logprobs) for place in places]
        answers: list[ProbeAnswer | None] = [None] * len(bodies)
        for place, reply in self._api.post_all(path, bodies):
            if isinstance(reply, ApiFailure):
                raise self._unanswered(reply)
            answers[place] = self._read(reply)
        return [answer for answer in answers if answer is not None]

    @property
    def _where(self) -> str:
        return f"{self._api.url}#{self._model}"

    def _find_way(self) -> tuple[str, bool]:
        reply: Any = None
        paths = [CHAT] if self._by_chat else [COMPLETIONS, CHAT]
        for path, with_logprobs in itertools.product(paths, (True, False)):
            reply = self._api.try_post(path, _body(path, self._model, PROMPTS[0], with_logprobs))
            if isinstance(reply, dict):
                return path, with_logprobs
            if reply.status not in WITHOUT:
                break
        raise self._unanswered(reply)

    def _unanswered(self, failure: ApiFailure) -> ModelError:
        return ModelError(self._where, f"does not answer a short prompt: {failure.reason}", "mend it on the server")

    def _read(self, reply: Mapping[str, Any]) -> ProbeAnswer:
        try:
            choice = reply["choices"][0]
            text = choice["message"]["content"] if "message" in choice else choice["text"]
            tokens, logprobs = _logprobs_in(choice.get("logprobs"))
            count = (reply.get("usage") or {}).get("prompt_tokens")
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
            what = "answers in another form than OpenAI's completions"
            raise ModelError(self._where, what, "give the address of an API that has them") from None
        counted = count if isinstance(count, int) else None
        return ProbeAnswer(text=text or "", tokens=tokens, logprobs=logprobs, prompt_tokens=counted)


class ProbeWatch:
    """Detects that a model's weights at an address are no longer those that were recognised there.

    `before`: the model's answers to the probes when it was recognised. Call `after_block` before the answers of a block
    are stored, and `check_all` at the end.
    """

    def __init__(self, api: ApiClient, model: str, before: ProbeAnswers) -> None:
        self._api, self._before, self._prober = api, before, Prober(api, model, before.by_chat)
        self._where, self._next, self._interrupted = f"{api.url}#{model}", 0, api.interrupted

    def after_block(self) -> None:
        """Ask a few probes again, or all after a failed connection. Raises NotComparableError for other answers."""
        if self._api.interrupted > self._interrupted:
            self.check_all()
        else:
            self._check([(self._next + step) % len(PROMPTS) for step in range(AT_A_TIME)])
            self._next = (self._next + AT_A_TIME) % len(PROMPTS)

    def check_all(self) -> None:
        """Ask all probes again. Raises NotComparableError for other answers."""
        interrupted = self._api.interrupted  # read before, so that an interruption meanwhile counts at the next block
        self._check(range(len(PROMPTS)))
        self._interrupted = interrupted

    def _check(self, places: Sequence[int]) -> None:
        for place, answer in zip(places, self._prober.ask(places), strict=True):
            answer = answer if self._before.with_logprobs else _without_logprobs(answer)
            if not same_at(self._before, place, answer):
                what = f"answers with other weights than before: the prompt {PROMPTS[place]!r} gets another answer"
                raise NotComparableError(self._where, what, KEPT)


def models_of(api: ApiClient, model: str) -> Mapping[str, Mapping[str, Any]]:
    """Return the server's facts of each of its models, by name; {} if it lists none. Raises ModelError if the server
    cannot be asked, and if `model` is none of them.
    """
    try:
        listed = api.get("/models").get("data")
    except ModelError:
        if not api.was_reached:
            raise
        return {}  # `transformers serve` without the hub lists none
    entries = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    models = {each["id"]: each for each in entries if isinstance(each.get("id"), str)}
    if model not in models and models:
        fix = did_you_mean(model, map(safe_words, models))
        raise ModelError(f"{api.url}#{model}", "the server has no such model", fix)
    return models


def _parent(models: Mapping[str, Mapping[str, Any]], model: str) -> str | None:
    """Return the base that an adapter names as its parent, or as its root if that is another of the models."""
    stated = (models.get(model, {}).get(key) for key in ("parent", "root"))
    return next((name for name in stated if isinstance(name, str) and name != model and name in models), None)


def window_in(entry: Mapping[str, Any]) -> int | None:
    """Return the most tokens of prompt and answer if a server states them for a model; None if it does not."""
    sizes = (entry.get(key) for key in WINDOWS)
    return next((size for size in sizes if isinstance(size, int) and not isinstance(size, bool) and size > 0), None)


def _tokenized(api: ApiClient, model: str) -> tuple[list[int], int | None]:
    """Return the token ids of all prompts in one text, and the window, which only vLLM's /tokenize gives."""
    reply = api.try_post(
        f"{api.root}/tokenize", {"model": model, "prompt": "\n".join(PROMPTS), "add_special_tokens": True}
    )
    if not isinstance(reply, dict):
        return [], None
    ids = reply.get("tokens")
    is_ids = isinstance(ids, list) and all(isinstance(each, int) for each in ids)
    return list(ids or ()) if is_ids else [], window_in(reply)


def _body(path: str, model: str, prompt: str, with_logprobs: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "max_tokens": TOKENS, "temperature": 0}
    if path == CHAT:
        return {**body, "messages": [{"role": "user", "content": prompt}]} | (
            {"logprobs": True} if with_logprobs else {}
        )
    return {**body, "prompt": prompt} | ({"logprobs": 1} if with_logprobs else {})


def _logprobs_in(entry: Any) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Read tokens and their log-probabilities, in the form of completions or of chats; () if there are none."""
    if not entry:
        return (), ()
    if entry.get("content"):
        pairs = [(each["token"], each["logprob"]) for each in entry["content"]]
    else:
        pairs = list(zip(entry.get("tokens") or (), entry.get("token_logprobs") or (), strict=True))
    if any(value is None for _, value in pairs):
        return (), ()
    return tuple(str(token) for token, _ in pairs), tuple(float(value) for _, value in pairs)


def _is_sound(answer: ProbeAnswer) -> bool:
    """Return whether every text has log-probabilities, all finite and not above 0."""
    possible = all(math.isfinite(value) and value <= ROUNDED for value in answer.logprobs)
    return possible and bool(answer.tokens or not answer.text)


def _moved(pair: Pair) -> float:
    """Return by how many nats the log-probabilities of two answers to one prompt differ."""
    return max(differences(*pair), default=0.0)


def _without_logprobs(answer: ProbeAnswer) -> ProbeAnswer:
    return ProbeAnswer(text=answer.text, prompt_tokens=answer.prompt_tokens)
