"""Define vLLM's calls and the parts of its answers that are used, without importing vllm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evalharness.engines.hf.rows import Tokens

PLAIN: Mapping[str, Any] = {  # greedy; each call names its end tokens
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
    """The part of vllm.logprobs.Logprob that is used. `logprob`: in nats. `rank`: 1 for the likeliest token."""

    @property
    def logprob(self) -> float: ...
    @property
    def rank(self) -> int | None: ...


Position = Mapping[int, TokenLogprob]  # by token


class WrittenTokens(Protocol):
    """The part of vllm.CompletionOutput that is used. `token_ids`: the new tokens. `logprobs`: the requested
    log-probabilities at each of them, None if none were requested.
    """

    @property
    def token_ids(self) -> Sequence[int]: ...
    @property
    def logprobs(self) -> Sequence[Position] | None: ...


class AnsweredCall(Protocol):
    """The part of vllm.RequestOutput that is used.

    `prompt_logprobs`: for each token of the prompt, None at the first. `prompt_token_id_logprobs`: those of the
    requested tokens, (places, tokens). Both are None if they were not requested. `outputs`: the written tokens.
    """

    @property
    def prompt_logprobs(self) -> Sequence[Position | None] | None: ...
    @property
    def prompt_token_id_logprobs(self) -> Sequence[Iterable[float]] | None: ...
    @property
    def outputs(self) -> Sequence[WrittenTokens]: ...


Ask = Callable[[Sequence[Call]], Sequence[AnsweredCall]]  # answers in the order of the calls


class AskWithAdapter(Protocol):
    """Calls vLLM with the adapter on or off."""

    def __call__(self, calls: Sequence[Call], adapter: bool = True) -> Sequence[AnsweredCall]: ...
