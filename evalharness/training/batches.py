"""Make batches of encoded examples, grouped by length.

A row holds one example, or several that do not see one another (a pack).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from evalharness.records.models import Architecture
from evalharness.training.encode import IGNORED, EncodedExample

Pack = tuple[EncodedExample, ...]
"""The examples of one row, usually one."""
POOL = 32  # batches whose examples are sorted by length together
PASSES = 7003  # a part of the seeds


def collate(
    rows: Sequence[Pack], pad: int, architecture: Architecture = Architecture.CAUSAL, packed: bool = False
) -> dict[str, torch.Tensor]:
    """Make the tensors of one batch, (rows, longest), padded on the right.

    Beside them "tokens" is the number of tokens without padding, and "examples" the number of examples in the rows.
    With `packed` there is no mask; positions begin again at 0 with every example, by which transformers keeps attention
    within it. The padding at a row's end counts as an example of its own there.
    """
    ids = [[token for example in row for token in example.ids] for row in rows]
    labels = [[label for example in row for label in example.labels] for row in rows]
    tokens = sum(map(len, ids)) + (sum(map(len, labels)) if architecture == Architecture.SEQ2SEQ else 0)
    counts = {"tokens": torch.tensor(tokens), "examples": torch.tensor(sum(map(len, rows)))}
    batch = {"input_ids": _padded(ids, pad), "labels": _padded(labels, IGNORED), **counts}
    if not packed:
        return batch | {"attention_mask": _padded([[1] * len(each) for each in ids], 0)}
    longest = batch["input_ids"].shape[1]
    lengths = [
        [*(len(example.ids) for example in row), longest - len(each)] for row, each in zip(rows, ids, strict=True)
    ]
    positions = [[place for length in row for place in range(length)] for row in lengths]
    return batch | {"position_ids": torch.tensor(positions)}


def _padded(rows: Sequence[Sequence[int]], gap: int) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[gap] * (longest - len(row))] for row in rows])


def pack(examples: Sequence[EncodedExample], limit: int) -> list[Pack]:
    """Pack examples into rows in their order, as many a row as fit into `limit` tokens."""
    packs: list[list[EncodedExample]] = []
    free = -1
    for example in examples:
        if len(example.ids) > free:
            packs.append([])
            free = limit
        packs[-1].append(example)
        free -= len(example.ids)
    return [tuple(row) for row in packs]


def batches_by_length(rows: Sequence[Pack], size: int, number: int, seed: int) -> list[tuple[Pack, ...]]:
    """Make `number` batches of `size` rows of about the same length.

    Every pass over the rows has a seeded order. The rows of some batches at a time are sorted by length, and these
    batches are shuffled by the seed again, so that long ones do not come together.
    """
    batches: list[tuple[Pack, ...]] = []
    while len(batches) < number:
        rng = np.random.default_rng([seed, PASSES, len(batches)])
        order = rng.permutation(len(rows)).tolist()
        for start in range(0, len(order), POOL * size):
            pool = sorted(
                order[start : start + POOL * size], key=lambda index: -sum(example.width for example in rows[index])
            )
            of_pool = [tuple(rows[index] for index in pool[at : at + size]) for at in range(0, len(pool), size)]
            batches += [of_pool[place] for place in rng.permutation(len(of_pool))]
    return batches[:number]


@torch.no_grad()
def keeps_packs_apart(model: torch.nn.Module, vocabulary: int) -> bool:
    """Return whether the model gives the second text of a pack the same logits as alone, tried on two short texts of
    arbitrary tokens.
    """
    device = next(model.parameters()).device
    first, second = (torch.arange(start, start + 6, device=device)[None] % vocabulary for start in (3, 7))
    positions = torch.arange(6, device=device)[None]
    training = model.training
    model.eval()
    try:
        alone = model(input_ids=second, use_cache=False).logits[0]
        together = model(
            input_ids=torch.cat([first, second], 1), position_ids=torch.cat([positions, positions], 1), use_cache=False
        ).logits[0, 6:]
    except (TypeError, ValueError, RuntimeError):
        return False  # no position_ids in this architecture
    finally:
        model.train(training)
    scale = float(alone.abs().max())
    return bool((alone - together).abs().max() <= (1e-4 if alone.dtype == torch.float32 else 5e-2) * max(1.0, scale))
