"""Check whether the greedy loop suits a model: compare the logits of its passes with those of plain ones."""

from __future__ import annotations

import torch

from evalharness.checkpoints.open_model import embedding_shape
from evalharness.engines.hf.batches import free_memory
from evalharness.engines.hf.loop_passes import Passes, passes_of
from evalharness.engines.hf.model_adapter import ModelAdapter
from evalharness.engines.hf.ragged_cache import RaggedCache, keys_and_values
from evalharness.engines.hf.rows import BatchRow, Tokens
from evalharness.errors import first_line, out_of_memory

LENGTHS, NEW = (9, 4), 3  # tokens of the compared rows, and how many of them are fed like new ones
EXACT, COARSE = 1e-4, 5e-2  # largest difference as a share of the largest logit: float32, and half precision


@torch.no_grad()
def compare(model: ModelAdapter, positioned: bool, rows: int) -> tuple[str, int]:
    """Return why the loop does not suit the model ("" if it does), and the bytes of a position of a row in its cache.
    `rows`: how many may share a pass. Raises MemoryError, or torch's error, if memory does not suffice.
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
    except Exception as error:  # an architecture that does not support these inputs may raise anything
        if out_of_memory(error):
            raise
        free_memory()
        return f"its attention or cache cannot be given rows of any length ({first_line(error)})", 0
    plain = torch.stack(expected).float()
    bound = EXACT if own.dtype == torch.float32 else COARSE
    apart = (plain - logits.float()).abs().max() / plain.abs().max()
    if apart > bound:
        return f"its logits move by {float(apart):.2g} of the largest where rows of any length share a cache", 0
    return "", size


def _by_the_loop(passes: Passes, prompts: list[Tokens]) -> tuple[torch.Tensor, int]:
    """Return the logits (rows, NEW, vocabulary) after each of the last tokens, one fed alone and the rest together, and
    the bytes of a position.
    """
    cache = RaggedCache(len(prompts))
    _, filled = passes.prefill([prompt[:-NEW] for prompt in prompts], [1] * len(prompts))
    cache.fill(0, filled)
    lengths = [passes.prefix.tokens + len(prompt) - NEW for prompt in prompts]
    first = passes.step([prompt[-NEW : 1 - NEW] for prompt in prompts], cache, lengths)
    rest = passes.step([prompt[1 - NEW :] for prompt in prompts], cache, [length + 1 for length in lengths])
    states = [tensor for layer in keys_and_values(filled) for tensor in layer]
    logits = torch.cat([first.unflatten(0, (len(prompts), 1)), rest.unflatten(0, (len(prompts), NEW - 1))], dim=1)
    return logits, sum(tensor[0, :, 0].nbytes for tensor in states)
