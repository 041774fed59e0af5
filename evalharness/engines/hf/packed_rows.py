"""Lay branches of a trie in one row: every token once, each sees the header and its own branch up to itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from evalharness.engines.hf.trie import Branch, common

MOST_FILLED = 1.05  # tokens of rows of a length, for one of a row that all share
States = tuple[tuple[torch.Tensor, torch.Tensor], ...]  # keys and values of every layer, each (1, heads, tokens, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedRow:
    """The tokens that a pass reads after its header, in one row or in several of a length: ids and positions in their
    branches, (rows, n) each; which tokens of the one row each of them sees, (n, n), None where it is those before it;
    and for every branch the places of its tokens, row after row, from its first after the header on.
    """

    tokens: list[list[int]]
    positions: list[list[int]]
    seen: NDArray[np.bool_] | None
    paths: list[NDArray[np.int64]]


def packed_row(branches: Sequence[Branch], depth: int) -> PackedRow:
    """One row of these branches behind a header of `depth` tokens. Neighbours that share a prefix share its tokens."""
    tokens: list[int] = []
    positions: list[int] = []
    paths: list[NDArray[np.int64]] = []
    starts: list[tuple[int, int]] = []
    for i, branch in enumerate(branches):
        kept = common(branches[i - 1].fed, branch.fed) - depth if i else 0
        new = branch.fed[depth + kept :]
        own = np.arange(len(tokens), len(tokens) + len(new))
        starts.append((len(tokens), kept))
        paths.append(np.concatenate([paths[-1][:kept], own]) if i else own)
        tokens += new
        positions += range(depth + kept, len(branch.fed))
    if len(branches) == 1:
        return PackedRow(tokens=[tokens], positions=[positions], seen=None, paths=paths)
    seen = np.zeros((len(tokens), len(tokens)), dtype=bool)
    for (start, kept), path in zip(starts, paths, strict=True):
        end = start + len(path) - kept
        seen[start:end, path[:kept]] = True
        seen[start:end, start:end] = np.tri(end - start, dtype=bool)
    return PackedRow(tokens=[tokens], positions=[positions], seen=seen, paths=paths)


def even_rows(branches: Sequence[Branch]) -> PackedRow | None:
    """A row for each branch, filled up at its end, where nobody sees it; None where that takes more than a twentieth
    more tokens than one row of all, which no attention to the others costs.
    """
    width, packed = max(len(branch.fed) for branch in branches), len(branches[0].fed)
    for one, other in pairwise(branches):
        packed += len(other.fed) - common(one.fed, other.fed)
    if len(branches) == 1 or width * len(branches) > MOST_FILLED * packed:
        return None
    return PackedRow(
        tokens=[[*branch.fed, *[0] * (width - len(branch.fed))] for branch in branches],
        positions=[[*range(width)]] * len(branches),
        seen=None,
        paths=[np.arange(len(branch.fed)) + width * row for row, branch in enumerate(branches)],
    )


def cache_of(states: States) -> DynamicCache:
    """A cache that begins with these keys and values, which stay as they are. Its layers keep all of them, whatever
    window a layer has.
    """
    cache = DynamicCache()
    for keys, values in states:
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def attention_mask(seen: NDArray[np.bool_], before: int, model: PreTrainedModel) -> torch.Tensor:
    """What is added to the attention scores of a row whose tokens see all of what stands before it: (1, 1, n, before +
    n), in the model's type, so that no layer has to convert it.
    """
    whole = np.concatenate([np.ones((len(seen), before), dtype=bool), seen], axis=1)
    mask = torch.from_numpy(whole).to(model.device)[None, None]
    added = torch.zeros(mask.shape, dtype=model.dtype, device=model.device)
    return added.masked_fill_(~mask, torch.finfo(model.dtype).min)
