"""Divide the layers of a checkpoint into consecutive blocks by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from evalharness.checkpoints.lora_sizes import WRAPPER
from evalharness.errors import UsageError

LAYER = re.compile(r"(.*?)\.(\d+)\.")  # the stack of layers, and a layer's number
FIRST = re.compile(r"embed|\bwte\b|\bwpe\b|\bshared\b")  # tensors before the layers


class LayerBlocks:
    """The layers of a checkpoint, divided into `count` consecutive blocks of nearly equal size, encoder before decoder.

    `names`: of all its tensors. Embeddings are in the first block; other tensors outside layers (last norm, head) in
    the last. Raises UsageError if there are fewer layers than blocks.
    """

    def __init__(self, names: Iterable[str], count: int) -> None:
        layers = {layer for name in names if (layer := _layer(name)) is not None}
        self.count, self._layers = count, sorted(layers, key=lambda layer: ("encoder" not in layer[0], *layer))
        if count < 1 or count > max(1, len(layers)):
            what = f"{count} blocks of {len(layers)} layers that the candidate may have changed"
            raise UsageError("--blocks", what, "a number from 1, and no more than there are layers")
        self._places = {layer: place * count // len(layers) for place, layer in enumerate(self._layers)}

    def block_of(self, name: str) -> int:
        """Return the number of a tensor's block, from 0."""
        layer = _layer(name)
        if layer is None:
            return 0 if FIRST.search(name) else self.count - 1
        return self._places[layer]

    def layer_names(self) -> tuple[str, ...]:
        """Return the layers of each block in words, such as `model.layers.0–14`."""
        return tuple(_span([layer for layer in self._layers if self._places[layer] == b]) for b in range(self.count))


def _layer(name: str) -> tuple[str, int] | None:
    match = LAYER.match(name.removeprefix(WRAPPER))
    return (match[1], int(match[2])) if match else None


def _span(layers: Sequence[tuple[str, int]]) -> str:
    spans = []
    for stack in dict.fromkeys(stack for stack, _ in layers):
        numbers = [number for of, number in layers if of == stack]
        spans.append(f"{stack}.{numbers[0]}" + (f"–{numbers[-1]}" if len(numbers) > 1 else ""))
    return ", ".join(spans)
