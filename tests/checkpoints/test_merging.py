"""Merged layer by layer against peft's own merge of a whole copy; and what answers is as it was before."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from tiny_models import described, logits

from evalharness.checkpoints import shared_weights
from evalharness.checkpoints.kinds import TYPES
from evalharness.checkpoints.load import load

CANNOT = {"ADAPTION_PROMPT", "BEFT", "POLY", "SHADOW"}  # BEFT: Llama's layers have no bias to merge into
LAYERS = [name for name, kind in TYPES.items() if kind.acts == "layers" and "causal" in kind.architectures]


@pytest.mark.parametrize("kind", LAYERS)
def test_merged_is_what_peft_merges(kind, zoo):
    loaded = load(described(zoo[f"llama-{kind}"], zoo["llama"], kind), "float32", "cpu")
    before, marks = logits(loaded.model), shared_weights.marks(loaded.bare)
    assert bool(loaded.unmergeable) == (kind in CANNOT)
    with loaded.merged() as model:
        if kind in CANNOT:
            assert model is None
            return
        with torch.inference_mode():
            first, second = logits(model), logits(model)
    assert loaded.adapter is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = logits(copy.deepcopy(loaded.adapter).merge_and_unload(safe_merge=True))
    assert torch.equal(first, wanted) and torch.equal(second, wanted)
    assert torch.allclose(first, before, atol=1e-4)
    assert torch.equal(logits(loaded.model), before)
    assert shared_weights.marks(loaded.bare) == marks


@pytest.mark.parametrize("base", ["t5", "gpt2"])
def test_merged_in_bfloat16_moves_and_comes_back(base, zoo):
    loaded = load(described(zoo[f"{base}-lora"], zoo[base]), "bfloat16", "cpu")
    before = logits(loaded.model)
    with loaded.merged() as model:
        merged = logits(model)
    assert 0 < (merged - before).abs().max() < 4
    assert torch.equal(logits(loaded.model), before)


def test_a_model_that_fails_while_merged_is_put_back(zoo, monkeypatch):
    loaded = load(described(zoo["llama-lora"], zoo["llama"]), "float32", "cpu")
    before = logits(loaded.model)
    layer = next(module for name, module in loaded.model.named_modules() if name.endswith("layers.1.mlp.up_proj"))
    with loaded.merged() as model, monkeypatch.context() as patched:
        patched.setattr(layer.base_layer, "forward", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            logits(model)
    assert torch.equal(logits(loaded.model), before)


@pytest.mark.parametrize(
    ("name", "why"),
    [("llama", "no adapter"), ("llama-prompt", "virtual tokens"), ("t5-PREFIX_TUNING", "virtual tokens")],
)
def test_what_has_no_layers_is_not_merged(name, why, zoo):
    base, _, kind = name.partition("-")
    kind = {"prompt": "PROMPT_TUNING"}.get(kind, kind)
    loaded = load(described(zoo[name], zoo[base] if kind else None, kind), "float32", "cpu")
    assert why in loaded.unmergeable
    with loaded.merged() as model:
        assert model is None


def test_an_adapter_on_tied_embeddings_is_not_merged(zoo, tiny, tmp_path):
    """A merge would change the head as well: the merged model would be another."""
    path = tiny.make_adapter(zoo["qwen3"], tmp_path / "tied", tiny.lora(target_modules=["embed_tokens", "q_proj"]))
    assert "tied embeddings" in load(described(path, zoo["qwen3"]), "float32", "cpu").unmergeable


@pytest.mark.parametrize("base", ["llama", "t5"])
def test_a_placebo_changes_nothing(base, zoo):
    chance = torch.random.get_rng_state()
    loaded = load(described(zoo[base], zoo[base], "PLACEBO"), "float32", "cpu")
    assert torch.equal(torch.random.get_rng_state(), chance)
    assert loaded.adapter is not None and loaded.model is not loaded.bare
    assert (
        sum("lora_B" in name for name, _ in loaded.model.named_parameters()) >= 14
    )  # in every linear layer but the head
    assert torch.equal(logits(loaded.model), logits(loaded.bare))
    with loaded.merged() as model:
        assert torch.equal(logits(model), logits(loaded.bare))
