"""An adapter is refused by the name of what is wrong with it or with its base; allowed oddities are notices."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.errors import ModelError

A, B = (
    "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
    "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight",
)


@pytest.mark.fault(20)
@pytest.mark.parametrize(
    ("what", "change"),
    [
        (f"missing {A}", lambda tensors: tensors.pop(A)),
        (
            "unexpected base_model.model.extra.lora_A.weight",
            lambda tensors: tensors.update({"base_model.model.extra.lora_A.weight": torch.zeros(2)}),
        ),
        (f"wrong shape {B}", lambda tensors: tensors.update({B: torch.zeros(48, 3)})),
    ],
)
def test_adapter_tensors_that_are_wrong(what, change, copy, edit_tensors):
    folder = copy("llama-lora")
    edit_tensors(folder / "adapter_model.safetensors", change)
    for step in (verify, lambda checkpoint: load(checkpoint, "float32", "cpu")):
        with pytest.raises(ModelError, match=what if step is verify else "does not fit its base"):
            step(recognise(str(folder)))


@pytest.mark.fault(20)
def test_adapter_values_that_are_not_finite(copy, edit_tensors):
    folder = copy("llama-lora")
    edit_tensors(folder / "adapter_model.safetensors", lambda tensors: tensors[A].fill_(torch.inf))
    with pytest.raises(ModelError, match=f"NaN or infinite values in {A}"):
        verify(recognise(str(folder)))


@pytest.mark.fault(20)
def test_a_rank_the_file_does_not_have(copy, edit_json):
    folder = copy("llama-lora")
    edit_json(folder / "adapter_config.json", r=8)
    with pytest.raises(ModelError, match="wrong shape"):
        verify(recognise(str(folder)))


@pytest.mark.fault(20)
@pytest.mark.parametrize(
    ("name", "base"), [("llama-lora", "gpt2"), ("gpt2-lora", "llama"), ("llama-lora", "wide"), ("llama-prompt", "wide")]
)
def test_an_adapter_for_another_base(name, base, zoo, tmp_path, tiny, edit_json):
    if base == "wide":
        config = tiny.make_config("llama", len(tiny.make_tokenizer("llama")))
        config.hidden_size, config.intermediate_size, config.head_dim = 64, 128, 16
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "wide")
        tiny.make_tokenizer("llama").save_pretrained(tmp_path / "wide")
    checkpoint = recognise(str(zoo[name]), base=str(tmp_path / "wide" if base == "wide" else zoo[base]))
    for step in (verify, lambda one: load(one, "float32", "cpu")):
        with pytest.raises(ModelError, match="--base"):
            step(checkpoint)


@pytest.mark.fault(20)
def test_a_soft_prompt_of_another_length(copy, edit_json):
    folder = copy("qwen3-prompt")
    edit_json(folder / "adapter_config.json", num_virtual_tokens=7)
    with pytest.raises(ModelError, match=r"wrong shape prompt_embeddings: \(5, 48\) where \(7, 48\) belongs"):
        verify(recognise(str(folder)))


@pytest.mark.fault(20)
def test_a_field_from_the_future_is_a_notice(copy, edit_json):
    folder = copy("llama-lora")
    edit_json(folder / "adapter_config.json", lora_from_the_future=True)
    (notice,) = verify(recognise(str(folder)))
    assert "lora_from_the_future" in notice
    assert load(recognise(str(folder)), "float32", "cpu").adapter is not None


@pytest.mark.parametrize(
    "options",
    [{"use_dora": True}, {"use_rslora": True}, {"modules_to_save": ["lm_head"]}, {"target_modules": ["q_proj"]}],
)
def test_lora_in_all_its_forms(options, zoo, tiny, tmp_path):
    path = tiny.make_adapter(zoo["llama"], tmp_path / "form", tiny.lora(**options))
    assert verify(recognise(str(path))) == ()
    loaded = load(recognise(str(path)), "float32", "cpu")
    ids = torch.tensor([[1, 40, 50]])
    with torch.inference_mode(), loaded.answering(False) as (bare, _):
        off = bare(ids).logits
    assert torch.equal(off, load(recognise(str(zoo["llama"])), "float32", "cpu").model(ids).logits)
    assert not torch.equal(off, loaded.model(ids).logits)


def test_biases_trained_with_an_adapter_are_a_notice(zoo, tiny, tmp_path):
    """peft leaves them in when the adapter is switched off."""
    path = tiny.make_adapter(zoo["gpt2"], tmp_path / "biases", tiny.lora(bias="all"))
    notices = verify(recognise(str(path)))
    assert any("trains biases of its base" in notice for notice in notices)
    loaded = load(recognise(str(path)), "float32", "cpu")
    with loaded.answering(False) as (model, lead):
        assert model is loaded.bare and lead.tokens == 0


def test_embeddings_inside_an_adapter_are_a_notice(zoo, tiny, tmp_path):
    path = tiny.make_adapter(
        zoo["llama"], tmp_path / "embeddings", tiny.lora(target_modules=["embed_tokens", "q_proj"])
    )
    (notice,) = verify(recognise(str(path)))
    assert "replaces tensors of its base" in notice and "embed_tokens" in notice
    load(recognise(str(path)), "float32", "cpu")
