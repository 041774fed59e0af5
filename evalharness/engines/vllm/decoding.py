"""Answer Generate requests greedily with vLLM, and end its texts by evalharness's own rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from transformers import GenerationConfig

from evalharness.checkpoints.generation_rules import stated
from evalharness.engines.hf.endings import DecodedRow, Endings, TokenPrompt, token_prompt
from evalharness.engines.hf.rows import Tokens
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.engines.vllm.calls import PLAIN, AnsweredCall, Ask, Call
from evalharness.engines.vllm.reader import VllmReader
from evalharness.engines.vllm.scores import logprob_of
from evalharness.records.requests import Failure, Generate, Generation

NOTHING = "vLLM wrote nothing"


@dataclass(slots=True, kw_only=True)
class GrowingText:
    """One request and its new tokens so far. `finite`: whether all their log-probabilities are finite."""

    request: Generate
    prompt: Tokens
    new: list[int] = field(default_factory=list)
    finite: bool = True


class VllmDecoder:
    """Decodes with vLLM by the greedy part of a generation config."""

    def __init__(self, ask: Ask, reader: VllmReader, config: GenerationConfig) -> None:
        self._ask, self._reader = ask, reader
        self._penalty = float(config.repetition_penalty or 1.0)
        self._endings = _endings(config, reader.tokenizer)

    def generate(self, requests: Sequence[Generate]) -> Iterator[Generation | Failure]:
        """Yield an answer per request, first those that do not need the model.

        vLLM stops at the first stop string in its own decoded text. If evalharness's rule does not stop there, as at
        white space before the first word, vLLM is called again to continue.
        """
        growing: list[GrowingText] = []
        for request in requests:
            prompt = token_prompt(request, self._reader)
            if isinstance(prompt, TokenPrompt):
                growing.append(GrowingText(request=request, prompt=prompt.tokens))
            else:
                yield prompt
        while growing:
            answers = self._ask([self._call(text) for text in growing])
            rest = []
            for text, answer in zip(growing, answers, strict=True):
                if self._ended(text, answer):
                    yield self._answer(text)
                else:
                    rest.append(text)
            growing = rest

    def _call(self, text: GrowingText) -> Call:
        request, count = text.request, len(text.new)
        least = self._endings.least_new(len(text.prompt), request.max_tokens)
        stops = [stop for stop in (*request.stop, *self._endings.own_stops) if stop]
        sampling = {
            **PLAIN,
            "max_tokens": request.max_tokens - count,
            "min_tokens": max(0, least - count),
            "stop_token_ids": sorted(self._endings.ends),
            "repetition_penalty": self._penalty,
            "logprobs": 0,  # of the new tokens only, to check that they are finite
            **({"stop": stops, "detokenize": True} if stops else {}),
        }
        return Call(tokens=(*text.prompt, *text.new), sampling=sampling)

    def _ended(self, text: GrowingText, answer: AnsweredCall) -> bool:
        """Add vLLM's new tokens up to the end of the text, and return whether it ended."""
        (output,) = answer.outputs
        places = output.logprobs or ()
        before = len(text.new)
        for place, token in enumerate(output.token_ids):
            text.new.append(token)
            value = logprob_of(token, places[place] if place < len(places) else None)
            text.finite = text.finite and value is not None and math.isfinite(value)
            if self._endings.ended(text.request, text.new):
                return True
        return len(text.new) == before

    def _answer(self, text: GrowingText) -> Generation | Failure:
        if not text.new:
            return Failure(request_id=text.request.id, reason=NOTHING)
        return self._endings.answer(text.request, DecodedRow(new=text.new, finite=text.finite))


def _endings(config: GenerationConfig, tokenizer: TokenizerAdapter) -> Endings:
    """Make the endings of texts as the engine hf does."""
    own, stated_ends, rules = tokenizer.tokenizer.eos_token_id, config.eos_token_id, stated(config)
    ends = {*(stated_ends if isinstance(stated_ends, list | tuple) else [stated_ends]), own} - {None}
    strings = rules.get("stop_strings") or ()
    end_text = "" if own is None else tokenizer.decode([own])
    stops = (*((strings,) if isinstance(strings, str) else strings), *([end_text] if end_text else ()))
    least = (rules.get("min_length"), rules.get("min_new_tokens"))
    return Endings(tokenizer=tokenizer, ends=frozenset(ends), own_stops=stops, least=least)
