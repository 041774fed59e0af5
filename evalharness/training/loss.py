"""Compute the loss of a batch: the cross-entropy of its labels, with the model's head only where there is a label."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from evalharness.records.models import Architecture
from evalharness.training.encode import IGNORED

COUNTS = ("tokens", "examples")  # keys of a batch that are no inputs of the model


def completion_loss(
    model: nn.Module, batch: dict[str, torch.Tensor], architecture: Architecture, over: Any = None
) -> tuple[torch.Tensor, Any]:
    """Compute the cross-entropy in nats of the labels (rows, length) that are not IGNORED, summed and divided by `over`
    (None: by their number); also return the model's outputs.

    A causal model predicts the next token; its virtual tokens have no labels. A decoder makes its inputs from the
    labels and predicts these.
    """
    inputs = {key: value for key, value in batch.items() if key not in COUNTS}
    if architecture == Architecture.SEQ2SEQ:
        outputs = model(**inputs)
        is_label = inputs["labels"] != IGNORED
        logits, labels = outputs.logits[is_label], inputs["labels"][is_label]
    else:
        labels = inputs.pop("labels")
        outputs, logits = _scored(model, inputs, labels)
        labels = labels[:, 1:][labels[:, 1:] != IGNORED]
    loss = nn.functional.cross_entropy(logits.float(), labels.to(logits.device), reduction="sum")
    return loss / (labels.numel() if over is None else over), outputs


def _scored(model: nn.Module, inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> tuple[Any, torch.Tensor]:
    """Return a causal model's outputs, and the logits (labels not IGNORED, vocabulary) that predict these labels."""
    is_label = labels[:, 1:] != IGNORED

    def predicting(positions: torch.Tensor) -> torch.Tensor:
        before = positions.shape[1] - labels.shape[1]  # virtual tokens
        return positions[:, before:-1][is_label.to(positions.device)]

    find_head = getattr(model, "get_output_embeddings", None)  # a wrapper that splits the batch lacks it
    head = find_head() if find_head is not None else None
    if head is None:
        outputs = model(**inputs)
        return outputs, predicting(outputs.logits)
    hook = head.register_forward_pre_hook(lambda _, args: (predicting(args[0]).unsqueeze(0), *args[1:]))
    try:
        outputs = model(**inputs)
    finally:
        hook.remove()
    return outputs, outputs.logits[0]
