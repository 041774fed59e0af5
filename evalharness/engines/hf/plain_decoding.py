"""Decode with transformers' `generate`, for the models and the decoding rules that the greedy loop does not support.

A batch stays together until its last row ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

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

from evalharness.engines.hf.batches import BatchLimits, Refusal, in_batches, rows_in_batches
from evalharness.engines.hf.endings import DecodedRow, Endings, TokenPrompt
from evalharness.engines.hf.model_adapter import ModelAdapter


class _EndOfRows(StoppingCriteria):
    """Stops at the end of every row and records how many new tokens each row has at its end."""

    def __init__(self, endings: Endings, prompts: Sequence[TokenPrompt]) -> None:
        self.endings, self.prompts = endings, prompts
        self.step = 0
        self.length: list[int | None] = [None] * len(prompts)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        self.step += 1
        for row, new in enumerate(input_ids[:, -self.step :].tolist()):
            if self.length[row] is None and self.endings.ended(self.prompts[row].request, new):
                self.length[row] = len(new)
        return torch.tensor([length is not None for length in self.length], device=input_ids.device)


class _FiniteWatch(LogitsProcessor):
    """Records the first step at which a row's logits have NaN or +inf, or none finite; changes nothing."""

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
    """The output of `generate` for one batch.

    `output`: token ids, or transformers' output object. `start`: the place in each row at which new tokens begin.
    `ends`: the recorded ends of rows. `watch`: the recorded steps with logits that are not finite.
    """

    output: Any
    start: int
    ends: _EndOfRows
    watch: _FiniteWatch


@contextlib.contextmanager
def _configured(model: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
    """Set a model's generation config for one call, because `generate` takes missing options from the model's own."""
    own, model.generation_config = model.generation_config, config
    try:
        yield
    finally:
        model.generation_config = own


class PlainDecoder:
    """Decodes with transformers' `generate` of one model. `level`: only prompts of equal length share a batch."""

    def __init__(
        self, model: ModelAdapter, limits: BatchLimits, endings: Endings, config: GenerationConfig, level: bool
    ) -> None:
        self.model, self.limits, self.endings, self.config, self.level = model, limits, endings, config, level

    def rows(self, prompts: Sequence[TokenPrompt]) -> list[DecodedRow | Refusal]:
        """Return new tokens for every prompt, or why there are none; prompts of one batch have the same token limit."""
        groups: dict[tuple[int, int], list[int]] = {}
        for index, prompt in enumerate(prompts):
            key = prompt.request.max_tokens, len(prompt.tokens) if self.level else 0
            groups.setdefault(key, []).append(index)
        results: dict[int, DecodedRow | Refusal] = {}
        for group in groups.values():
            lengths = [len(prompts[index].tokens) for index in group]
            of_group = in_batches([prompts[index] for index in group], lengths, self.limits, self._forward, _rows)
            results.update(zip(group, of_group, strict=True))
        return [results[index] for index in range(len(prompts))]

    def next_logits(self, prompts: Sequence[TokenPrompt], adapter: bool) -> NDArray[np.float64]:
        """Return the logits after each prompt, (n, vocabulary)."""
        options = {"output_logits": True, "return_dict_in_generate": True}

        def ask(batch: list[int]) -> torch.Tensor:
            first: torch.Tensor = self._forward([prompts[i] for i in batch], adapter, **options).output.logits[0]
            return first

        return rows_in_batches([len(prompt.tokens) for prompt in prompts], self.limits, ask)

    @torch.no_grad()
    def _forward(self, prompts: Sequence[TokenPrompt], adapter: bool = True, **options: Any) -> DecodedBatch:
        """Decode prompts that have the same token limit."""
        ends, watch = _EndOfRows(self.endings, prompts), _FiniteWatch(len(prompts))
        with self.model.loaded.answering(adapter) as (model, lead), _configured(model, self.config):
            inputs, start = self.model.begin([prompt.tokens for prompt in prompts], model, lead)
            new = prompts[0].request.max_tokens
            options |= {"do_sample": False, "num_beams": 1, "max_new_tokens": new}
            options["min_new_tokens"] = self.endings.least_new(start, new) or None
            options["stopping_criteria"] = StoppingCriteriaList([ends])
            options["logits_processor"] = LogitsProcessorList([watch])
            generate = cast(Callable[..., Any], model.generate)  # GenerationMixin's, which mypy takes for a tensor
            output = generate(**inputs, **options)
            return DecodedBatch(output=output, start=start, ends=ends, watch=watch)


def _rows(prompts: Sequence[TokenPrompt], decoded: DecodedBatch) -> list[DecodedRow]:
    rows = decoded.output[:, decoded.start :].tolist()
    return [_row(rows[i][: decoded.ends.length[i]], decoded.watch.first_bad[i]) for i in range(len(prompts))]


def _row(new: list[int], first_bad: int | None) -> DecodedRow:
    return DecodedRow(new=new, finite=first_bad is None or first_bad > len(new))
