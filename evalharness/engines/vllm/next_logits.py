"""Ask vLLM for log-probabilities of the whole vocabulary after a prompt: logits up to a constant, which is all that
shows whether an adapter moves them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalharness.engines.hf.rows import Tokens
from evalharness.engines.vllm.calls import PLAIN, AnsweredCall, Ask, Call, Position

MOST = 1 << 24  # log-probabilities that are held as Python's objects at a time
AFTER = 0  # a token after the prompt, so that what comes there is part of a longer prompt; which one does not matter


def written_logits(ask: Ask, prompts: Sequence[Tokens], vocabulary: int) -> NDArray[np.float64]:
    """After each prompt, (n, vocabulary), as those of the token that is written."""
    calls = [Call(tokens=prompt, sampling={**PLAIN, "max_tokens": 1, "logprobs": -1}) for prompt in prompts]
    return np.stack([_filled(_written(answer), vocabulary) for answer in ask(calls)])


def scored_logits(ask: Ask, prompts: Sequence[Tokens], vocabulary: int, certain: bool) -> NDArray[np.float64]:
    """The same as those of the tokens of a prompt. `certain`: vLLM has those of named tokens, else it gives all of
    every place. Raises MemoryError where they are too many.
    """
    if not certain and (total := sum(map(len, prompts)) * vocabulary) > MOST:
        raise MemoryError(f"{total} log-probabilities of prompts, of which {MOST} are held")
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


def _written(answer: AnsweredCall) -> Position | None:
    places = answer.outputs[0].logprobs
    return places[0] if places else None


def _filled(place: Position | None, vocabulary: int) -> NDArray[np.float64]:
    """By token; -inf for one that is not there."""
    values = np.full(vocabulary, -np.inf)
    for token, entry in (place or {}).items():
        values[token] = entry.logprob
    return values
