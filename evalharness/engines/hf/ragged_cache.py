"""Cache the keys and values of rows of different lengths; every row writes at its own length.

So nothing is padded on the left, and when a row ends, another row takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer

GROWTH = 64  # positions by which the cache grows at least


class _Writing:
    """The state that the layers of a cache share: how large it is, and which positions the current pass writes and
    reads.

    `at`: the positions, (rows, fed), at which the rows in `places` (None: the first ones) write. `width`: how many
    positions they read.
    """

    def __init__(self, rows: int) -> None:
        self.rows, self.capacity, self.width = rows, 0, 0
        self.places: torch.Tensor | None = None
        self.at = torch.zeros((0, 0), dtype=torch.long)


class RaggedLayer(CacheLayerMixin):
    """One layer: keys and values as (rows, heads, positions, head size)."""

    is_sliding = False

    def __init__(self, writing: _Writing) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.writing = writing

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate the cache's rows and positions in the type of these states."""
        rows, positions = self.writing.rows, self.writing.capacity
        self.keys, self.values = (
            states.new_zeros((rows, states.shape[1], positions, states.shape[3]))
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new states of the pass's rows, (rows, heads, fed, head size), and return all that they may read."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        writing, places = self.writing, self.writing.places
        count = len(writing.at)
        index = torch.arange(count, device=writing.at.device) if places is None else places
        for stored, states in self._both(key_states, value_states):
            stored[index[:, None], :, writing.at] = states.transpose(1, 2)
        rows = slice(count) if places is None else places  # the first ones need not be copied
        (keys, _), (values, _) = self._both(key_states, value_states)
        return keys[rows, :, : writing.width], values[rows, :, : writing.width]

    def _both(self, keys: torch.Tensor, values: torch.Tensor) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
        """Pair the stored keys and values with the new ones."""
        assert self.keys is not None and self.values is not None
        return (self.keys, keys), (self.values, values)

    def write(self, first: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Write whole rows from their beginning, (rows, heads, positions, head size), at `first` and after."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        for stored, states in self._both(keys, values):
            stored[first : first + len(states), :, : states.shape[2]] = states

    def grow(self) -> None:
        """Grow to the cache's number of positions."""
        if self.keys is None or self.values is None:
            return
        more = self.writing.capacity - self.keys.shape[2]
        self.keys, self.values = (
            torch.cat([stored, stored.new_zeros((*stored.shape[:2], more, stored.shape[3]))], dim=2)
            for stored in (self.keys, self.values)
        )

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.writing.width, 0

    def get_seq_length(self) -> int:
        return self.writing.width - self.writing.at.shape[1]

    def get_max_length(self) -> int:
        return -1


class RaggedCache(Cache):
    """Keys and values of at most `rows` rows, of as many positions as are needed."""

    def __init__(self, rows: int) -> None:
        self.writing = _Writing(rows)
        super().__init__(layer_class_to_replicate=partial(RaggedLayer, self.writing))  # type: ignore[arg-type]

    def reserve(self, positions: int) -> None:
        """Grow the cache to at least so many positions."""
        writing = self.writing
        if positions > writing.capacity:
            writing.capacity = max(positions, min(2 * writing.capacity, writing.capacity + GROWTH))
            for layer in self._layers():
                layer.grow()

    def begin(self, at: torch.Tensor, width: int, places: Sequence[int] | None = None) -> None:
        """Set where the next forward pass writes: at positions `at`, (rows, fed), of the rows in `places` (None: the
        first ones), which read `width` positions.
        """
        self.reserve(width)
        self.writing.at, self.writing.width = at, width
        self.writing.places = None if places is None else torch.tensor(places, device=at.device)

    def fill(self, first: int, filled: DynamicCache) -> None:
        """Write the rows of another cache at `first` and after. Raises ValueError as `keys_and_values` does."""
        layers = keys_and_values(filled)
        self.reserve(layers[0][0].shape[2])
        for place, (keys, values) in enumerate(layers):
            if place == len(self.layers):
                self.layers.append(RaggedLayer(self.writing))
            self._layers()[place].write(first, keys, values)

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy rows to the places of others."""
        if sources:
            for layer in self._layers():
                for stored in (layer.keys, layer.values):
                    assert stored is not None
                    stored[list(targets)] = stored[list(sources)]

    def clear(self, row: int) -> None:
        """Set a row's keys and values to 0: values that are not finite would spoil even rows that do not attend to
        them.
        """
        for layer in self._layers():
            assert layer.keys is not None and layer.values is not None
            layer.keys[row].zero_()
            layer.values[row].zero_()

    def _layers(self) -> list[RaggedLayer]:
        return [layer for layer in self.layers if isinstance(layer, RaggedLayer)]


def keys_and_values(cache: DynamicCache) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the keys and values of every layer, each (rows, heads, positions, head size). Raises ValueError if a cache
    holds anything else, or not every position in every layer.
    """
    layers = [layer for layer in cache.layers if isinstance(layer, DynamicLayer)]
    states = [(layer.keys, layer.values) for layer in layers if layer.keys is not None and layer.values is not None]
    if len(states) != len(cache.layers) or len({keys.shape[2] for keys, _ in states}) != 1:
        raise ValueError("its cache is not one of keys and values alone")
    return states
