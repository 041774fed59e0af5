"""Answer Generate requests greedily, by the package's own loop if the model allows it, else by transformers'
`generate`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from transformers import GenerationConfig

from evalharness.checkpoints.generation_rules import NO_RULE, RULES, SPECIAL
from evalharness.engines.hf.batches import BatchLimits, Refusal
from evalharness.engines.hf.causal import Causal
from evalharness.engines.hf.endings import DecodedRow, Endings, TokenPrompt, token_prompt
from evalharness.engines.hf.greedy_loop import GreedyLoop
from evalharness.engines.hf.loop_check import compare
from evalharness.engines.hf.model_adapter import ModelAdapter
from evalharness.engines.hf.packed_check import reach_of
from evalharness.engines.hf.plain_decoding import PlainDecoder
from evalharness.errors import ModelError, first_line, out_of_memory
from evalharness.records.models import Architecture
from evalharness.records.requests import Failure, Generate, Generation

ENCODERS = ("decoder_start_token_id", "encoder_repetition_penalty", "encoder_no_repeat_ngram_size")
DECODER_ONLY = [key for key in (*SPECIAL, *RULES) if key not in ENCODERS]  # an encoder-decoder adds the others
IN_LOOP = ("min_length", "min_new_tokens", "stop_strings")  # decoding rules that the greedy loop follows


class Decoder:
    """Decodes with one loaded model by the greedy part of its generation config. `plain_because`: why a decoder-only
    model is decoded by transformers' `generate` instead of the package's own loop; "" if it is not, or before the first
    request.
    """

    def __init__(self, model: ModelAdapter, limits: BatchLimits) -> None:
        self.model, self.limits, tokenizer = model, limits, model.tokenizer
        stated = model.loaded.model.generation_config or GenerationConfig()
        rules = {**{name: getattr(stated, name, None) for name in DECODER_ONLY}, **model.own_rules}
        ends, own = rules["eos_token_id"], tokenizer.tokenizer.eos_token_id
        self.ends = frozenset([*(ends if isinstance(ends, list | tuple) else [ends]), own]) - {None}
        self.ruled = [key for key in RULES if rules.get(key) not in (None, NO_RULE.get(key))]
        # these rules would read the padding, so that only prompts of equal length share a batch
        level = any(rules[name] not in (None, 0, 1.0) for name in model.padded_rules)
        least = (rules.pop("min_length"), rules.pop("min_new_tokens"))
        strings = rules.pop("stop_strings")  # `Endings` stops there, so that the text is cut at them
        end_text = "" if own is None else tokenizer.decode([own])
        stops = (*((strings,) if isinstance(strings, str) else strings or ()), *([end_text] if end_text else ()))
        pad = rules["pad_token_id"]
        rules |= {
            "eos_token_id": sorted(self.ends) or None,
            "pad_token_id": pad if isinstance(pad, int) and pad >= 0 else tokenizer.pad,
        }
        self.config = GenerationConfig(**rules)
        self.endings = Endings(tokenizer=tokenizer, ends=self.ends, own_stops=stops, least=least)
        self.plain = PlainDecoder(model, limits, self.endings, self.config, level)
        self.loop = GreedyLoop(model, limits, self.endings, isinstance(model, Causal) and model.positioned)
        self.reach = reach_of(model.loaded.bare.config)
        self.plain_because, self._compared = "", False

    def generate(
        self, requests: Sequence[Generate], drafts: Mapping[str, str] | None = None
    ) -> Iterator[Generation | Failure]:
        """Yield an answer per request, first those that do not need the model.

        `drafts`: request id -> a text that may be the answer. A right draft saves time, and no draft changes an answer.
        Rows that are read alone (one row a batch) take no draft, so that their bits depend on nothing else.
        """
        drafts = {} if drafts is None or self.limits.rows == 1 else drafts
        in_loop: list[TokenPrompt] = []
        plain: list[TokenPrompt] = []
        for request in requests:
            prompt = token_prompt(request, self.model)
            if not isinstance(prompt, TokenPrompt):
                yield prompt
            elif self._serves() and self._within(len(prompt.tokens) + request.max_tokens):
                in_loop.append(replace(prompt, draft=drafts.get(request.id, "")))
            else:
                plain.append(prompt)
        if in_loop:
            yield from self._answers(in_loop, self.loop.rows(in_loop))
        if plain:
            with self._refusals():
                rows = self.plain.rows(plain)
            yield from self._answers(plain, rows)

    def next_logits(self, prompts: Sequence[str], adapter: bool) -> NDArray[np.float64]:
        """Return the logits after each prompt, (n, vocabulary), by the passes that decode."""
        requests = [Generate(prompt=prompt, stop=(), max_tokens=1) for prompt in prompts]
        rows = [
            TokenPrompt(request=request, tokens=self.model.tokenizer.prompt(request.prompt)) for request in requests
        ]
        if self._serves() and all(self._within(len(row.tokens) + 1) for row in rows):
            return self.loop.next_logits([row.tokens for row in rows], adapter)
        with self._refusals():
            return self.plain.next_logits(rows, adapter)

    def _serves(self) -> bool:
        """Return whether the greedy loop suits this model and its rules; compared once with plain forward passes."""
        if self.model.loaded.architecture != Architecture.CAUSAL:
            return False
        if rules := [key for key in self.ruled if key not in IN_LOOP]:
            self.plain_because = f"its generation config states {', '.join(rules)}"
        elif not self._compared:
            try:
                self.plain_because, self.loop.position_bytes = compare(
                    self.model, self.loop.positioned, self.limits.rows
                )
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                return True  # the loop reports the rows that cannot be answered
            self._compared = True
        return not self.plain_because

    def _within(self, tokens: int) -> bool:
        """Return whether in a row of so many tokens every token sees all earlier ones; a sliding cache keeps one less
        than its window.
        """
        return self.reach is None or self.model.loaded.lead.tokens + tokens < self.reach

    def _answers(
        self, prompts: Sequence[TokenPrompt], rows: Sequence[DecodedRow | Refusal]
    ) -> Iterator[Generation | Failure]:
        for prompt, row in zip(prompts, rows, strict=True):
            if isinstance(row, Refusal):
                yield Failure(request_id=prompt.request.id, reason=row.reason)
            else:
                yield self.endings.answer(prompt.request, row)

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Raise ModelError if transformers refuses decoding rules of the generation config."""
        try:
            yield
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            if not self.ruled:
                raise
            what = f"transformers cannot decode by it ({first_line(error)})"
            fix = f"mend one of {', '.join(self.ruled)}, or decode without: --generation-config plain"
            raise ModelError(f"{self.model.loaded.model.name_or_path}: generation config", what, fix) from error
