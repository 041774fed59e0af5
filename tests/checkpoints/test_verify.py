"""Broken checkpoints are refused by the name of what is wrong, before the model is loaded; sound ones give notices
only.
"""

from __future__ import annotations

import json

import pytest
import torch
from tokenizers import Tokenizer
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


def test_a_missing_head_is_missed_only_where_it_is_not_tied(copy, edit_tensors, zoo):
    assert (
        "lm_head.weight" not in AutoModelForCausalLM.from_pretrained(zoo["gpt2"])._tied_weights_keys
        or verify(recognise(str(zoo["gpt2"]))) == ()
    )
    folder = copy("llama")
    edit_tensors(folder / "model.safetensors", lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(ModelError, match=r"missing lm_head.weight"):
        verify(recognise(str(folder)))


def test_weights_of_another_size_than_the_configuration(copy, edit_json):
    folder = copy("qwen3")
    edit_json(folder / "config.json", num_hidden_layers=1, layer_types=["full_attention"])
    with pytest.raises(ModelError, match=r"unexpected model.layers.1"):
        verify(recognise(str(folder)))


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


# ---- adapters --------------------------------------------------------------------------------------------------------

A, B = (
    "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
    "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight",
)


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


def test_adapter_values_that_are_not_finite(copy, edit_tensors):
    folder = copy("llama-lora")
    edit_tensors(folder / "adapter_model.safetensors", lambda tensors: tensors[A].fill_(torch.inf))
    with pytest.raises(ModelError, match=f"NaN or infinite values in {A}"):
        verify(recognise(str(folder)))


def test_a_rank_the_file_does_not_have(copy, edit_json):
    folder = copy("llama-lora")
    edit_json(folder / "adapter_config.json", r=8)
    with pytest.raises(ModelError, match="wrong shape"):
        verify(recognise(str(folder)))


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


def test_a_soft_prompt_of_another_length(copy, edit_json):
    folder = copy("qwen3-prompt")
    edit_json(folder / "adapter_config.json", num_virtual_tokens=7)
    with pytest.raises(ModelError, match=r"wrong shape prompt_embeddings: \(5, 48\) where \(7, 48\) belongs"):
        verify(recognise(str(folder)))


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


# ---- tokenizers ------------------------------------------------------------------------------------------------------


def test_no_tokenizer(copy):
    folder = copy("llama")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ModelError, match="no tokenizer"):
        verify(recognise(str(folder)))


def test_a_tokenizer_that_cannot_be_read(copy):
    folder = copy("llama")
    (folder / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(ModelError, match="tokenizer cannot be read"):
        verify(recognise(str(folder)))


def test_a_tokenizer_with_code(copy, edit_json):
    folder = copy("llama")
    edit_json(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    with pytest.raises(ModelError, match="remote code is never run"):
        verify(recognise(str(folder)))


def test_tokens_outside_the_embeddings(copy, tiny):
    folder = copy("llama")
    tokenizer = tiny.make_tokenizer("llama")
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match=r"outside the embedding matrix of \d+ rows: '<pad>' \(\d+\)"):
        verify(recognise(str(folder)))


def test_an_added_pad_token_is_a_notice(copy, tiny, zoo):
    folder = copy("llama", "tuned")
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = tiny.make_tokenizer("llama")
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (notice,) = verify(recognise(str(folder), base=str(zoo["llama"])))
    assert notice.startswith("tuned: tokens added to its base's tokenizer: '<pad>' (")


@pytest.mark.parametrize("name", ["llama", "llama-lora"])
def test_token_ids_that_moved_are_refused(name, copy, zoo):
    folder = copy(name, "tuned")
    value = json.loads((zoo["llama"] / "tokenizer.json").read_text())
    vocabulary = value["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (folder / "tokenizer.json").write_text(json.dumps(value))
    (folder / "tokenizer_config.json").write_text((zoo["llama"] / "tokenizer_config.json").read_text())
    with pytest.raises(ModelError, match=r"token ids moved against its base .*'a' from \d+ to \d+, 'b' from"):
        verify(recognise(str(folder), base=str(zoo["llama"])))


def test_a_tokenizer_that_splits_otherwise_is_a_notice(copy, zoo):
    folder = copy("llama", "tuned")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    value = json.loads(tokenizer.to_str())
    value["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(value))
    (notice,) = verify(recognise(str(folder), base=str(zoo["llama"])))
    assert "splits text otherwise" in notice


def _record(folder, base, edit_json):
    edit_json(
        folder / "training.json",
        base=str(base),
        base_weights=fingerprint.of_tensors(base),
        base_fingerprint=fingerprint.of_weights(base),
    )


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
    ("own", "base", "words"),
    [("b", "", "has none"), ("", "a", "has no chat template"), ("b", "a", "another than its base")],
)
def test_a_chat_template_of_its_own_is_a_notice(own, base, words, zoo, copy):
    folder, under = copy("qwen3", "tuned"), copy("qwen3", "under")
    for place, text in ((folder, own), (under, base)):
        if text:
            (place / "chat_template.jinja").write_text(text)
    (notice,) = verify(recognise(str(folder), base=str(under)))
    assert "chat template" in notice and words in notice


def test_another_end_token_is_a_notice(zoo, copy, edit_json):
    folder = copy("llama", "tuned")
    edit_json(folder / "tokenizer_config.json", eos_token="<unk>")
    (notice,) = verify(recognise(str(folder), base=str(zoo["llama"])))
    assert notice == "tuned: its eos_token is '<unk>', its base's '</s>'"


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


def test_a_tokenizer_that_cannot_split(copy, zoo, edit_json):
    folder = copy("llama")
    edit_json(folder / "tokenizer_config.json", model_max_length={})
    with pytest.raises(ModelError, match=r"its tokenizer cannot (split a text|be read)"):
        verify(recognise(str(folder), base=str(zoo["llama"])))


def test_token_ids_of_an_encoder_decoder_that_moved(copy, zoo):
    folder = copy("t5", "tuned")
    value = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = value["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (folder / "tokenizer.json").write_text(json.dumps(value))
    with pytest.raises(ModelError, match=r"token ids moved against its base .*'a' from"):
        verify(recognise(str(folder), base=str(zoo["t5"])))
