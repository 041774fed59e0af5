"""What a configuration or a header can cost is bounded before anything is built of it."""

from __future__ import annotations

import json
import time

import pytest

from evalharness.checkpoints import limits
from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.errors import ModelError

pytestmark = pytest.mark.fault(25)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("llama", "num_hidden_layers", 100_000),
        ("llama", "head_dim", 10**9),
        ("llama", "max_position_embeddings", 10**12),
        ("gpt2", "n_layer", 10**9),
        ("t5", "num_decoder_layers", 100_000),
        ("bart", "encoder_layers", 257),
    ],
)
def test_numbers_beyond_what_is_stored(name, key, value, copy, edit_json, zoo):
    folder = copy(name)
    edit_json(folder / "config.json", **{key: value})
    with pytest.raises(ModelError, match=rf"config.json: {key} is {value}, and at most \d+ is read \(.*\); give the"):
        recognise(str(folder))
    if name in ("llama", "gpt2"):
        with pytest.raises(ModelError, match=f"{key} is {value}"):
            recognise(str(zoo[f"{name}-lora"]), base=str(folder))


def test_numbers_in_inner_configurations(copy, edit_json):
    folder = copy("llama")
    edit_json(folder / "config.json", text_config={"num_experts": 10**6})
    with pytest.raises(ModelError, match="num_experts is 1000000"):
        recognise(str(folder))
    edit_json(folder / "config.json", text_config={"shared_expert_intermediate_size": 5632, "num_experts_per_tok": 8})
    recognise(str(folder))


def test_a_huge_configuration_and_a_huge_header(copy):
    folder = copy("llama")
    with (folder / "config.json").open("r+b") as file:
        file.truncate(80_000_000)
    with pytest.raises(ModelError, match=r"config.json: holds 80000000 bytes, and at most 32000000 are read"):
        recognise(str(folder))
    folder = copy("gpt2")
    with (folder / "model.safetensors").open("r+b") as file:
        file.write((99_000_000).to_bytes(8, "little"))
        file.truncate(99_000_100)
    with pytest.raises(ModelError, match=r"a header of 99000000 bytes, and at most 32000000 are read"):
        recognise(str(folder))


@pytest.mark.parametrize(
    "change",
    [
        {"target_modules": r"(.*.*)*x"},
        {"exclude_modules": r"([a-z_.0-9]+)+#"},
        {"rank_pattern": {r"(\w+\.?)*#": 3}},
        {"modules_to_save": [r"((.*)*)*#"]},
    ],
)
def test_a_pattern_that_matches_for_ever(change, copy, edit_json, monkeypatch):
    folder = copy("llama-lora")
    edit_json(folder / "adapter_config.json", **change)
    monkeypatch.setattr(limits, "PATIENCE", 0.2)
    start = time.monotonic()
    with pytest.raises(
        ModelError, match=r"take over 0.2 seconds to match the base's modules; list the modules by name"
    ):
        verify(recognise(str(folder)))
    assert time.monotonic() - start < 10
    with pytest.raises(ModelError, match="take over"):
        load(recognise(str(folder)), "float32", "cpu")


def test_the_advice_about_patterns(copy, edit_json, zoo):
    folder = copy("llama-lora")
    named = json.loads((folder / "adapter_config.json").read_text())["target_modules"]
    edit_json(folder / "adapter_config.json", target_modules=r".*\.[qkvo]_proj|.*mlp.*(gate|up|down)_proj")
    assert verify(recognise(str(folder))) == ()  # a pattern that is none of these
    edit_json(folder / "adapter_config.json", target_modules=named)
    assert verify(recognise(str(folder))) == ()


@pytest.mark.parametrize("kind", ["CPT", "PROMPT_TUNING", "PREFIX_TUNING"])
def test_virtual_tokens_without_end(kind, copy, edit_json):
    """CPT's are counted by the tokens that it starts from, as peft does."""
    folder = copy(f"llama-{kind}")
    edit_json(folder / "adapter_config.json", num_virtual_tokens=10**9)
    if kind == "CPT":
        assert recognise(str(folder)).virtual_tokens == 3
        edit_json(folder / "adapter_config.json", cpt_token_ids=[])
    with pytest.raises(ModelError, match="num_virtual_tokens is 1000000000"):
        recognise(str(folder))


def test_layers_replicated_without_end(copy, edit_json):
    folder = copy("llama-lora")
    edit_json(folder / "adapter_config.json", layer_replication=[[0, 2]] * 5000)
    with pytest.raises(ModelError, match="layer_replication makes 10000 layers, and at most 1024"):
        load(recognise(str(folder)), "float32", "cpu")


@pytest.mark.parametrize("kind", ["PREFIX_TUNING", "CARTRIDGE"])
def test_a_prefix_for_more_parts_than_a_model_has(kind, copy, edit_json):
    folder = copy(f"llama-{kind}")
    edit_json(folder / "adapter_config.json", num_transformer_submodules=3)
    with pytest.raises(ModelError):
        load(recognise(str(folder)), "float32", "cpu")
