"""Check whether a model can read packed rows: up to which length by its configuration, and by a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedConfig

from evalharness.checkpoints.open_model import embedding_shape
from evalharness.engines.hf.batches import BatchLimits
from evalharness.engines.hf.packed_scores import PackedPairScorer
from evalharness.engines.hf.rows import Tokens
from evalharness.engines.hf.trie import LEAST_HEADER
from evalharness.errors import first_line

SEES_LESS = ("sliding_window", "attention_chunk_size", "local_attention")  # tokens beyond which a layer does not see
BY_PLACE = "window_size"  # of layers that count places in the row and ignore its mask
CHANGES = ("dynamic", "longrope")  # rotary embeddings that change once a text is long
EXACT, COARSE = 1e-4, 0.05  # effect of rounding in float32 and in fewer bits, as a share of the logits' spread
TEXTS = ((1,), (1, 2), (1, 2, 3, 4), (1, 2, 5), (6, 7, 8, 9, 10, 11), (12, 13, 14))  # after a header
ROW = 10  # tokens of a row, so that the texts need more than one


def reach_of(config: PreTrainedConfig) -> int | None:
    """Return the most tokens of a text that every layer sees whole and reads like a shorter one.

    None: no limit. 0: the model cannot read packed rows, because its layers count places.
    """
    text = config.get_text_config(decoder=True)
    if isinstance(getattr(text, BY_PLACE, None), int):
        return 0
    limits = [limit for name in SEES_LESS if isinstance(limit := getattr(text, name, None), int)]
    for rope in _ropes(getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}):
        if rope.get("rope_type", rope.get("type")) in CHANGES:
            limits.append(rope.get("original_max_position_embeddings") or text.max_position_embeddings)
    return min(limits, default=None)


def _ropes(parameters: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the parameters of rotary embeddings, which some configurations have for each type of layer."""
    inner = [value for value in parameters.values() if isinstance(value, Mapping)]
    yield from inner or [parameters]


def why_plain(scorer: PackedPairScorer) -> str:
    """Return why the model does not read packed rows like whole ones; "" if it does. It reads a few short texts of
    arbitrary tokens both ways.
    """
    model = scorer.model
    if not model.positioned:
        return "its forward pass takes no positions"
    vocabulary = embedding_shape(model.loaded.bare)[0]
    header = tuple((7 * i + 5) % vocabulary for i in range(LEAST_HEADER))
    prompts = [(*header, *((11 * token + 3) % vocabulary for token in text)) for text in TEXTS]
    if not all(scorer.in_reach(prompt) for prompt in prompts):
        return f"its layers see {scorer.reach} tokens of a text"
    if model.window is not None and model.loaded.lead.tokens + max(map(len, prompts)) > model.window:
        return f"its window of {model.window} tokens is too short for the check"
    try:
        plain = scorer.plain.last_logits(prompts, adapter=True)
    except (MemoryError, RuntimeError, IndexError) as error:  # the exceptions of torch
        return f"it answers no short text ({type(error).__name__}: {first_line(error)})"
    if np.isnan(plain).any() or np.isposinf(plain).any() or not np.isfinite(plain).any(axis=1).all():
        return ""  # the proof refuses it
    finite = np.where(np.isneginf(plain), np.nan, plain)  # excluded tokens have -inf
    spread = float((np.nanmax(finite, axis=1) - np.nanmin(finite, axis=1)).max())
    bound = (EXACT if model.loaded.model.dtype == torch.float32 else COARSE) * spread
    small = PackedPairScorer(model, BatchLimits(scorer.plain.limits.rows, ROW), scorer.reach)
    if _difference(small, prompts, plain, bound):
        small.trims = scorer.trims = False
        return _difference(small, prompts, plain, bound)
    return ""


def _difference(scorer: PackedPairScorer, prompts: Sequence[Tokens], plain: NDArray[np.float64], bound: float) -> str:
    """Return what is wrong with packed rows; "" if they change no logit by more than the bound."""
    try:
        packed = scorer.last_logits(prompts, adapter=True)
    except Exception as error:  # a model's own code may raise anything for inputs that it does not support
        return f"it cannot read packed rows ({type(error).__name__}: {first_line(error)})"
    with np.errstate(invalid="ignore"):
        moved = float(np.where(packed == plain, 0.0, np.abs(packed - plain)).max())
    return "" if moved <= bound else f"packed rows move a logit by {moved:.2g}"
