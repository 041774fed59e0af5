"""What a directory holds is read from its files; everything that cannot be evaluated is refused with what was found."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from evalharness.checkpoints.discover import base_of
from evalharness.checkpoints.recognise import recognise, recognise_candidates
from evalharness.errors import ModelError, UsageError
from evalharness.records.job import ModelSelection
from evalharness.records.models import NO_TARGET


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3", "t5", "bart"])
def test_full_weights(name, zoo, tiny):
    model = tiny.open_model(zoo[name])
    checkpoint = recognise(str(zoo[name]))
    assert (checkpoint.name, checkpoint.kind, checkpoint.path, checkpoint.base) == (name, "full", zoo[name], None)
    assert checkpoint.parameters == checkpoint.trainable == sum(p.numel() for p in model.parameters())
    assert checkpoint.bytes == (zoo[name] / "model.safetensors").stat().st_size
    assert checkpoint.window == (None if name == "t5" else tiny.WINDOW) and checkpoint.virtual_tokens == 0
    assert checkpoint.architecture == ("seq2seq" if name in tiny.SEQ2SEQ else "causal")
    assert (checkpoint.adapter, checkpoint.precision, checkpoint.adapter_task, checkpoint.training) == (
        "",
        "",
        None,
        {},
    )
    base = recognise(str(zoo[name]), role="base")
    assert (base.kind, base.trainable, base.fingerprint) == ("base", 0, checkpoint.fingerprint)


@pytest.mark.parametrize(("name", "kind", "virtual"), [("gpt2-lora", "lora", 0), ("llama-prompt", "prompt", 5)])
def test_adapters(name, kind, virtual, zoo):
    checkpoint, base = recognise(str(zoo[name])), recognise(str(zoo[name.partition("-")[0]]))
    assert (checkpoint.kind, checkpoint.base, checkpoint.virtual_tokens, checkpoint.window) == (
        kind,
        base.path,
        virtual,
        base.window,
    )
    assert checkpoint.trainable == checkpoint.parameters - base.parameters > 0
    assert checkpoint.bytes == (zoo[name] / "adapter_model.safetensors").stat().st_size < base.bytes
    assert checkpoint.trainable == (5 * 48 if kind == "prompt" else checkpoint.trainable)


def test_names(zoo, tmp_path, monkeypatch):
    path = zoo["llama"]
    assert recognise(f"mine={path}").name == "mine"
    odd = tmp_path / "lr=1e-3"
    odd.symlink_to(path)
    assert recognise(str(odd)).path == path.resolve()
    monkeypatch.chdir(path.parent)
    assert recognise("llama").path == recognise("./llama").path == path
    for text in ("", "=", "=llama", "x="):
        with pytest.raises(ModelError):
            recognise(text)


@pytest.mark.fault(19)
@pytest.mark.parametrize("name", ["llama", "t5"])
def test_sharded_weights(name, copy, zoo, tiny):
    folder = copy(name)
    (folder / "model.safetensors").unlink()
    tiny.open_model(zoo[name]).save_pretrained(folder, max_shard_size="40KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert recognise(str(folder)).parameters == recognise(str(zoo[name])).parameters
    shards[1].unlink()
    with pytest.raises(ModelError, match=f"shards missing: {shards[1].name}"):
        recognise(str(folder))


def test_base_from_training_json_before_the_adapter(copy, zoo, edit_json):
    folder = copy("llama-lora")
    assert base_of(str(folder)) == str(zoo["llama"])
    other = copy("llama", "other")
    edit_json(folder / "training.json", base="../other", target_task="topics")
    assert base_of(str(folder)) == str(other)
    checkpoint = recognise(str(folder))
    assert (checkpoint.base, checkpoint.target_task) == (other, "topics")
    models = ModelSelection(candidates=(f"a={folder}", f"b={folder}"), target="rte", targets={"b": NO_TARGET})
    assert [each.target_task for each in recognise_candidates(models, None)] == ["rte", NO_TARGET]
    with pytest.raises(UsageError, match="--target: no candidate 'c'"):
        recognise_candidates(replace(models, targets={"c": "rte"}), None)
    assert recognise(str(folder), base=str(zoo["llama"])).base == zoo["llama"]


def test_full_weights_know_their_base_by_training_json(copy, zoo, edit_json):
    folder = copy("llama", "tuned")
    assert base_of(str(folder)) is None
    edit_json(folder / "training.json", base=str(zoo["llama"]))
    assert recognise(str(folder)).base == zoo["llama"]
    edit_json(folder / "training.json", base="/gone/away/base")
    assert recognise(str(folder)).base is None
    assert recognise(str(folder), role="base").base is None


@pytest.mark.fault(20)
def test_an_adapter_without_its_base(copy, zoo, edit_json):
    folder = copy("gpt2-lora")
    edit_json(folder / "adapter_config.json", base_model_name_or_path="/gone/away/base")
    with pytest.raises(ModelError, match=r"its base '/gone/away/base' cannot be found.*--base"):
        recognise(str(folder))
    edit_json(folder / "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(ModelError, match=r"neither training.json nor adapter_config.json names its base; give --base"):
        recognise(str(folder))
    assert recognise(str(folder), base=str(zoo["gpt2"])).kind == "lora"
    with pytest.raises(ModelError, match="is an adapter itself"):
        recognise(str(folder), base=str(zoo["gpt2-prompt"]))


ODD = [
    {"peft_type": "LORAX"},
    {"peft_type": None},
    {"peft_type": ["LORA"]},
    {"task_type": "SEQ_CLS"},
    {"task_type": 3},
    {"task_type": [3]},
]


@pytest.mark.parametrize("change", ODD)
def test_adapters_that_are_of_no_use(change, copy, edit_json):
    folder = copy("llama-lora")
    edit_json(folder / "adapter_config.json", **change)
    with pytest.raises(ModelError, match=rf"{re.escape(repr(next(iter(change.values()))))}, not supported"):
        recognise(str(folder))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"auto_map": {"AutoModelForCausalLM": "evil.Model"}}, "remote code is never run"),
        ({"quantization_config": {}}, "names no quant_method"),
        ({"quantization_config": 4}, "quantization_config is 4"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "neither 4 nor 8 bits"),
        ({"quantization_config": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf5"}}, "neither 4 nor 8 bits"),
        ({"transformers_weights": "other.safetensors"}, "transformers_weights names another file"),
        ({"model_type": None}, "no model_type"),
    ],
)
def test_configurations_that_cannot_be_evaluated(change, words, copy, edit_json, zoo):
    folder = copy("gpt2")
    edit_json(folder / "config.json", **change)
    with pytest.raises(ModelError, match=words):
        recognise(str(folder))
    with pytest.raises(ModelError, match=words):
        recognise(str(zoo["gpt2-lora"]), base=str(folder))


def test_places_that_hold_no_checkpoint(tmp_path, zoo, copy):
    with pytest.raises(ModelError, match="no such directory"):
        recognise(str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="is a file") as error:
        recognise(str(zoo["llama"] / "model.safetensors"))
    assert error.value.fix == f"give its directory ({zoo['llama']})"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="an empty directory"):
        recognise(str(tmp_path / "empty"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.md").write_text("hello")
    with pytest.raises(ModelError, match=r"no config.json, found readme.md"):
        recognise(str(tmp_path / "notes"))
    folder = copy("llama")
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read as JSON"):
        recognise(str(folder))


def test_the_hub_is_away(tmp_path):
    """In seconds, and without a traceback: nothing listens at this address."""
    code = (
        "from evalharness.checkpoints.recognise import recognise\n"
        "try: recognise('x=somebody/model@main')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    for more in ({"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}):
        environment = {**os.environ, "HF_HOME": str(tmp_path), **more}
        process = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60, check=True
        )
        assert process.stdout.startswith(
            "ModelError somebody/model@main: no such directory, and the hub cannot be reached"
        ), process.stdout
        assert process.stdout.strip().endswith("give a local path, or go online")


def test_no_heavy_library_is_needed():
    heavy = "{'torch', 'transformers', 'peft', 'huggingface_hub'}"
    code = f"import sys, evalharness.checkpoints.recognise; print({heavy} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "set()"
    )


@pytest.mark.parametrize("weights", [True, False])
def test_full_weights_and_an_adapter_in_one_directory(weights, copy, zoo):
    """transformers would put the adapter on these weights, peft would look for its base elsewhere."""
    folder = copy("llama")
    for name in ("adapter_config.json", *(["adapter_model.safetensors"] if weights else [])):
        shutil.copy(zoo["llama-lora"] / name, folder)
    with pytest.raises(
        ModelError,
        match=r"full weights and an adapter .* merged weights: take adapter_config.json away; an adapter: move it",
    ):
        recognise(str(folder))
    (folder / "adapter_config.json").unlink()
    assert recognise(str(folder)).kind == "full"


def test_an_adapter_beside_the_configuration_of_its_base(copy, zoo):
    folder = copy("llama-lora")
    shutil.copy(zoo["llama"] / "config.json", folder)
    assert recognise(str(folder)).kind == "lora"


def test_an_adapter_without_its_configuration(copy):
    folder = copy("llama-lora")
    (folder / "adapter_config.json").unlink()
    with pytest.raises(ModelError, match=r"adapter_model.safetensors without adapter_config.json"):
        recognise(str(folder))


def test_how_it_was_trained(copy, zoo, edit_json):
    """As `train` writes it; what is no such fact is left out."""
    folder = copy("llama-lora")
    recipe = {
        "learning_rate": 1e-3,
        "rank": 4,
        "alpha": 8.0,
        "targets": "all-linear",
        "virtual_tokens": 20,
        "seed": 3,
        "steps": None,
    }
    recipe["replay"] = {"rte": 0.1}
    data = {"digest": "d", "examples": 30}
    edit_json(
        folder / "training.json",
        method="lora",
        recipe=recipe,
        data=data,
        steps=12,
        seconds=1.5,
        after="../old",
        base=str(zoo["llama"]),
    )
    wanted = {"learning_rate": 1e-3, "rank": 4, "alpha": 8.0, "targets": "all-linear", "steps": 12, "seed": 3}
    wanted |= {"method": "lora", "seconds": 1.5, "examples": 30, "replay": {"rte": 0.1}, "after": "../old"}
    assert recognise(str(folder)).training == wanted
    edit_json(folder / "training.json", after={"path": "../old", "name": "first", "kind": "lora", "target_task": None})
    assert recognise(str(folder)).training["after"] == "first"
    edit_json(folder / "training.json", method="full")
    assert "rank" not in recognise(str(folder)).training
    edit_json(folder / "training.json", method="prompt")
    assert recognise(str(folder)).training["virtual_tokens"] == 20
    edit_json(
        folder / "training.json", method=["odd", {}], recipe=[1], data="x", steps={"a": {}}, seconds=None, after=""
    )
    assert recognise(str(folder)).training == {}


@pytest.mark.parametrize("text", ["out/s-*", "a=out/checkpoint-?", "out/[ab]"])
def test_patterns_of_a_shell_are_no_hub_ids(text: str) -> None:
    with pytest.raises(
        ModelError, match=r"no such directory, and no pattern but a whole folder's is understood; write 'DIR/\*'"
    ):
        recognise(text)
