"""Identity is content: names and paths change nothing, one bit does."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.tokenizer import load_tokenizer
from evalharness.errors import ModelError


def identity(path, **options):
    return recognise(str(path), **options).fingerprint


@pytest.mark.parametrize("name", ["llama", "gpt2-lora", "qwen3-prompt"])
def test_a_copy_under_another_name_is_the_same(name, zoo, copy, edit_json):
    folder = copy(name, "elsewhere")
    base = shutil.copytree(zoo[name.partition("-")[0]], folder.parent / "moved-base")
    if (folder / "adapter_config.json").exists():
        edit_json(
            folder / "adapter_config.json", base_model_name_or_path=str(base), inference_mode=False, revision="main"
        )
    else:
        edit_json(folder / "config.json", _name_or_path="somebody/model", transformers_version="4.0")
    edit_json(folder / "training.json", base=str(base), note="how it was made")
    assert identity(folder) == identity(f"other={folder}") == identity(zoo[name])


@pytest.mark.parametrize(("name", "file"), [("llama", "model.safetensors"), ("gpt2-lora", "adapter_model.safetensors")])
def test_one_bit_is_another_model_even_in_place(name, file, zoo, copy):
    folder = copy(name)
    before = identity(folder)
    path = folder / file
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    assert identity(folder) != before == identity(zoo[name])


@pytest.mark.fault(10)
def test_retrained_in_place_with_size_and_time_kept(copy):
    """Not fooled by a tool that keeps modification times."""
    folder = copy("gpt2")
    path = folder / "model.safetensors"
    stat, before = path.stat(), identity(folder)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert identity(folder) != before


@pytest.mark.parametrize(
    ("name", "file", "change"),
    [
        ("llama", "config.json", {"rms_norm_eps": 1e-5}),
        ("llama", "generation_config.json", {"repetition_penalty": 1.2}),
        ("llama", "tokenizer_config.json", {"add_prefix_space": True}),
        ("llama-lora", "adapter_config.json", {"lora_alpha": 9}),
    ],
)
def test_configurations_count(name, file, change, zoo, copy, edit_json):
    folder = copy(name)
    edit_json(folder / file, **change)
    assert identity(folder) != identity(zoo[name])


def test_tokenizer_and_chat_template_count(zoo, copy):
    folder = copy("qwen3")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    second = identity(folder)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    third = identity(folder)
    value = json.loads((folder / "tokenizer.json").read_text())
    value["normalizer"] = {"type": "Lowercase"}
    (folder / "tokenizer.json").write_text(json.dumps(value))
    assert len({identity(zoo["qwen3"]), second, third, identity(folder)}) == 4


def test_the_weights_that_are_loaded_are_the_ones_that_count(zoo, copy, tmp_path):
    """A single file beside the index of earlier shards: transformers loads the single file."""
    folder = copy("llama")
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(tmp_path / "shards", max_shard_size="40KB")
    for path in (tmp_path / "shards").glob("model*"):
        shutil.copy(path, folder)
    assert identity(folder) == identity(zoo["llama"])
    changed = load_file(folder / "model.safetensors")
    changed["lm_head.weight"] += 1
    save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
    assert identity(folder) != identity(zoo["llama"])
    assert torch.equal(AutoModelForCausalLM.from_pretrained(folder).lm_head.weight, changed["lm_head.weight"])


def test_an_adapter_is_another_model_on_another_base(zoo, tiny, tmp_path):
    other = tiny.make_base("llama", tmp_path / "other", seed=1)
    assert identity(zoo["llama-lora"], base=str(other)) != identity(zoo["llama-lora"])


def test_the_order_in_which_peft_writes_its_sets_does_not_count(copy, edit_json):
    adapter = copy("llama-lora")
    names = json.loads((adapter / "adapter_config.json").read_text())["target_modules"]
    before = recognise(str(adapter)).fingerprint
    edit_json(adapter / "adapter_config.json", target_modules=names[::-1])
    assert recognise(str(adapter)).fingerprint == before
    edit_json(adapter / "adapter_config.json", target_modules=names[1:])
    assert recognise(str(adapter)).fingerprint != before


@pytest.mark.fault(10)
def test_the_order_of_patterns_counts_of_which_peft_takes_the_first_that_fits(copy, edit_json):
    adapter = copy("llama-lora")
    patterns = {"q_proj": 4, ".*_proj": 16}
    edit_json(adapter / "adapter_config.json", alpha_pattern=patterns)
    before = identity(adapter)
    edit_json(adapter / "adapter_config.json", alpha_pattern=dict(reversed(patterns.items())))
    assert identity(adapter) != before
    edit_json(adapter / "adapter_config.json", alpha_pattern=patterns)
    assert identity(adapter) == before


@pytest.mark.fault(10)
def test_a_tokenizer_for_newer_versions_of_transformers_counts_and_one_that_lies_elsewhere_is_not_read(copy, edit_json):
    folder = copy("llama")
    named = folder / "tokenizer.4.0.0.json"
    shutil.copy(folder / "tokenizer.json", named)
    edit_json(folder / "tokenizer_config.json", fast_tokenizer_files=[named.name])
    before = identity(folder)
    edit_json(named, normalizer={"type": "Lowercase"})
    assert load_tokenizer(folder).tokenize("THE") == load_tokenizer(folder).tokenize("the")
    assert identity(folder) != before
    (folder / "elsewhere").mkdir()
    named = named.rename(folder / "elsewhere" / named.name)
    edit_json(folder / "tokenizer_config.json", fast_tokenizer_files=[f"elsewhere/{named.name}"])
    with pytest.raises(ModelError, match=f"{folder}: its tokenizer cannot be read"):
        load_tokenizer(folder)


def test_shards_outside_the_folder_and_other_configurations_are_refused(copy, edit_json):
    folder = copy("llama")
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    index = folder / "model.safetensors.index.json"
    edit_json(index, weight_map={"lm_head.weight": "../outside.safetensors"})
    with pytest.raises(ModelError, match=r"names files that do not lie beside it: \.\./outside\.safetensors"):
        recognise(str(folder))
    edit_json(folder / "config.json", configuration_files=["config.4.0.0.json"])
    with pytest.raises(ModelError, match="configuration_files names other configurations"):
        recognise(str(folder))
