"""The loss of a batch: the mean over the tokens to be learned, whatever stands before them, and the head at no other
position. The oracle is transformers' own loss, of all logits.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from training.makers import recipe
from transformers import AutoModelForCausalLM
from transformers.loss.loss_utils import ForCausalLMLoss

from evalharness.training.adapt import adapt
from evalharness.training.batches import collate
from evalharness.training.encode import IGNORED, EncodedExample
from evalharness.training.loss import completion_loss

ROWS = [
    (EncodedExample(ids=(1, 3, 4, 5, 6, 2), labels=(IGNORED,) * 4 + (6, 2)),),
    (EncodedExample(ids=(1, 7, 8, 2), labels=(IGNORED, IGNORED, 8, 2)),),
]


def gradients(model: nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}


@pytest.mark.parametrize("method", ["full", "lora", "prompt"])
@pytest.mark.parametrize("over", [None, torch.tensor(10)])
def test_loss_and_gradients_are_those_of_all_logits(base, tmp_path, method, over):
    model = adapt(AutoModelForCausalLM.from_pretrained(base), recipe(base, tmp_path / "out", method))
    batch = collate(ROWS, 0)
    loss, _ = completion_loss(model, batch, "causal", over)
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    labels = nn.functional.pad(batch["labels"], (logits.shape[1] - batch["labels"].shape[1], 0), value=IGNORED)
    of_all = ForCausalLMLoss(logits, labels, logits.shape[-1], over)
    assert loss.item() == pytest.approx(of_all.item(), rel=1e-6)
    wanted = gradients(model, of_all)
    ours = gradients(model, loss)
    assert wanted and all(torch.allclose(ours[name], gradient, atol=1e-6) for name, gradient in wanted.items())


def test_the_head_is_computed_where_a_token_is_learned_and_nowhere_else(base):
    model = AutoModelForCausalLM.from_pretrained(base)
    _, outputs = completion_loss(model, collate(ROWS, 0), "causal")
    assert outputs.logits.shape[:2] == (1, 4)
    assert model(input_ids=torch.tensor([[1, 3, 4]])).logits.shape[:2] == (1, 3)  # what was put in for it is gone


def test_a_wrapper_without_a_head_gives_the_same(base):
    class Wrapper(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, **inputs):
            return self.model(**inputs)

    model, batch = AutoModelForCausalLM.from_pretrained(base), collate(ROWS, 0)
    inside, _ = completion_loss(model, batch, "causal")
    outside, _ = completion_loss(Wrapper(model), batch, "causal")
    assert inside.item() == pytest.approx(outside.item(), rel=1e-6)
