"""Run the forward passes of the greedy loop on a decoder-only model: right-padded prompts, then new tokens.

Every row writes to the cache at its own length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from evalharness.checkpoints.load import VirtualPrefix
from evalharness.engines.hf.model_adapter import logits_at
from evalharness.engines.hf.ragged_cache import RaggedCache, keys_and_values
from evalharness.engines.hf.rows import Tokens, lead_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """The forward passes of one model with the same cached `prefix` before every row. `prefix`: keys and values of
    virtual tokens and of a common beginning, no embeddings. `positioned`: whether the model takes position ids.
    """

    model: PreTrainedModel
    prefix: VirtualPrefix
    positioned: bool

    def prefill(self, rows: Sequence[Tokens], scored: Sequence[int]) -> tuple[torch.Tensor, DynamicCache]:
        """Run the rows after the prefix. Return the logits at their ends, and the cache that later passes continue.

        The logits are those after the last `scored` tokens of each row, (all scored tokens, vocabulary), row after row.
        The cache has the keys and values of prefix, rows and padding. A row is padded with its own last token, because
        the values of a padding token could be NaN.
        """
        before, device = self.prefix.tokens, self.model.device
        ids = _padded(rows, device)
        cache = _filled(self.prefix, len(rows), self.model)
        inputs: dict[str, Any] = {"input_ids": ids, "past_key_values": cache, "use_cache": True}
        if self.positioned:
            inputs["position_ids"] = torch.arange(before, before + ids.shape[1], device=device).expand(len(rows), -1)
        return logits_at(self.model, inputs, _last_places(rows, scored, device)), cache

    def step(
        self,
        fed: Sequence[Sequence[int]],
        cache: RaggedCache,
        lengths: Sequence[int],
        places: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Run one pass over the new tokens of every row. Return the logits after each, (all tokens fed, vocabulary),
        row after row.

        `fed`: the new tokens of each row. `places`: the cache's rows that they continue (None: the first ones), which
        hold `lengths` positions each. Padding is written where the row's next tokens go, which overwrite it.
        """
        device = self.model.device
        ids = _padded(fed, device)
        most = ids.shape[1]
        at = torch.tensor(lengths, device=device)[:, None] + torch.arange(most, device=device)
        width = max(lengths) + most
        cache.begin(at, width, places)
        hidden = torch.arange(width, device=device) > at[:, None, :, None]  # (rows, 1, fed, width)
        mask = torch.zeros(hidden.shape, dtype=self.model.dtype, device=device)
        inputs: dict[str, Any] = {
            "input_ids": ids,
            "attention_mask": mask.masked_fill_(hidden, torch.finfo(mask.dtype).min),
            "past_key_values": cache,
            "use_cache": True,
        }
        if self.positioned:
            last = torch.tensor([length + len(tokens) - 1 for length, tokens in zip(lengths, fed, strict=True)])
            inputs["position_ids"] = torch.minimum(at, last.to(device)[:, None])
        return logits_at(self.model, inputs, _last_places(fed, [len(tokens) for tokens in fed], device))

    def last_logits(self, prompts: Sequence[Tokens]) -> torch.Tensor:
        """Return the logits after each prompt, (n, vocabulary): the last token is read like a new one, the others like
        a prompt. Prompts come longest first.
        """
        cache, read = RaggedCache(len(prompts)), [prompt[:-1] for prompt in prompts if len(prompt) > 1]
        if read:
            cache.fill(0, self.prefill(read, [1] * len(read))[1])
        if self.prefix.cache and len(read) < len(prompts):
            cache.fill(len(read), _filled(self.prefix, len(prompts) - len(read), self.model))
        lengths = [self.prefix.tokens + len(prompt) - 1 for prompt in prompts]
        return self.step([prompt[-1:] for prompt in prompts], cache, lengths)


def passes_of(model: PreTrainedModel, lead: VirtualPrefix, header: Tokens, positioned: bool) -> Passes:
    """Make passes with `lead` and then `header` before every row; both are computed here, once."""
    if lead.embeddings is None and not header:
        return Passes(model=model, prefix=lead, positioned=positioned)
    cache = _filled(lead if lead.cache else VirtualPrefix(), 1, model)
    inputs: dict[str, Any] = {"past_key_values": cache, "use_cache": True}
    ids = torch.tensor([header], dtype=torch.long, device=model.device)
    if lead.embeddings is None:
        inputs["input_ids"] = ids
    else:
        inputs["inputs_embeds"] = torch.cat([lead.embeddings[None], model.get_input_embeddings()(ids)], dim=1)
    total = lead.tokens + len(header)
    fed = total - (lead.tokens if lead.cache else 0)
    if positioned:
        inputs["position_ids"] = torch.arange(total - fed, total, device=model.device)[None]
    last = torch.tensor([fed - 1], device=model.device)
    logits_at(model, inputs, (torch.zeros_like(last), last))
    states = tuple((keys[0], values[0]) for keys, values in keys_and_values(cache))
    return Passes(model=model, prefix=VirtualPrefix(cache=states), positioned=positioned)


def _filled(prefix: VirtualPrefix, rows: int, model: PreTrainedModel) -> DynamicCache:
    return lead_cache(prefix, rows, model.config) if prefix.cache else DynamicCache(config=model.config)


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> torch.Tensor:
    """Return token ids (rows, longest); each row is padded with its last token."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[row[-1]] * (width - len(row))] for row in rows], device=device)


def _last_places(
    rows: Sequence[Sequence[int]], scored: Sequence[int], device: torch.device
) -> tuple[torch.Tensor, ...]:
    """Return the indices (rows, positions) of each row's last `scored` tokens, row after row."""
    places = [
        (i, len(row) - count + k) for i, (row, count) in enumerate(zip(rows, scored, strict=True)) for k in range(count)
    ]
    return torch.tensor(places, device=device).unbind(1)
