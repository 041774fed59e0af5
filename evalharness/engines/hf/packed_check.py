"""Find out whether a model can read packed rows: by its configuration how far, and by asking it the same both ways."""

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

SEES_LESS = ("sliding_window", "attention_chunk_size", "local_attention")  # beyond so many tokens
BY_PLACE = "window_size"  # layers that count places in the row, whatever its mask says
CHANGES = ("dynamic", "longrope")  # rotary embeddings that are others once a text is long
EXACT, COARSE = 1e-4, 0.05  # of the spread of the logits: what rounding may move in float32, and in fewer bits
TEXTS = ((1,), (1, 2), (1, 2, 3, 4), (1, 2, 5), (6, 7, 8, 9, 10, 11), (12, 13, 14))  # after a header
ROW = 10  # tokens of a row, so that the texts need more than one


def reach_of(config: PreTrainedConfig) -> int | None:
    """Up to how many tokens every layer sees a whole text and reads it as it reads a shorter one; None: up to any, 0:
    its layers count places.
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
    """Yield the parameters of rotary embeddings, which some configurations give for each type of layer."""
    inner = [value for value in parameters.values() if isinstance(value, Mapping)]
    yield from inner or [parameters]


def why_plain(scorer: PackedPairScorer) -> str:
    """Why the model does not read packed rows as it reads whole ones; "" where it does. Asks it a few short texts of
    arbitrary tokens.
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
        return f"its window of {model.window} tokens is too short to look"
    try:
        plain = scorer.plain.last_logits(prompts, adapter=True)
    except (MemoryError, RuntimeError, IndexError) as error:  # what torch raises
        return f"it answers no short text ({type(error).__name__}: {first_line(error)})"
    if np.isnan(plain).any() or np.isposinf(plain).any() or not np.isfinite(plain).any(axis=1).all():
        return ""  # the proof refuses it
    finite = np.where(np.isneginf(plain), np.nan, plain)  # tokens that are ruled out have -inf
    spread = float((np.nanmax(finite, axis=1) - np.nanmin(finite, axis=1)).max())
    bound = (EXACT if model.loaded.model.dtype == torch.float32 else COARSE) * spread
    small = PackedPairScorer(model, BatchLimits(scorer.plain.limits.rows, ROW), scorer.reach)
    if _difference(small, prompts, plain, bound):
        small.trims = scorer.trims = False
        return _difference(small, prompts, plain, bound)
    return ""


def _difference(scorer: PackedPairScorer, prompts: Sequence[Tokens], plain: NDArray[np.float64], bound: float) -> str:
    """What is wrong with packed rows; "" where they move no logit by more than the bound."""
    try:
        packed = scorer.last_logits(prompts, adapter=True)
    except Exception as error:  # whatever a model's own code raises of inputs that it does not expect
        return f"it cannot read packed rows ({type(error).__name__}: {first_line(error)})"
    with np.errstate(invalid="ignore"):
        moved = float(np.where(packed == plain, 0.0, np.abs(packed - plain)).max())
    return "" if moved <= bound else f"packed rows move a logit by {moved:.2g}"
