"""What both architectures share in asking a model: rows, padding, the head where something is scored, a cached prefix
for every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel

from evalharness.checkpoints.load import VirtualPrefix
from evalharness.engines.hf.tokenizer_adapter import Pair

Tokens = tuple[int, ...]
UNLIMITED = 2048  # tokens of a piece of text where the model states no limit; lm-eval's default


@dataclass(frozen=True, slots=True)
class Row:
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


class ModelAdapter(Protocol):
    """One architecture's way to ask a model. `own_rules`: what its greedy decoding takes from a checkpoint's generation
    config beside the rest.

    `room`: most tokens of one piece of a text that is scored whole. `padded_rules`: rules of decoding that would read
    the padding.
    """

    own_rules: dict[str, Any]
    padded_rules: tuple[str, ...]

    @property
    def room(self) -> int: ...

    def read(self, pair: Pair) -> tuple[Tokens, Tokens]:
        """What encoder and decoder read to predict the continuation; pairs that read the same share a row."""
        ...

    def row(self, prompt: Tokens) -> Row:
        """A row that predicts what comes first after the prompt."""
        ...

    def size(self, row: Row) -> int:
        """The length by which batches are planned; virtual tokens are not counted, so that they do not change the
        plan.
        """
        ...

    def too_long(self, pair: Pair) -> str:
        """Why the pair does not fit the window; "" where it does."""
        ...

    def too_much(self, prompt: Tokens, new: int) -> str:
        """Why the prompt and so many new tokens do not fit the window; "" where they do."""
        ...

    def logits(self, rows: Sequence[Row], adapter: bool) -> torch.Tensor:
        """Logits (positions, vocabulary) at each row's scored positions, row after row."""
        ...

    def begin(
        self, prompts: Sequence[Tokens], model: PreTrainedModel, lead: VirtualPrefix
    ) -> tuple[dict[str, Any], int]:
        """What `generate` is given for these prompts, and how many tokens stand before the first new one in what it
        gives back.
        """
        ...


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


def scored_places(rows: Sequence[Row], before: int, device: torch.device) -> tuple[torch.Tensor, ...]:
    """(rows, positions) of all scored positions, where `before` positions stand before what each row is fed."""
    places = [(b, before + len(row.fed) - row.scored + k) for b, row in enumerate(rows) for k in range(row.scored)]
    return torch.tensor(places, device=device).unbind(1)


def head_at(model: PreTrainedModel, where: tuple[torch.Tensor, ...], inputs: dict[str, Any]) -> torch.Tensor:
    """Logits at the places `where` = (rows, positions) only, (places, vocabulary): the model's own head sees no other
    position.
    """
    rows, positions = where
    head = model.get_output_embeddings()
    if head is None:
        return model(**inputs).logits[rows, positions]
    hook = head.register_forward_pre_hook(lambda _, seen: (seen[0][rows, positions].unsqueeze(0), *seen[1:]))
    try:
        return model(**inputs).logits[0]
    finally:
        hook.remove()
