"""Refuse tensors with NaN or infinite values, read from their file a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from evalharness.checkpoints.libraries import first_line, first_names
from evalharness.errors import ModelError

CHUNK = 1 << 24  # values looked at together


def refuse_nonfinite(path: Path) -> None:
    """Raises ModelError naming tensors of a safetensors file with NaN or infinite values."""
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if not all(map(_is_finite, _chunks(file, name)))]  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ModelError(path, f"cannot be read ({first_line(error)})", "copy or save the file again") from None
    if names:
        what = f"NaN or infinite values in {first_names(names)}"
        raise ModelError(path, what, "the training run diverged: take an earlier checkpoint")


def _chunks(file: safe_open, name: str) -> Iterator[torch.Tensor]:
    """A tensor a few rows at a time."""
    view = file.get_slice(name)
    shape = view.get_shape()
    if not shape:
        yield file.get_tensor(name)
        return
    step = max(1, CHUNK // max(1, torch.Size(shape[1:]).numel()))
    for start in range(0, shape[0], step):
        yield view[start : start + step]


def _is_finite(chunk: torch.Tensor) -> bool:
    """Torch cannot ask a float of eight bits whether it is finite."""
    wide = chunk.float() if chunk.element_size() == 1 else chunk
    return not chunk.is_floating_point() or bool(torch.isfinite(wide).all())
