"""Answer Generate requests with greedy texts: batches for transformers' `generate`, each row stopped and cut on its
own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)

from evalharness.checkpoints.generation_rules import NO_RULE, RULES, SPECIAL
from evalharness.engines.hf.batches import BatchLimits, Refusal, in_batches, rows_in_batches
from evalharness.engines.hf.model_adapter import ModelAdapter
from evalharness.engines.hf.pair_scores import NONFINITE
from evalharness.engines.hf.rows import Tokens
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, Untokenizable
from evalharness.errors import ModelError, first_line
from evalharness.records.requests import Failure, Generate, Generation

ENCODERS = ("decoder_start_token_id", "encoder_repetition_penalty", "encoder_no_repeat_ngram_size")
DECODER_ONLY = [key for key in (*SPECIAL, *RULES) if key not in ENCODERS]  # an encoder-decoder adds the others


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrompt:
    """A Generate request and its prompt as tokens."""

    request: Generate
    tokens: Tokens


class _EndOfRows(StoppingCriteria):
    """Per row: how many new tokens it has when it ends, by a stop string in its text (its request's, or one of
    `own_stops`) or an end token; rows that ended stay ended.
    """

    def __init__(
        self, tokenizer: TokenizerAdapter, requests: Sequence[Generate], own_stops: Sequence[str], ends: frozenset[int]
    ) -> None:
        self.tokenizer, self.requests, self.own_stops, self.ends = tokenizer, requests, own_stops, ends
        self.step = 0
        self.length: list[int | None] = [None] * len(requests)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        self.step += 1
        for row, new in enumerate(input_ids[:, -self.step :].tolist()):
            if self.length[row] is None and (new[-1] in self.ends or self._stopped(row, new)):
                self.length[row] = len(new)
        return torch.tensor([length is not None for length in self.length], device=input_ids.device)

    def _stopped(self, row: int, new: list[int]) -> bool:
        request = self.requests[row]
        if not (request.stop or self.own_stops):
            return False
        return request.answer_in(self.tokenizer.decode(new), self.own_stops)[1]


class _FiniteWatch(LogitsProcessor):
    """Notes the first step at which a row's logits have NaN or +inf, or nothing finite; changes nothing."""

    def __init__(self, rows: int) -> None:
        self.step = 0
        self.first_bad: list[int | None] = [None] * rows

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.step += 1
        bad = (scores.isnan() | scores.isposinf()).any(-1) | ~scores.isfinite().any(-1)
        for row in bad.nonzero().flatten().tolist():
            if self.first_bad[row] is None:
                self.first_bad[row] = self.step
        return scores


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedBatch:
    """What `generate` gave for a batch (token ids, or its output object), where new tokens begin in it, and what was
    seen on the way.
    """

    output: Any
    start: int
    ends: _EndOfRows
    watch: _FiniteWatch


