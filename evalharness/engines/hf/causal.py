"""Make the inputs of a decoder-only model: context and continuation in one row after the virtual tokens.

Rows are padded on the right for scoring, on the left for decoding.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from evalharness.checkpoints.load import LoadedModel, VirtualPrefix
from evalharness.engines.hf.model_adapter import ModelAdapter
from evalharness.engines.hf.rows import BatchRow, Tokens, after_lead, lead_cache, right_padded
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, TokenPair


class Causal(ModelAdapter):
    """Adapts a decoder-only model. Its window holds the virtual tokens, the context and the continuation together."""

    padded_rules = ("no_repeat_ngram_size", "min_length", "repetition_penalty", "exponential_decay_length_penalty")

    def __init__(self, loaded: LoadedModel, tokenizer: TokenizerAdapter, window: int | None) -> None:
        super().__init__(loaded, tokenizer, window)
        self.positioned = "position_ids" in inspect.signature(type(loaded.model).forward).parameters

    def read(self, pair: TokenPair) -> tuple[Tokens, Tokens]:
        return (), pair.fed

    def row(self, prompt: Tokens) -> BatchRow:
        return BatchRow((), prompt, ((self.tokenizer.pad,),))  # any token will do as the run

    def size(self, row: BatchRow) -> int:
        return len(row.fed)

    def too_long(self, pair: TokenPair) -> str:
        total = len(pair.fed) + self.loaded.lead.tokens
        fits = self.window is None or total <= self.window
        return "" if fits else f"{total} tokens do not fit the window of {self.window}"

    def too_much(self, prompt: Tokens, new: int) -> str:
        total = self.loaded.lead.tokens + len(prompt) + new
        fits = self.window is None or total <= self.window
        return "" if fits else f"{total} tokens, {new} of them new, do not fit the window of {self.window}"

    def inputs(
        self, rows: Sequence[BatchRow], model: PreTrainedModel, lead: VirtualPrefix
    ) -> tuple[dict[str, Any], int]:
        device = self.loaded.device
        ids, mask = right_padded([row.fed for row in rows], self.tokenizer.pad, device)
        inputs: dict[str, Any] = {"input_ids": ids, "use_cache": False}
        before = 0
        if lead.tokens:
            mask = after_lead(mask, lead.tokens)
        if lead.embeddings is not None:
            before = lead.tokens
            text = model.get_input_embeddings()(inputs.pop("input_ids"))  # (rows, width, hidden)
            inputs["inputs_embeds"] = torch.cat([lead.embeddings.expand(len(rows), -1, -1), text], dim=1)
        if lead.cache is not None:
            inputs |= {"past_key_values": lead_cache(lead, len(rows), model.config), "use_cache": True}
        inputs["attention_mask"] = mask
        if self.positioned:
            first = lead.tokens - before  # cached tokens have their positions already
            inputs["position_ids"] = torch.arange(first, mask.shape[1], device=device).expand(len(rows), -1)
        return inputs, before

    def begin(
        self, prompts: Sequence[Tokens], model: PreTrainedModel, lead: VirtualPrefix
    ) -> tuple[dict[str, Any], int]:
        """Return left-padded ids and mask, and the width. With embeddings before the text the inputs are
        [pads][virtual][text], and penalties read the ids; a cached prefix comes before the pads, which `generate` does
        not count in the positions that it derives from the mask.
        """
        device, width = self.loaded.device, max(map(len, prompts))
        pads = [width - len(prompt) for prompt in prompts]
        rows = [(self.tokenizer.pad,) * pad + prompt for pad, prompt in zip(pads, prompts, strict=True)]
        ids = torch.tensor(rows, device=device)
        if lead.cache is not None:
            mask = torch.tensor([[1] * lead.tokens + [0] * pad + [1] * (width - pad) for pad in pads], device=device)
            cache = lead_cache(lead, len(prompts), model.config)
            return {"input_ids": ids, "attention_mask": mask, "past_key_values": cache}, width
        mask = torch.tensor([[0] * pad + [1] * (lead.tokens + width - pad) for pad in pads], device=device)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if lead.embeddings is not None:
            text = model.get_input_embeddings()(ids)  # (rows, width, hidden)
            inputs["inputs_embeds"] = torch.stack(
                [torch.cat([row[:pad], lead.embeddings, row[pad:]]) for pad, row in zip(pads, text, strict=True)]
            )
        return inputs, width
