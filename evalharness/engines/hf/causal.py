"""How a decoder-only model is asked: context and continuation in one row, what leads before the text, scoring padded
right, decoding left.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from evalharness.checkpoints.load import LoadedModel, VirtualPrefix
from evalharness.engines.hf.batching import (
    UNLIMITED,
    Row,
    Tokens,
    after_lead,
    cached,
    head_at,
    right_padded,
    scored_places,
)
from evalharness.engines.hf.tokenizer_adapter import Pair, Texts


class Causal:
    """One loaded decoder-only model. `window` bounds the virtual tokens, the context and the continuation together."""

    padded_rules = ("no_repeat_ngram_size", "min_length", "repetition_penalty", "exponential_decay_length_penalty")

    def __init__(self, loaded: LoadedModel, texts: Texts, window: int | None) -> None:
        self.loaded, self.texts, self.window = loaded, texts, window
        self.own_rules: dict[str, Any] = {}
        self.positioned = "position_ids" in inspect.signature(type(loaded.model).forward).parameters

    @property
    def room(self) -> int:
        return UNLIMITED if self.window is None else self.window - self.loaded.lead.tokens

    def read(self, pair: Pair) -> tuple[Tokens, Tokens]:
        return (), pair.fed

    def row(self, prompt: Tokens) -> Row:
        return Row((), prompt, ((self.texts.pad,),))  # the run's token does not matter here

    def size(self, row: Row) -> int:
        return len(row.fed)

    def too_long(self, pair: Pair) -> str:
        total = len(pair.fed) + self.loaded.lead.tokens
        return (
            f"{total} tokens do not fit the window of {self.window}"
            if self.window is not None and total > self.window
            else ""
        )

    def too_much(self, prompt: Tokens, new: int) -> str:
        total = self.loaded.lead.tokens + len(prompt) + new
        fits = self.window is None or total <= self.window
        return "" if fits else f"{total} tokens, {new} of them new, do not fit the window of {self.window}"

    @torch.no_grad()
    def logits(self, rows: Sequence[Row], adapter: bool) -> torch.Tensor:
        device = self.loaded.device
        ids, mask = right_padded([row.fed for row in rows], self.texts.pad, device)
        with self.loaded.answering(adapter) as (model, lead):
            inputs: dict[str, Any] = {"input_ids": ids, "use_cache": False}
            before = 0  # positions of the output that stand before the text
            if lead.tokens:
                mask = after_lead(mask, lead.tokens)
            if lead.embeddings is not None:
                before = lead.tokens
                text = model.get_input_embeddings()(inputs.pop("input_ids"))  # (rows, width, hidden)
                inputs["inputs_embeds"] = torch.cat([lead.embeddings.expand(len(rows), -1, -1), text], dim=1)
            if lead.cache is not None:
                inputs |= {"past_key_values": cached(lead, len(rows), model.config), "use_cache": True}
            inputs["attention_mask"] = mask
            if self.positioned:
                first = lead.tokens - before  # what is cached has its positions already
                inputs["position_ids"] = torch.arange(first, mask.shape[1], device=device).expand(len(rows), -1)
            return head_at(model, scored_places(rows, before, device), inputs)

    def begin(
        self, prompts: Sequence[Tokens], model: PreTrainedModel, lead: VirtualPrefix
    ) -> tuple[dict[str, Any], int]:
        """Left-padded ids and mask. With embeddings before the text these are [pads][virtual][text], and the ids are
        there for penalties to
        read; a cached prefix comes before the pads, which `generate` leaves out of the positions that it counts from
        the mask.
        """
        device, width = self.loaded.device, max(map(len, prompts))
        pads = [width - len(prompt) for prompt in prompts]
        ids = torch.tensor(
            [(self.texts.pad,) * pad + prompt for pad, prompt in zip(pads, prompts, strict=True)], device=device
        )
        if lead.cache is not None:
            mask = torch.tensor([[1] * lead.tokens + [0] * pad + [1] * (width - pad) for pad in pads], device=device)
            return {
                "input_ids": ids,
                "attention_mask": mask,
                "past_key_values": cached(lead, len(prompts), model.config),
            }, width
        mask = torch.tensor([[0] * pad + [1] * (lead.tokens + width - pad) for pad in pads], device=device)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if lead.embeddings is not None:
            text = model.get_input_embeddings()(ids)  # (rows, width, hidden)
            inputs["inputs_embeds"] = torch.stack(
                [torch.cat([row[:pad], lead.embeddings, row[pad:]]) for pad, row in zip(pads, text, strict=True)]
            )
        return inputs, width
