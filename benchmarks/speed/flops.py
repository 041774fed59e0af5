"""Count the floating-point operations that a workload needs at least, with any engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

Tokens = Sequence[int]


@dataclass(frozen=True)
class Sizes:
    """What a decoder-only model's operations are counted from. `body`: parameters that every token passes, `head`:
    those of the output layer, `attended`: heads × their width × layers.
    """

    body: int
    head: int
    attended: int


def sizes_of(model: PreTrainedModel) -> Sizes:
    """Of a decoder-only model."""
    config, head, embeddings = model.config, model.get_output_embeddings().weight, model.get_input_embeddings().weight
    body = sum(weight.numel() for weight in model.parameters() if weight is not head and weight is not embeddings)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Sizes(body, head.numel(), config.num_attention_heads * width * config.num_hidden_layers)


def needed(rows: Iterable[tuple[Tokens, Tokens]], sizes: Sizes) -> float:
    """Operations for the log-probabilities of every continuation after its context, (context, continuation) in tokens.

    A token is fed once for all rows that begin alike up to it, and the last token of a row never. It costs 2 operations
    a parameter of the body, and 4 × `attended` for itself and each token before it; the head costs 2 a parameter at
    every distinct place of which a prediction is scored.
    """
    lengths: dict[int, int] = {}  # of a prefix, by its number
    numbers: dict[tuple[int, int], int] = {}  # of a prefix, by the number of the one before and its last token
    scored: set[int] = set()
    for context, continuation in rows:
        place = -1
        for at, token in enumerate([*context, *continuation][:-1]):
            place = numbers.setdefault((place, token), len(numbers))
            lengths[place] = at + 1
            if at + 1 >= len(context):
                scored.add(place)
    attention = 4.0 * sizes.attended * sum(lengths.values())
    return 2.0 * sizes.body * len(lengths) + attention + 2.0 * sizes.head * len(scored)
