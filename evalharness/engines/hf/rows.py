"""Hold the token rows of a batch, pad them, and put a cached prefix before each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache, PreTrainedConfig

from evalharness.checkpoints.load import VirtualPrefix

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BatchRow:
    """What one row of a batch reads, and the token runs scored at its end: run j's last token is predicted at the row's
    last position.

    `source` is what an encoder reads, () where there is none; `fed` what the decoder reads.
    """

    source: Tokens
    fed: Tokens
    runs: tuple[Tokens, ...]

    @property
    def scored(self) -> int:
        """Positions at the row's end whose logits are needed."""
        return max(map(len, self.runs))


def right_padded(rows: Sequence[Tokens], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention mask, both (rows, longest)."""
    width = max(map(len, rows))
    ids = torch.tensor([row + (pad,) * (width - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    return ids, mask


def after_lead(mask: torch.Tensor, virtual: int) -> torch.Tensor:
    """The mask of a batch with virtual tokens before every row."""
    return torch.cat([mask.new_ones(len(mask), virtual), mask], dim=1)


def cached(lead: VirtualPrefix, rows: int, config: PreTrainedConfig | None = None) -> DynamicCache:
    """The lead's keys and values in a new cache, the same for every row; `config` says which layers have a sliding
    window.
    """
    assert lead.cache is not None
    cache = DynamicCache(config=config)
    for layer, (keys, values) in enumerate(lead.cache):
        cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), layer)
    return cache


def scored_places(rows: Sequence[BatchRow], before: int, device: torch.device) -> tuple[torch.Tensor, ...]:
    """(rows, positions) of all scored positions, where `before` positions stand before what each row is fed."""
    places = [(b, before + len(row.fed) - row.scored + k) for b, row in enumerate(rows) for k in range(row.scored)]
    return torch.tensor(places, device=device).unbind(1)