@contextlib.contextmanager
def _configured(model: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
    """With this generation config for the time of one call: what `generate` is not told it takes from the model's
    own.
    """
    own, model.generation_config = model.generation_config, config
    try:
        yield
    finally:
        model.generation_config = own


class Decoder:
    """Decodes with one loaded model, by the greedy part of its generation config."""

    def __init__(self, model: ModelAdapter, limits: BatchLimits) -> None:
        self.model, self.limits, tokenizer = model, limits, model.tokenizer
        given = model.loaded.model.generation_config or GenerationConfig()
        rules = {**{name: getattr(given, name, None) for name in DECODER_ONLY}, **model.own_rules}
        ends, own = rules["eos_token_id"], tokenizer.tokenizer.eos_token_id
        self.ends = frozenset([*(ends if isinstance(ends, list | tuple) else [ends]), own]) - {None}
        self.end_text = "" if own is None else tokenizer.decode([own])
        self.ruled = [key for key in RULES if rules.get(key) not in (None, NO_RULE.get(key))]
        # rules that would read padding: prompts of equal length only
        self.level = any(rules[name] not in (None, 0, 1.0) for name in model.padded_rules)
        self.least = (rules.pop("min_length"), rules.pop("min_new_tokens"))
        strings = rules.pop("stop_strings")  # ours to stop at, so that the text is cut there
        self.stop_strings = (strings,) if isinstance(strings, str) else tuple(strings or ())
        pad = rules["pad_token_id"]
        rules |= {
            "eos_token_id": sorted(self.ends) or None,
            "pad_token_id": pad if isinstance(pad, int) and pad >= 0 else tokenizer.pad,
        }
        self.config = GenerationConfig(**rules)

    def generate(self, requests: Sequence[Generate]) -> Iterator[Generation | Failure]:
        """An answer per request, batch by batch."""
        groups: dict[tuple[int, int], list[TokenPrompt]] = {}
        for request in requests:
            prompt = self._prompt(request)
            if isinstance(prompt, TokenPrompt):
                key = request.max_tokens, len(prompt.tokens) if self.level else 0
                groups.setdefault(key, []).append(prompt)
            else:
                yield prompt
        for group in groups.values():
            lengths = [len(prompt.tokens) for prompt in group]
            results = in_batches(group, lengths, self.limits, self._forward, self._texts)
            for prompt, result in zip(group, results, strict=True):
                yield (
                    Failure(request_id=prompt.request.id, reason=result.reason)
                    if isinstance(result, Refusal)
                    else result
                )

    def next_logits(self, prompts: Sequence[str], adapter: bool) -> NDArray[np.float64]:
        """Logits after each prompt, (n, vocabulary), by the pass that decodes."""
        requests = [Generate(prompt=prompt, stop=(), max_tokens=1) for prompt in prompts]
        rows = [
            TokenPrompt(request=request, tokens=self.model.tokenizer.prompt(request.prompt)) for request in requests
        ]
        options = {"output_logits": True, "return_dict_in_generate": True}

        def ask(batch: list[int]) -> torch.Tensor:
            first: torch.Tensor = self._forward([rows[i] for i in batch], adapter, **options).output.logits[0]
            return first

        return rows_in_batches([len(row.tokens) for row in rows], self.limits, ask)

    def _prompt(self, request: Generate) -> TokenPrompt | Generation | Failure:
        """The request as tokens, or its answer where the model need not be asked."""
        if request.max_tokens < 1:
            return Generation(request_id=request.id, text="", finish_reason="length", tokens=0)
        try:
            tokens = self.model.tokenizer.prompt(request.prompt)
        except Untokenizable as error:
            return Failure(request_id=request.id, reason=str(error))
        too_much = self.model.too_much(tokens, request.max_tokens)
        return (
            Failure(request_id=request.id, reason=too_much) if too_much else TokenPrompt(request=request, tokens=tokens)
        )

    @torch.no_grad()
    def _forward(self, prompts: Sequence[TokenPrompt], adapter: bool = True, **options: Any) -> DecodedBatch:
        """Decode prompts that ask for equally many new tokens."""
        own_stops = (*self.stop_strings, *([self.end_text] if self.end_text else []))
        requests = [prompt.request for prompt in prompts]
        ends = _EndOfRows(self.model.tokenizer, requests, own_stops, self.ends)
        watch = _FiniteWatch(len(prompts))
        with self.model.loaded.answering(adapter) as (model, lead), _configured(model, self.config):
            inputs, start = self.model.begin([prompt.tokens for prompt in prompts], model, lead)
            new = prompts[0].request.max_tokens
            options |= {"do_sample": False, "num_beams": 1, "max_new_tokens": new}
            options["min_new_tokens"] = min(new, self._least(start)) or None
            options["stopping_criteria"] = StoppingCriteriaList([ends])
            options["logits_processor"] = LogitsProcessorList([watch])
            generate = cast(Callable[..., Any], model.generate)  # GenerationMixin's, which mypy takes for a tensor
            with self._refusals():
                output = generate(**inputs, **options)
            return DecodedBatch(output=output, start=start, ends=ends, watch=watch)

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Raise ModelError where transformers refuses rules that the generation config states."""
        try:
            yield
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            if not self.ruled:
                raise
            what = f"transformers cannot decode by it ({first_line(error)})"
            fix = f"mend one of {', '.join(self.ruled)}, or decode without: --generation-config plain"
            raise ModelError(f"{self.model.loaded.model.name_or_path}: generation config", what, fix) from error

    def _least(self, start: int) -> int:
        """New tokens before an end token may come. The least length of all counts what `generate` gives back before the
        first new one; transformers would count what leads there too.
        """
        whole, new = self.least
        return new if new is not None else max(0, (whole or 0) - start)

    def _texts(self, prompts: Sequence[TokenPrompt], decoded: DecodedBatch) -> list[Generation | Failure]:
        rows = decoded.output[:, decoded.start :].tolist()
        return [self._answer(prompt.request, rows[i], decoded, i) for i, prompt in enumerate(prompts)]

    def _answer(self, request: Generate, new: list[int], decoded: DecodedBatch, row: int) -> Generation | Failure:
        new = new[: decoded.ends.length[row]]
        bad = decoded.watch.first_bad[row]
        if bad is not None and bad <= len(new):
            return Failure(request_id=request.id, reason=NONFINITE)
        text, stopped = request.answer_in(self.model.tokenizer.decode(new), decoded.ends.own_stops)
        reason: Literal["stop", "eos", "length"] = "eos" if new[-1] in self.ends else "length"
        return Generation(
            request_id=request.id, text=text, finish_reason="stop" if stopped else reason, tokens=len(new)
        )
