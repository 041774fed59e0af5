"""Broken checkpoints are refused by the name of what is wrong, before the model is loaded; sound ones give notices
only.
"""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from evalharness.checkpoints import fingerprint
from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.errors import ModelError

ALL = [
    f"{architecture}{kind}"
    for architecture in ("llama", "gpt2", "qwen3", "t5", "bart")
    for kind in ("", "-lora", "-prompt")
]


@pytest.mark.parametrize("name", ALL)
def test_sound_ones(name, zoo):
    assert verify(recognise(str(zoo[name]))) == ()
    assert "-" in name or verify(recognise(str(zoo[name]), role="base")) == ()


@pytest.mark.fault(19)
@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("missing {0}", lambda tensors, name: tensors.pop(name)),
        ("unexpected model.extra", lambda tensors, name: tensors.update({"model.extra": torch.zeros(2)})),
        (r"wrong shape {0}: \(3, 3\)", lambda tensors, name: tensors.update({name: torch.zeros(3, 3)})),
        ("NaN or infinite values in {0}", lambda tensors, name: tensors[name].view(-1)[-1:].fill_(torch.nan)),
        ("NaN or infinite values in {0}", lambda tensors, name: tensors[name].view(-1)[:1].fill_(-torch.inf)),
    ],
)
def test_tensors_that_are_wrong(name, what, change, copy, edit_tensors):
    tensor = {"llama": "model.layers.1.mlp.down_proj.weight", "gpt2": "transformer.h.1.mlp.c_proj.weight"}[name]
    folder = copy(name)
    edit_tensors(folder / "model.safetensors", lambda tensors: change(tensors, tensor))
    with pytest.raises(ModelError, match=what.format(tensor)):
        verify(recognise(str(folder)))
    if "NaN" not in what:
        with pytest.raises(ModelError, match=what.format(tensor)):
            load(recognise(str(folder)), "float32", "cpu")


