"""Score pairs of context and continuation with vLLM.

All tokens of a pair but the last are sent as a prompt, and the last one as a possible next token. So pairs that differ
only in their last token share a prompt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evalharness.engines.hf.batches import Refusal
from evalharness.engines.hf.pair_scores import NONFINITE, RunScore, Scores
from evalharness.engines.hf.rows import Tokens
from evalharness.engines.hf.tokenizer_adapter import TokenPair
from evalharness.engines.vllm.calls import PLAIN, AnsweredCall, AskWithAdapter, Call, Position
from evalharness.engines.vllm.next_logits import scoring_logits

MOST_TOKENS = 128  # tokens whose log-probability one call may request: vLLM's MAX_LOGPROB_TOKEN_IDS
MISSING = "vLLM gave no log-probability of a token of it"


class VllmPairScorer:
    """Scores pairs of context and continuation: a continuation's tokens within the prompt, its last one as the next
    token.

    `ask`: the function that calls vLLM, with or without the adapter. `vocabulary`: the number of the model's tokens.
    `certain`: whether this vLLM returns the log-probabilities of requested tokens at the places of a prompt.
    `plain_because`: always "", because vLLM itself shares the reading of common prefixes.
    """

    plain_because = ""

    def __init__(self, ask: AskWithAdapter, vocabulary: int, certain: bool) -> None:
        self._ask, self._vocabulary, self._certain = ask, vocabulary, certain

    def scores(self, pairs: Sequence[TokenPair]) -> Scores:
        """Return for every pair its score, or why there is none. All pairs are scored in one call of vLLM."""
        if not pairs:
            return {}
        shared: dict[Tokens, list[TokenPair]] = {}
        for pair in dict.fromkeys(pairs):
            shared.setdefault(pair.fed, []).append(pair)
        parts = [(fed, part) for fed, of_fed in shared.items() for part in _parts(of_fed)]
        answers = self._ask([_call(fed, part) for fed, part in parts])
        return {
            pair: _score(fed, pair.continuation, answer)
            for (fed, part), answer in zip(parts, answers, strict=True)
            for pair in part
        }

    def last_logits(self, prompts: Sequence[Tokens], adapter: bool) -> NDArray[np.float64]:
        """Return log-probabilities after each prompt, (n, vocabulary), by the pass that scores prompts."""
        return scoring_logits(partial(self._ask, adapter=adapter), prompts, self._vocabulary, self._certain)


def _parts(pairs: Sequence[TokenPair]) -> list[Sequence[TokenPair]]:
    return [pairs[start : start + MOST_TOKENS] for start in range(0, len(pairs), MOST_TOKENS)]


def _call(fed: Tokens, pairs: Sequence[TokenPair]) -> Call:
    last = list(dict.fromkeys(pair.continuation[-1] for pair in pairs))
    inside = any(len(pair.continuation) > 1 for pair in pairs)
    # the likeliest token beside each of the prompt, which shows what greedy decoding takes at a tie
    prompt = {"prompt_logprobs": 1} if inside else {}
    return Call(tokens=fed, sampling={**PLAIN, "max_tokens": 1, "logprob_token_ids": last, **prompt})


def _score(fed: Tokens, continuation: Tokens, answer: AnsweredCall) -> RunScore | Refusal:
    (output,) = answer.outputs
    inside = len(continuation) - 1
    places: list[tuple[int, Position | None]] = []
    if inside:
        of_prompt = answer.prompt_logprobs
        if of_prompt is None or len(of_prompt) != len(fed):
            return Refusal(reason=MISSING)
        places = [(fed[i], of_prompt[i]) for i in range(len(fed) - inside, len(fed))]
    next_place = output.logprobs[0] if output.logprobs else None
    values = [logprob_of(token, place) for token, place in [*places, (continuation[-1], next_place)]]
    finite = [value for value in values if value is not None]
    if len(finite) != len(values):
        return Refusal(reason=MISSING)
    if not all(math.isfinite(value) for value in finite):
        return Refusal(reason=NONFINITE)
    greedy = all(place is not None and place[token].rank == 1 for token, place in places)
    return RunScore(logprob=math.fsum(finite), greedy=greedy and output.token_ids[0] == continuation[-1])


def logprob_of(token: int, place: Mapping[int, object] | None) -> float | None:
    """Return the log-probability of a token at a place; None if vLLM returned none."""
    value = None if place is None else getattr(place.get(token), "logprob", None)
    return None if value is None else float(value)
