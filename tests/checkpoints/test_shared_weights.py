"""Weights that several models share: what was written into them is seen."""

from __future__ import annotations

import torch
from tiny_models import open_model

from evalharness.checkpoints import shared_weights


def test_marks_see_what_torch_does_not_count(zoo):
    """`tensor.data` is written past torch's count of writes."""
    model = open_model(zoo["llama"])
    before = shared_weights.marks(model)
    assert shared_weights.marks(model) == before
    weight = model.model.layers[1].mlp.up_proj.weight
    weight.data[0, 0] += 1e-3
    assert shared_weights.marks(model) != before
    large = torch.nn.Linear(2048, 2048, bias=False)
    before = shared_weights.marks(large)
    large.weight.data.add_(1e-4)
    assert shared_weights.marks(large) != before
