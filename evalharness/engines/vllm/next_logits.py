"""Request log-probabilities of the whole vocabulary after a prompt from vLLM, which show whether an adapter acts.

Log-probabilities are logits up to a constant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalharness.engines.hf.rows import Tokens
from evalharness.engines.vllm.calls import PLAIN, AnsweredCall, Ask, Call, Position

MOST = 1 << 24  # log-probabilities in memory as Python objects at a time
AFTER = 0  # any token after the prompt, so that its place is scored as part of a longer prompt


def decoding_logits(ask: Ask, prompts: Sequence[Tokens], vocabulary: int) -> NDArray[np.float64]:
    """Return log-probabilities after each prompt, (n, vocabulary), by the pass that writes a token."""
    calls = [Call(tokens=prompt, sampling={**PLAIN, "max_tokens": 1, "logprobs": -1}) for prompt in prompts]
    return np.stack([_filled(_new_place(answer), vocabulary) for answer in ask(calls)])


def scoring_logits(ask: Ask, prompts: Sequence[Tokens], vocabulary: int, certain: bool) -> NDArray[np.float64]:
    """Return log-probabilities after each prompt, (n, vocabulary), by the pass that scores a prompt's tokens.

    `certain`: whether vLLM returns those of requested tokens; otherwise those of every place are requested. Raises
    MemoryError if these are too many.
    """
    if not certain and (total := sum(map(len, prompts)) * vocabulary) > MOST:
        raise MemoryError(f"{total} log-probabilities of prompts, of which {MOST} fit")
    answers = ask([_call(prompt, vocabulary, certain) for prompt in prompts])
    return np.stack([_scored(prompt, answer, vocabulary) for prompt, answer in zip(prompts, answers, strict=True)])


def _call(prompt: Tokens, vocabulary: int, certain: bool) -> Call:
    sampling: Mapping[str, Any] = {"prompt_logprobs": -1}
    if certain:
        sampling = {"prompt_logprob_token_ids": [list(range(vocabulary))], "prompt_logprob_start": len(prompt) - 1}
    return Call(tokens=(*prompt, AFTER), sampling={**PLAIN, "max_tokens": 1, **sampling})


def _scored(prompt: Tokens, answer: AnsweredCall, vocabulary: int) -> NDArray[np.float64]:
    if answer.prompt_logprobs is not None:
        return _filled(answer.prompt_logprobs[len(prompt)], vocabulary)
    if answer.prompt_token_id_logprobs is None:
        raise ValueError("vLLM gave no log-probabilities of a prompt")
    return np.array(list(answer.prompt_token_id_logprobs[0]), dtype=np.float64)


def _new_place(answer: AnsweredCall) -> Position | None:
    places = answer.outputs[0].logprobs
    return places[0] if places else None


def _filled(place: Position | None, vocabulary: int) -> NDArray[np.float64]:
    """Return the log-probabilities by token; -inf for a missing one."""
    values = np.full(vocabulary, -np.inf)
    for token, entry in (place or {}).items():
        values[token] = entry.logprob
    return values
