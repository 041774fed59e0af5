"""Checkpoints as trainers leave them: their own folders answer, and other forms are refused with a command that makes a
checkpoint of them, which is run here.
"""

from __future__ import annotations

import json
import os
import pickle
import shlex
import shutil
import sys

import pytest
import torch
import torch.distributed.checkpoint as dcp
from accelerate.commands.accelerate_cli import main as accelerate
from safetensors.torch import load_file, save_file
from tiny_models import by_peft, logits

from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.errors import ModelError

UNSLOTH = {  # what unsloth's adapter_config.json has beside peft's own keys
    "auto_mapping": {
        "base_model_class": "LlamaForCausalLM",
        "parent_library": "transformers.models.llama.modeling_llama",
        "unsloth_fixed": True,
    },
    "target_modules": r"(?:.*?(?:language|text).*?(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense).*?"
    r"(?:k_proj|v_proj|q_proj).*?)|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|attention|attn|mlp)\."
    r"(?:(?:k_proj|v_proj|q_proj|o_proj|gate_proj|up_proj|down_proj)))",
}
BESIDE = {  # what each trainer leaves beside the weights
    "trainer": ["optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "trainer_state.json"],
    "trl": [
        "README.md",
        "optimizer.pt",
        "training_args.bin",
        "runs/Nov29_host/events.out.tfevents.1",
        "trainer_state.json",
    ],
    "axolotl": ["README.md", "config.yaml", "debug.log", "optimizer.bin", "tokens_state.json", "rng_state_0.pth"],
    "deepspeed": ["zero_to_fp32.py", "latest", "global_step500/mp_rank_00_model_states.pt", "rng_state_0.pth"],
    "llama-factory": ["trainer_log.jsonl", "training_loss.png", "all_results.json", "train_results.json", "README.md"],
    "unsloth": ["README.md", "optimizer.pt", "scheduler.pt", "trainer_state.json"],
}


def leave(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"{}" if name.endswith(".json") else b"\x80not to be read")


def answers(folder):
    return logits(load(recognise(str(folder)), "float32", "cpu").model)


def follow(error):
    """Run the commands of an error's advice, in this process, which has the libraries already."""
    command = shlex.split(error.value.fix.partition(": ")[2].partition("; and copy")[0])
    if command[:2] == ["python", "-c"]:
        exec(command[2], {})
    else:
        assert command[0] == "accelerate"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", command)
            accelerate()


@pytest.mark.parametrize(
    ("trainer", "name"), [(one, "llama" if one in ("trainer", "deepspeed") else "llama-lora") for one in BESIDE]
)
def test_a_trainer_s_checkpoint_answers_as_by_its_own_library(trainer, name, copy, zoo, tiny, edit_json):
    folder = copy(name, "out/checkpoint-500")
    leave(folder, BESIDE[trainer])
    if trainer == "unsloth":
        edit_json(folder / "adapter_config.json", **UNSLOTH)
    checkpoint = recognise(str(folder))
    assert verify(checkpoint) == () and checkpoint.name == "checkpoint-500"
    wanted = logits(tiny.open_model(folder)) if name == "llama" else by_peft(zoo["llama"], folder)
    assert torch.equal(logits(load(checkpoint, "float32", "cpu").model), wanted)
    with pytest.raises(ModelError, match=r"one inside: checkpoint-500; name the newest \(.*checkpoint-500\)"):
        recognise(str(folder.parent))


# ---- pickles ---------------------------------------------------------------------------------------------------------


def as_pickle(folder, names):
    """The folder's weights, saved by torch in as many files as there are names."""
    stored = next(folder.glob("*.safetensors"))
    tensors = list(load_file(stored).items())
    stored.unlink()
    for at, name in enumerate(names):
        torch.save(dict(tensors[at :: len(names)]), folder / name)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("llama", ["pytorch_model.bin"]),
        ("gpt2", ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]),
        ("llama-lora", ["adapter_model.bin"]),
    ],
)
def test_pickles_are_refused_with_a_command_that_converts_them(name, files, copy, zoo):
    folder = copy(name, "it's [one]")
    as_pickle(folder, files)
    leave(folder, BESIDE["trainer"])
    with pytest.raises(ModelError, match=rf"weights as pickles \({', '.join(files)}\), which could run code") as error:
        recognise(str(folder))
    follow(error)
    assert verify(recognise(str(folder))) == ()
    assert torch.equal(answers(folder), answers(zoo[name]))


