"""Define the token rows of a batch, pad them, and put a cached prefix before each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache, PreTrainedConfig

from evalharness.checkpoints.load import VirtualPrefix

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BatchRow:
    """The tokens of one row of a batch, and the runs (token sequences) that are scored at its end. The row's last
    position predicts the last token of each run.

    `source`: the tokens that the encoder reads, () without an encoder. `fed`: the tokens that the decoder reads.
    `runs`: the scored token sequences.
    """

    source: Tokens
    fed: Tokens
    runs: tuple[Tokens, ...]

    @property
    def scored(self) -> int:
        """Return the number of positions at the row's end whose logits are needed."""
        return max(map(len, self.runs))


def right_padded(rows: Sequence[Tokens], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad the rows with `pad` on the right. Return token ids and attention mask, both (rows, longest)."""
    width = max(map(len, rows))
    ids = torch.tensor([row + (pad,) * (width - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    return ids, mask


def after_lead(mask: torch.Tensor, virtual: int) -> torch.Tensor:
    """Return the attention mask of a batch with `virtual` tokens before every row."""
    return torch.cat([mask.new_ones(len(mask), virtual), mask], dim=1)


def lead_cache(lead: VirtualPrefix, rows: int, config: PreTrainedConfig | None = None) -> DynamicCache:
    """Copy the keys and values of virtual tokens (`lead`) into a new cache for every row. `config` says which layers
    have a sliding window.
    """
    assert lead.cache is not None
    cache = DynamicCache(config=config)
    for layer, (keys, values) in enumerate(lead.cache):
        cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), layer)
    return cache


def scored_places(rows: Sequence[BatchRow], before: int, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Return the indices (rows, positions) of all scored positions; `before` positions come before each row."""
    places = [(b, before + len(row.fed) - row.scored + k) for b, row in enumerate(rows) for k in range(row.scored)]
    return torch.tensor(places, device=device).unbind(1)
