"""Decide whether the greedy loop serves a model: by what its configuration says of windows, and by a comparison of the
loop's logits with those of plain forward passes.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedConfig

from evalharness.checkpoints.open_model import embedding_shape
from evalharness.engines.hf.batches import free_memory
from evalharness.engines.hf.loop_passes import Passes, passes_of
from evalharness.engines.hf.model_adapter import ModelAdapter
from evalharness.engines.hf.ragged_cache import RaggedCache, keys_and_values
from evalharness.engines.hf.rows import BatchRow, Tokens
from evalharness.errors import first_line, out_of_memory

WINDOWS = (  # what configurations call the positions that a token sees, itself included
    *("sliding_window", "sliding_window_size", "attention_chunk_size", "window_size", "attention_window_size"),
    *("attention_window", "local_attention_window_len"),
)
LENGTHS, NEW = (9, 4), 3  # tokens of the rows that are compared, and how many of them are fed as new ones
EXACT, COARSE = 1e-4, 5e-2  # by how much of the largest logit the two may differ: float32, and half precision


def position_limit(config: PreTrainedConfig) -> int | None:
    """Positions within which no attention of this model is narrower than the text before, and no rotation depends on
    its length. None: no such limit is stated.
    """
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ())
    narrow = not kinds or any("sliding" in kind or "chunked" in kind or "local" in kind for kind in kinds)
    limits = [getattr(text, name, None) for name in WINDOWS] if narrow else []
    stated = getattr(text, "rope_parameters", None) or {}
    for rope in (stated, *(value for value in stated.values() if isinstance(value, dict))):
        if "dynamic" in str(rope.get("rope_type")) or rope.get("rope_type") == "longrope":
            own = rope.get("original_max_position_embeddings"), getattr(text, "max_position_embeddings", None)
            limits += [own[0] if own[0] is not None else own[1]]
    # one position less: a sliding cache keeps one less than its window
    return min((limit - 1 for limit in limits if isinstance(limit, int)), default=None)


@torch.no_grad()
def compare(model: ModelAdapter, positioned: bool, rows: int) -> tuple[str, int]:
    """Why the loop does not serve the model ("": it does), and the bytes that a position of a row takes in its cache.
    `rows`: how many may share a pass. Raises MemoryError, or what torch raises, where memory does not suffice.
    """
    vocabulary = embedding_shape(model.loaded.model)[0]
    prompts: list[Tokens] = [
        tuple((7919 * (row + 2) * (place + 3)) % vocabulary for place in range(length))
        for row, length in enumerate(LENGTHS[:rows])
    ]
    try:
        expected = [model.logits([BatchRow((), prompt, ((0,) * NEW,))]) for prompt in prompts]
        with model.loaded.answering(True) as (own, lead):
            logits, size = _by_the_loop(passes_of(own, lead, (), positioned), prompts)
    except Exception as error:  # whatever an architecture raises that is asked in a way it does not know
        if out_of_memory(error):
            raise
        free_memory()
        return f"its attention or cache cannot be given rows of any length ({first_line(error)})", 0
    wanted = torch.stack(expected).float()
    bound = EXACT if own.dtype == torch.float32 else COARSE
    apart = (wanted - logits.float()).abs().max() / wanted.abs().max()
    if apart > bound:
        return f"its logits move by {float(apart):.2g} of the largest where rows of any length share a cache", 0
    return "", size


def _by_the_loop(passes: Passes, prompts: list[Tokens]) -> tuple[torch.Tensor, int]:
    """Logits (rows, NEW, vocabulary) after each of the last tokens: one fed alone, the rest together; and the bytes of
    a position.
    """
    cache = RaggedCache(len(prompts))
    _, filled = passes.prefill([prompt[:-NEW] for prompt in prompts])
    cache.fill(0, filled)
    lengths = [passes.prefix.tokens + len(prompt) - NEW for prompt in prompts]
    first = passes.step([prompt[-NEW : 1 - NEW] for prompt in prompts], cache, lengths)
    rest = passes.step([prompt[1 - NEW :] for prompt in prompts], cache, [length + 1 for length in lengths])
    held = [tensor for layer in keys_and_values(filled) for tensor in layer]
    return torch.cat([first, rest], dim=1), sum(tensor[0, :, 0].nbytes for tensor in held)