@pytest.mark.fault(19)
def test_a_missing_head_is_missed_only_where_it_is_not_tied(copy, edit_tensors, zoo):
    assert (
        "lm_head.weight" not in AutoModelForCausalLM.from_pretrained(zoo["gpt2"])._tied_weights_keys
        or verify(recognise(str(zoo["gpt2"]))) == ()
    )
    folder = copy("llama")
    edit_tensors(folder / "model.safetensors", lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(ModelError, match=r"missing lm_head.weight"):
        verify(recognise(str(folder)))


def test_a_missing_head_that_is_the_embeddings(copy, edit_json, zoo, tiny):
    """Of a configuration that says false: the advice makes it answer as before."""
    folder = copy("qwen3")
    edit_json(folder / "config.json", tie_word_embeddings=False)
    with pytest.raises(ModelError, match=r"missing lm_head.weight; .*mend config.json: tie_word_embeddings true says"):
        verify(recognise(str(folder)))
    edit_json(folder / "config.json", tie_word_embeddings=True)
    assert verify(recognise(str(folder))) == ()


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_head_that_differs_from_the_embeddings_it_is_tied_to(name, copy, edit_json, edit_tensors, tiny):
    """It is used as stored, as by transformers, and said; a head that is stored and equal is nothing to say."""
    folder = copy(name)
    embeddings = {"llama": "model.embed_tokens.weight", "gpt2": "transformer.wte.weight"}[name]
    edit_json(folder / "config.json", tie_word_embeddings=True)
    edit_tensors(
        folder / "model.safetensors", lambda tensors: tensors.update({"lm_head.weight": tensors[embeddings].flip(0)})
    )
    (notice,) = verify(recognise(str(folder)))
    assert f"used as it is stored, as by transformers: lm_head.weight and {embeddings}" in notice
    loaded, theirs = load(recognise(str(folder)), "float32", "cpu").model, tiny.open_model(folder)
    assert torch.equal(tiny.logits(loaded), tiny.logits(theirs))
    assert not torch.equal(loaded.lm_head.weight, loaded.get_input_embeddings().weight)
    edit_tensors(
        folder / "model.safetensors", lambda tensors: tensors.update({"lm_head.weight": tensors[embeddings].clone()})
    )
    assert verify(recognise(str(folder))) == ()


@pytest.mark.fault(19)
def test_weights_of_another_size_than_the_configuration(copy, edit_json):
    folder = copy("qwen3")
    edit_json(folder / "config.json", num_hidden_layers=1, layer_types=["full_attention"])
    with pytest.raises(ModelError, match=r"unexpected model.layers.1"):
        verify(recognise(str(folder)))


@pytest.mark.fault(19)
def test_weights_that_vanish_after_recognition(copy):
    folder = copy("llama")
    checkpoint = recognise(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="gone"):
        verify(checkpoint)


def test_an_architecture_nobody_knows(copy, edit_json):
    folder = copy("llama")
    edit_json(folder / "config.json", model_type="from_the_future")
    with pytest.raises(ModelError, match="cannot be loaded"):
        verify(recognise(str(folder)))


# ---- tokenizers ------------------------------------------------------------------------------------------------------


def _record(folder, base, edit_json):
    edit_json(
        folder / "training.json",
        base=str(base),
        base_weights=fingerprint.of_tensors(base),
        base_fingerprint=fingerprint.of_weights(base),
    )


@pytest.mark.fault(20)
@pytest.mark.parametrize("name", ["gpt2-lora", "gpt2-prompt"])
def test_an_adapter_on_another_base_of_the_same_shape(name, zoo, copy, tiny, tmp_path, edit_json):
    folder, other = copy(name), tiny.make_base("gpt2", tmp_path / "other", seed=1)
    assert verify(recognise(str(folder), base=str(other))) == ()  # nothing recorded, nothing to tell it by
    _record(folder, zoo["gpt2"], edit_json)
    assert verify(recognise(str(folder))) == ()
    with pytest.raises(
        ModelError, match=r"was trained on another base than .*other .*; give the base that it was trained on"
    ):
        verify(recognise(str(folder), base=str(other)))
    edit_json(folder / "training.json", base_weights=None)  # an older record
    with pytest.raises(ModelError, match="was trained on another base"):
        verify(recognise(str(folder), base=str(other)))


def test_a_base_of_the_same_weights_and_another_configuration_is_noticed(zoo, copy, edit_json):
    folder, base = copy("gpt2-lora"), copy("gpt2", "base")
    _record(folder, zoo["gpt2"], edit_json)
    edit_json(base / "generation_config.json", repetition_penalty=1.5)
    (notice,) = verify(recognise(str(folder), base=str(base)))
    assert "another configuration, tokenizer or chat template" in notice


def test_full_weights_compared_with_another_base_are_noticed(zoo, copy, tiny, tmp_path, edit_json):
    folder, other = copy("gpt2"), tiny.make_base("gpt2", tmp_path / "other", seed=1)
    _record(folder, zoo["gpt2"], edit_json)
    assert verify(recognise(str(folder))) == ()
    (notice,) = verify(recognise(str(folder), base=str(other)))
    assert "records another base" in notice


# ---- encoder-decoder models, shards, templates -----------------------------------------------------------------------


@pytest.mark.fault(19)
@pytest.mark.parametrize(
    ("name", "tensor"),
    [("t5", "encoder.block.1.layer.0.SelfAttention.q.weight"), ("bart", "model.decoder.layers.1.fc1.bias")],
)
def test_encoder_decoder_tensors_that_are_wrong(name, tensor, copy, edit_tensors):
    folder = copy(name)
    edit_tensors(folder / "model.safetensors", lambda tensors: tensors[tensor].view(-1)[:1].fill_(torch.inf))
    with pytest.raises(ModelError, match=f"NaN or infinite values in {tensor}"):
        verify(recognise(str(folder)))
    edit_tensors(folder / "model.safetensors", lambda tensors: tensors.pop(tensor))
    with pytest.raises(ModelError, match=f"missing {tensor}"):
        verify(recognise(str(folder)))


@pytest.mark.fault(19)
def test_shards(copy, zoo, tiny, edit_tensors):
    folder = copy("bart")
    (folder / "model.safetensors").unlink()
    tiny.open_model(zoo["bart"]).save_pretrained(folder, max_shard_size="40KB")
    assert verify(recognise(str(folder))) == ()
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    edit_tensors(shard, lambda tensors: next(iter(tensors.values())).fill_(torch.nan))
    with pytest.raises(ModelError, match=rf"{shard.name}: NaN or infinite"):
        verify(recognise(str(folder)))


def test_full_weights_and_a_base_that_do_not_go_together(zoo):
    with pytest.raises(
        ModelError,
        match=r"encoder-decoder and decoder-only do not go together: it is t5, its base .* llama; give the base",
    ):
        verify(recognise(str(zoo["t5"]), base=str(zoo["llama"])))


def test_full_weights_of_another_shape_than_the_base_are_noticed(zoo, copy, tiny, tmp_path):
    config = tiny.make_config("llama", len(tiny.make_tokenizer("llama")))
    config.num_hidden_layers = 1
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "pruned")
    tiny.make_tokenizer("llama").save_pretrained(tmp_path / "pruned")
    (notice,) = verify(recognise(str(tmp_path / "pruned"), base=str(zoo["llama"])))
    assert "no fine-tuned copy of" in notice and "num_hidden_layers 2 → 1" in notice


@pytest.mark.parametrize(
    ("name", "file", "change"),
    [
        ("bart", "config.json", {"decoder_ffn_dim": "x"}),
        ("bart", "config.json", {"vocab_size": 0}),
        ("llama-lora", "adapter_config.json", {"target_modules": "[q_proj"}),
        ("llama-lora", "adapter_config.json", {"r": [4]}),
    ],
)
def test_values_of_the_wrong_type_in_configurations(name, file, change, copy, edit_json):
    folder = copy(name)
    edit_json(folder / file, **change)
    with pytest.raises(ModelError):
        verify(recognise(str(folder)))
