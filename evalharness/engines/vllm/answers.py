"""Answer requests of every kind by calls of vLLM, which another object makes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from transformers import GenerationConfig

from evalharness.engines.hf.profiles import Profiler
from evalharness.engines.hf.scoring import Scorer
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.engines.vllm.calls import AskWithAdapter
from evalharness.engines.vllm.decoding import VllmDecoder
from evalharness.engines.vllm.next_logits import decoding_logits
from evalharness.engines.vllm.profiles import VllmProfiler
from evalharness.engines.vllm.reader import VllmReader
from evalharness.engines.vllm.scores import VllmPairScorer
from evalharness.records.requests import Failure, Generate, Profile, Rank, Request, Response, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """The limits of an opened model. `window`: the most tokens that it reads. `vocabulary`: the number of its tokens.
    `certain`: whether this vLLM returns the log-probabilities of requested tokens at the places of a prompt.
    """

    window: int
    vocabulary: int
    certain: bool


class VllmAnswers:
    """Answers requests with one model's tokenizer, decoding rules and limits. `ask`: the function that calls vLLM."""

    def __init__(
        self, ask: AskWithAdapter, tokenizer: TokenizerAdapter, config: GenerationConfig, limits: ModelLimits
    ) -> None:
        self._ask, self._limits = ask, limits
        self._reader = VllmReader(tokenizer=tokenizer, window=limits.window)
        facts = limits.vocabulary, limits.certain
        self._pairs, profiles = VllmPairScorer(ask, *facts), VllmProfiler(ask, *facts)
        self._scorer = Scorer(self._reader, lambda: self._pairs)
        self._decoder = VllmDecoder(ask, self._reader, config)
        # the last token of a profile is read, too
        self._profiler = Profiler(replace(self._reader, window=limits.window - 1), profiles.of_pieces)

    def to(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        """Yield one answer per request: rankings, then scores of whole texts, generations, profiles."""
        return itertools.chain(
            self._scorer.rank([request for request in requests if isinstance(request, Rank)]),
            self._scorer.score([request for request in requests if isinstance(request, Score)]),
            self._decoder.generate([request for request in requests if isinstance(request, Generate)]),
            self._profiler.profile([request for request in requests if isinstance(request, Profile)]),
        )

    def next_token_logits(
        self, prompts: Sequence[str], *, adapter: bool, path: Literal["score", "decode"]
    ) -> NDArray[np.float64]:
        """Return each prompt's next-token log-probabilities (logits less a constant), (prompts, vocabulary)."""
        tokens = [self._reader.tokenizer.prompt(prompt)[-(self._limits.window - 1) :] for prompt in prompts]
        if path == "score":
            return self._pairs.last_logits(tokens, adapter)
        return decoding_logits(partial(self._ask, adapter=adapter), tokens, self._limits.vocabulary)
