"""Compare the logits of two models on a few texts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Question: What is 12 × 7? Answer: 84.",
    "def area(radius):\n    return 3.14159 * radius ** 2\n",
    "On Monday it rained in Paris; on Tuesday the sun came out, and people sat outside.",
)
TOLERANCE = 1e-4  # relative to the largest logit; float32 sums in another order differ by about a tenth of it
Logits = tuple[torch.Tensor, ...]  # of each text (positions, vocabulary)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitDifference:
    """The difference of two models' logits. `largest`: the largest one. `allowed`: the one that rounding explains.
    `changed`: at how many of `positions` the next token changed.
    """

    largest: float
    allowed: float
    changed: int
    positions: int

    @property
    def rounding(self) -> bool:
        """Whether rounding explains the difference."""
        return self.largest <= self.allowed


def token_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[torch.Tensor, ...]:
    """Return the probe texts as rows of token ids, without empty rows."""
    rows = [tokenizer(text, add_special_tokens=True)["input_ids"] for text in TEXTS]
    return tuple(torch.tensor([row]) for row in rows if row)


def logits_of(model: PreTrainedModel, ids: tuple[torch.Tensor, ...]) -> Logits:
    """Compute the logits at every position of each text in float32, one text at a time without padding. A decoder reads
    the same tokens as its encoder.
    """
    decoded = model.config.is_encoder_decoder
    with torch.inference_mode():
        return tuple(
            model(input_ids=row, use_cache=False, **({"decoder_input_ids": row} if decoded else {})).logits[0].float()
            for row in ids
        )


def difference(one: Logits, other: Logits) -> LogitDifference:
    """Compare the logits of two models on the same texts; NaN counts as an infinite difference."""
    apart = [float((a - b).abs().nan_to_num(nan=float("inf")).max()) for a, b in zip(one, other, strict=True)]
    changed = [int((a.argmax(-1) != b.argmax(-1)).sum()) for a, b in zip(one, other, strict=True)]
    size = max(1.0, *(float(each.abs().max()) for each in one))
    return LogitDifference(
        largest=max(apart), allowed=TOLERANCE * size, changed=sum(changed), positions=sum(map(len, one))
    )