@pytest.mark.fault(21)
@pytest.mark.parametrize(("name", "file"), [("llama", "pytorch_model.bin"), ("llama-lora", "adapter_model.bin")])
def test_the_command_runs_no_code_of_a_pickle(name, file, copy, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    folder = copy(name)
    next(folder.glob("*.safetensors")).unlink()
    (folder / file).write_bytes(pickle.dumps({"weight": Evil()}, 2))
    with pytest.raises(ModelError) as error:
        recognise(str(folder))
    with pytest.raises(pickle.UnpicklingError):
        follow(error)
    assert not (tmp_path / "executed").exists()


# ---- in parts --------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_parts_of_fsdp(copy, zoo):
    folder = copy("llama", "checkpoint-500")
    (folder / "model.safetensors").unlink()
    for name in ("config.json", "generation_config.json"):
        (folder / name).unlink()
    state = {"model": load_file(zoo["llama"] / "model.safetensors")}
    dcp.save(state, checkpoint_id=folder / "pytorch_model_fsdp_0", no_dist=True)
    shutil.copytree(folder / "pytorch_model_fsdp_0", folder / "optimizer_0")
    leave(folder, BESIDE["trainer"])
    with pytest.raises(ModelError, match=r"weights in parts, as FSDP saves them \(pytorch_model_fsdp_0\)") as error:
        recognise(str(folder))
    assert "copy config.json and the tokenizer's files" in error.value.fix
    follow(error)
    with pytest.raises(ModelError, match=r"weights without config.json; copy config.json"):
        recognise(str(folder))
    for name in ("config.json", "generation_config.json"):
        shutil.copy(zoo["llama"] / name, folder)
    assert verify(recognise(str(folder))) == ()
    assert torch.equal(
        *(logits(load(recognise(str(place)), "float32", "cpu").model) for place in (folder, zoo["llama"]))
    )


def test_parts_of_deepspeed(copy):
    folder = copy("llama", "check point")
    (folder / "model.safetensors").unlink()
    leave(folder, [*BESIDE["trainer"], *BESIDE["deepspeed"]])
    with pytest.raises(ModelError, match=r"as DeepSpeed saves them \(global_step500\)") as error:
        recognise(str(folder))
    command = f"python -m deepspeed.utils.zero_to_fp32 '{folder}' '{folder}' --safe_serialization"
    assert error.value.fix == f"put them together: {command}"


def test_a_training_s_state_alone(copy):
    folder = copy("llama", "checkpoint-7")
    (folder / "model.safetensors").unlink()
    leave(folder, BESIDE["trainer"])
    with pytest.raises(ModelError, match=r"the state of a training .* without weights; its saving was interrupted"):
        recognise(str(folder))
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"shards .* without model.safetensors.index.json; copy"):
        recognise(str(folder))


# ---- names of wrappers -----------------------------------------------------------------------------------------------

WRAPPED = {
    "compiled": ("llama", lambda name: f"_orig_mod.{name}", "torch.compile"),
    "compiled inside": ("llama", lambda name: name.replace(".mlp.", ".mlp._orig_mod."), "torch.compile"),
    "parallel": ("gpt2", lambda name: f"module.{name}", "DistributedDataParallel"),
    "fsdp": ("llama", lambda name: name.replace("layers.0.", "layers.0._fsdp_wrapped_module."), "FSDP"),
    "checkpointed": ("llama", lambda name: name.replace(".mlp.", "._checkpoint_wrapped_module.mlp."), "activation"),
    "peft": ("llama", lambda name: f"base_model.model.{name}", "a peft model"),
    "named": ("llama-lora", lambda name: name.replace(".weight", ".sft.weight"), r"the adapter's name \(sft\)"),
    "default": ("llama-lora", lambda name: name.replace(".weight", ".default.weight"), r"name \(default\)"),
    "compiled adapter": ("llama-lora", lambda name: f"_orig_mod.{name}", "torch.compile"),
    "parallel adapter": ("llama-lora", lambda name: f"module.{name}", "DistributedDataParallel"),
}


@pytest.mark.parametrize("how", WRAPPED)
def test_names_of_wrappers_are_refused_with_a_command_that_renames(how, copy, zoo):
    name, wrapped, words = WRAPPED[how]
    folder = copy(name, "wrapped")
    path = next(folder.glob("*.safetensors"))
    tensors = {wrapped(key): tensor.clone() for key, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"saved with .*{words}.*rename them: python -c") as error:
        recognise(str(folder))
    follow(error)
    assert (
        recognise(f"{name}={folder}").fingerprint == recognise(str(zoo[name])).fingerprint
        or verify(recognise(str(folder))) == ()
    )
    assert torch.equal(answers(folder), answers(zoo[name]))


def test_shards_under_names_of_a_wrapper_become_one_file(copy, zoo, tiny):
    folder = copy("llama", "shards")
    (folder / "model.safetensors").unlink()
    tiny.open_model(zoo["llama"]).save_pretrained(folder, max_shard_size="40KB")
    for path in folder.glob("model-*.safetensors"):
        tensors = {f"module.{key}": tensor.clone() for key, tensor in load_file(path).items()}
        save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="rename them") as error:
        recognise(str(folder))
    follow(error)
    assert verify(recognise(str(folder))) == ()


def test_layers_of_an_adapter_in_full_weights(copy, zoo):
    folder = copy("llama", "unmerged")
    lora = load_file(zoo["llama-lora"] / "adapter_model.safetensors")
    full = {f"base_model.model.{key}": tensor for key, tensor in load_file(folder / "model.safetensors").items()}
    save_file({**full, **lora}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"layers of an adapter among them, not merged; merge them"):
        recognise(str(folder))
    save_file(lora, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"an adapter's tensors in model.safetensors; call it adapter_model.safetens"):
        recognise(str(folder))
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    shutil.copy(zoo["llama-lora"] / "adapter_config.json", folder)
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 4
    assert verify(recognise(str(folder))) == ()
