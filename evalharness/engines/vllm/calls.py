"""State what vLLM is given and what of its answers is read, without vllm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evalharness.engines.hf.rows import Tokens

PLAIN: Mapping[str, Any] = {  # greedy; end tokens are ours to name
    "temperature": 0.0,
    "ignore_eos": True,
    "detokenize": False,
    "flat_logprobs": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One prompt as tokens, and the keywords of its vllm.SamplingParams."""

    tokens: Tokens
    sampling: Mapping[str, Any]


class TokenLogprob(Protocol):
    """Of vllm.logprobs.Logprob: nats, and the token's place among all, 1 the likeliest."""

    @property
    def logprob(self) -> float: ...
    @property
    def rank(self) -> int | None: ...


Position = Mapping[int, TokenLogprob]  # by token


class WrittenTokens(Protocol):
    """Of vllm.CompletionOutput: new tokens, and per token what was asked about its place."""

    @property
    def token_ids(self) -> Sequence[int]: ...
    @property
    def logprobs(self) -> Sequence[Position] | None: ...


class AnsweredCall(Protocol):
    """Of vllm.RequestOutput. `prompt_logprobs`: per token of the prompt, nothing at the first;
    `prompt_token_id_logprobs`: of the tokens that were named, (places, tokens).
    """

    @property
    def prompt_logprobs(self) -> Sequence[Position | None] | None: ...
    @property
    def prompt_token_id_logprobs(self) -> Sequence[Iterable[float]] | None: ...
    @property
    def outputs(self) -> Sequence[WrittenTokens]: ...


Ask = Callable[[Sequence[Call]], Sequence[AnsweredCall]]  # answers in the order of the calls


class AskWithAdapter(Protocol):
    """Asks with the adapter on or off."""

    def __call__(self, calls: Sequence[Call], adapter: bool = True) -> Sequence[AnsweredCall]: ...
