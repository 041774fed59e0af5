"""Pack branches of a trie (token sequences with a common beginning, the header) into one row.

Each token of the row sees the header and its own branch up to itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from evalharness.engines.hf.trie import Branch, prefix_length

MOST_FILLED = 1.05  # most tokens of padded rows, as a multiple of the tokens of one packed row
States = tuple[tuple[torch.Tensor, torch.Tensor], ...]  # keys and values of every layer, each (1, heads, tokens, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedRow:
    """The tokens that a pass reads after its header, in one row or in several of equal length.

    `tokens`, `positions`: token ids and their positions in the branches, (rows, n) each. `visible`: which tokens of the
    one row each token sees, (n, n); None if each sees all before it. `paths`: for every branch the places of its tokens
    after the header.
    """

    tokens: list[list[int]]
    positions: list[list[int]]
    visible: NDArray[np.bool_] | None
    paths: list[NDArray[np.int64]]


def packed_row(branches: Sequence[Branch], depth: int) -> PackedRow:
    """Pack branches into one row after a header of `depth` tokens. Neighbours that share a prefix share its tokens."""
    tokens: list[int] = []
    positions: list[int] = []
    paths: list[NDArray[np.int64]] = []
    starts: list[tuple[int, int]] = []
    for i, branch in enumerate(branches):
        shared = prefix_length(branches[i - 1].fed, branch.fed) - depth if i else 0
        new = branch.fed[depth + shared :]
        own = np.arange(len(tokens), len(tokens) + len(new))
        starts.append((len(tokens), shared))
        paths.append(np.concatenate([paths[-1][:shared], own]) if i else own)
        tokens += new
        positions += range(depth + shared, len(branch.fed))
    if len(branches) == 1:
        return PackedRow(tokens=[tokens], positions=[positions], visible=None, paths=paths)
    visible = np.zeros((len(tokens), len(tokens)), dtype=bool)
    for (start, shared), path in zip(starts, paths, strict=True):
        end = start + len(path) - shared
        visible[start:end, path[:shared]] = True
        visible[start:end, start:end] = np.tri(end - start, dtype=bool)
    return PackedRow(tokens=[tokens], positions=[positions], visible=visible, paths=paths)


def even_rows(branches: Sequence[Branch]) -> PackedRow | None:
    """Make a row for each branch, padded at its end; None if that takes over 5% more tokens than one packed row,
    because up to there the saved attention between branches is worth more.
    """
    width, packed = max(len(branch.fed) for branch in branches), len(branches[0].fed)
    for one, other in pairwise(branches):
        packed += len(other.fed) - prefix_length(one.fed, other.fed)
    if len(branches) == 1 or width * len(branches) > MOST_FILLED * packed:
        return None
    return PackedRow(
        tokens=[[*branch.fed, *[0] * (width - len(branch.fed))] for branch in branches],
        positions=[[*range(width)]] * len(branches),
        visible=None,
        paths=[np.arange(len(branch.fed)) + width * row for row, branch in enumerate(branches)],
    )


def cache_of(states: States) -> DynamicCache:
    """Make a cache that begins with these keys and values, which it does not change. Its layers keep all of them, also
    layers with a sliding window.
    """
    cache = DynamicCache()
    for keys, values in states:
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def attention_mask(visible: NDArray[np.bool_], before: int, model: PreTrainedModel) -> torch.Tensor:
    """Return the additive attention mask of a row that follows `before` tokens, which all its tokens see: (1, 1, n,
    before + n), in the model's type, so that no layer has to convert it.
    """
    whole = np.concatenate([np.ones((len(visible), before), dtype=bool), visible], axis=1)
    mask = torch.from_numpy(whole).to(model.device)[None, None]
    added = torch.zeros(mask.shape, dtype=model.dtype, device=model.device)
    return added.masked_fill_(~mask, torch.finfo(model.dtype).min)
