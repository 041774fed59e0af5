"""What a directory holds is read from its files; everything that cannot be evaluated is refused with what was found."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from random import Random

import pytest

from evalharness.checkpoints.describe import describe
from evalharness.checkpoints.discover import base_of, checkpoints_in
from evalharness.checkpoints.recognise import recognise
from evalharness.errors import ModelError


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3", "t5", "bart"])
def test_full_weights(name, zoo, tiny):
    model = tiny.open_model(zoo[name])
    found = recognise(str(zoo[name]))
    assert (found.name, found.kind, found.path, found.base) == (name, "full", zoo[name], None)
    assert found.parameters == found.trainable == sum(p.numel() for p in model.parameters())
    assert found.bytes == (zoo[name] / "model.safetensors").stat().st_size
    assert found.window == (None if name == "t5" else tiny.WINDOW) and found.virtual_tokens == 0
    assert found.architecture == ("seq2seq" if name in tiny.SEQ2SEQ else "causal")
    assert (found.adapter, found.precision, found.adapter_task, found.training) == ("", "", None, {})
    base = recognise(str(zoo[name]), role="base")
    assert (base.kind, base.trainable, base.fingerprint) == ("base", 0, found.fingerprint)


@pytest.mark.parametrize(("name", "kind", "virtual"), [("gpt2-lora", "lora", 0), ("llama-prompt", "prompt", 5)])
def test_adapters(name, kind, virtual, zoo):
    found, base = recognise(str(zoo[name])), recognise(str(zoo[name.partition("-")[0]]))
    assert (found.kind, found.base, found.virtual_tokens, found.window) == (kind, base.path, virtual, base.window)
    assert found.trainable == found.parameters - base.parameters > 0
    assert found.bytes == (zoo[name] / "adapter_model.safetensors").stat().st_size < base.bytes
    assert found.trainable == (5 * 48 if kind == "prompt" else found.trainable)


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
    found = recognise(str(folder))
    assert (found.base, found.target_task) == (other, "topics")
    assert recognise(str(folder), target="rte").target_task == "rte"
    assert recognise(str(folder), base=str(zoo["llama"])).base == zoo["llama"]


def test_full_weights_know_their_base_by_training_json(copy, zoo, edit_json):
    folder = copy("llama", "tuned")
    assert base_of(str(folder)) is None
    edit_json(folder / "training.json", base=str(zoo["llama"]))
    assert recognise(str(folder)).base == zoo["llama"]
    edit_json(folder / "training.json", base="/gone/away/base")
    assert recognise(str(folder)).base is None
    assert recognise(str(folder), role="base").base is None


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
    with pytest.raises(ModelError, match="is a file"):
        recognise(str(zoo["llama"] / "config.json"))
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


@pytest.mark.parametrize(
    ("name", "file"), [("llama", "model.safetensors"), ("llama-lora", "adapter_model.safetensors")]
)
def test_pickles_are_neither_run_nor_read(name, file, copy, tmp_path):
    """safetensors only: a .bin that would run code on loading stays what it is, a file."""

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    folder = copy(name)
    (folder / file).rename(folder / "kept.txt")
    (folder / file.replace("safetensors", "bin").replace("model.bin", "pytorch_model.bin")).write_bytes(
        pickle.dumps(Evil())
    )
    with pytest.raises(ModelError, match="safetensors only"):
        recognise(str(folder))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kept", [0, 4, 9, 600, -1])
def test_files_that_were_cut_short(kept, copy):
    folder = copy("gpt2")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"model.safetensors: (not a readable safetensors file|cut short)"):
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
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60, check=True
        )
        assert done.stdout.startswith(
            "ModelError somebody/model@main: no such directory, and the hub cannot be reached"
        ), done.stdout
        assert done.stdout.strip().endswith("give a local path, or go online")


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


def test_training_json_that_is_broken(copy):
    folder = copy("llama-lora")
    for text in ("{", "[1]", '{"a": ' + "[" * 100_000):
        (folder / "training.json").write_text(text)
        with pytest.raises(ModelError, match=r"training\.json"):
            recognise(str(folder))


@pytest.mark.parametrize(
    "place", ["a\0b", "x" * 5000, "/" + "y/" * 3000, "~nobody-of-that-name/x", "n=\0", "*", "#1", "a#1", "=x"]
)
def test_places_that_no_path_can_be(place):
    with pytest.raises(ModelError):
        recognise(place)
    with pytest.raises(ModelError):
        base_of(place)


# ---- broken in every way ---------------------------------------------------------------------------------------------

BREAKS = ("delete", "empty", "cut", "flip", "null", "list", "deep", "directory")


def break_file(path, how, random):
    data = path.read_bytes()
    if how in ("delete", "directory"):
        path.unlink()
        if how == "directory":
            path.mkdir()
        return
    at = random.randrange(len(data) + 1)
    flipped = data[:at] + bytes(random.randrange(256) for _ in range(9)) + data[at + 9 :]
    written = {
        "empty": b"",
        "cut": data[:at],
        "flip": flipped,
        "null": b"null",
        "list": b'[{"a": 1}]',
        "deep": b'{"a":' * 50_000,
    }
    path.write_bytes(written[how])


def change_json(path, random):
    """One key set to a value of another type."""
    try:
        value = json.loads(path.read_text())
        key = random.choice([*value, "quantization_config", "is_encoder_decoder", "base", "peft_type"])
        path.write_text(
            json.dumps(
                {
                    **value,
                    key: random.choice([None, 0, -1, "", "x", [], {}, [[]], {"a": []}, 1e308, True, "../..", "\0"]),
                }
            )
        )
    except (ValueError, TypeError, OSError):
        return


@pytest.mark.parametrize("name", ["llama", "llama-lora", "t5-P_TUNING", "out"])
def test_whatever_is_broken_ends_in_a_checkpoint_or_a_model_error(name, zoo, tmp_path):
    random = Random(name)
    for turn in range(60):
        folder = tmp_path / str(turn)
        if name == "out":
            shutil.copytree(zoo["llama-lora"], folder / "checkpoint-1")
            shutil.copytree(zoo["gpt2"], folder / "checkpoint-2")
        else:
            shutil.copytree(zoo[name], folder)
        (folder / "training.json").write_text(
            json.dumps({"base": str(zoo["llama"]), "method": "lora", "recipe": {"rank": 3}})
        )
        for _ in range(random.randrange(1, 4)):
            path = random.choice([path for path in sorted(folder.rglob("*")) if path.is_file()])
            if path.suffix == ".json" and random.random() < 0.5:
                change_json(path, random)
            else:
                break_file(path, random.choice(BREAKS), random)
        for place in (folder, *checkpoints_in(folder)):
            try:
                found = recognise(str(place))
                assert found.parameters > 0 and len(found.fingerprint) == 64
                assert describe(found)["dtypes"]
            except ModelError as error:
                assert error.what and "\n" not in str(error)
        shutil.rmtree(folder)


@pytest.mark.parametrize("text", ["out/s-*", "a=out/checkpoint-?", "out/[ab]"])
def test_patterns_of_a_shell_are_no_hub_ids(text: str) -> None:
    with pytest.raises(
        ModelError, match=r"no such directory, and no pattern but a whole folder's is understood; write 'DIR/\*'"
    ):
        recognise(text)
