"""Say how to convert weights of other formats: pickles, FSDP or DeepSpeed shards, a wrapper's tensor names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from evalharness.checkpoints import files

UNSAFE = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.onnx")
STATE = (  # what a Trainer stores beside weights to resume
    *("optimizer.pt", "optimizer.bin", "scheduler.pt", "scaler.pt", "training_args.bin", "trainer_state.json"),
    "rng_state*.pth",
)
SHOWN = 6
Advice = tuple[str, str]  # what is there, and how to make a checkpoint of it

TO_SAFETENSORS = (
    "import pathlib, torch, safetensors.torch as s; d = pathlib.Path({directory!r}); "
    "w = {{k: v.clone() for f in d.glob({pattern!r}) for k, v in torch.load(f, weights_only=True).items()}}; "
    "s.save_file(w, d / {out!r}, {{'format': 'pt'}})"
)
RENAME = (
    "import pathlib, re, safetensors.torch as s; d = pathlib.Path({directory!r}); "
    "w = {{re.sub({part!r}, '', k): v.clone() for f in d.glob({pattern!r}) for k, v in s.load_file(f).items()}}; "
    "s.save_file(w, d / {out!r}, {{'format': 'pt'}})"
)


def contents(directory: Path) -> str:
    """Name the files in a directory that is no checkpoint, for an error message; "" if it is empty."""
    names = sorted(path.name for path in directory.iterdir())
    return f", found {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}" if names else ""


def advice(directory: Path) -> Advice | None:
    """Return the format of the weights in a directory without safetensors, and the command that converts them.

    Returns None if there are no such weights.
    """
    return _pickled(directory) or _in_parts(directory) or _of_another_library(directory) or _state_alone(directory)


def _in_parts(directory: Path) -> Advice | None:
    """Recognise weights that FSDP, DeepSpeed or torch.distributed saved in one part per process."""
    deepspeed = next((path.name for path in sorted(directory.glob("global_step*")) if path.is_dir()), None)
    if deepspeed or (directory / "zero_to_fp32.py").is_file():
        what = f"weights in parts, as DeepSpeed saves them ({deepspeed or 'zero_to_fp32.py'})"
        words = ("python", "-m", "deepspeed.utils.zero_to_fp32", directory, directory, "--safe_serialization")
        return what, f"put them together: {_command(*words)}{_beside(directory)}"
    folders = [directory, *(path for path in sorted(directory.glob("*")) if path.is_dir() and "optim" not in path.name)]
    parts = next((path for path in folders if any(path.glob("*.distcp"))), None)
    if parts is None:
        return None
    what = f"weights in parts, as FSDP saves them ({parts.name})"
    merged = _command("accelerate", "merge-weights", parts, directory)
    return what, f"put them together: {merged}{_beside(directory)}"


def _pickled(directory: Path) -> Advice | None:
    """Recognise weights that `torch.save` saved."""
    for pattern, out in (("adapter_model*.bin", files.ADAPTER), ("pytorch_model*.bin", files.WEIGHTS)):
        names = sorted(path.name for path in directory.glob(pattern))
        if names:
            code = TO_SAFETENSORS.format(directory=str(directory), pattern=pattern, out=out)
            what = f"weights as pickles ({', '.join(names[:SHOWN])}), which could run code"
            return what, f"safetensors only: {_command('python', '-c', code)}{_beside(directory)}"
    return None


def _of_another_library(directory: Path) -> Advice | None:
    state = {path for pattern in STATE for path in directory.glob(pattern)}
    others = sorted(path.name for pattern in UNSAFE for path in directory.glob(pattern) if path not in state)
    if not others:
        return None
    what = f"only {', '.join(others[:3])}, which could run code or is of another library"
    return what, "safetensors only: load it where it was made, and save it with save_pretrained"


def _state_alone(directory: Path) -> Advice | None:
    """Recognise a trainer's folder without weights, and shards without their index."""
    shards = sorted(path.name for path in directory.glob("model-*-of-*.safetensors"))
    if shards:
        return f"shards ({shards[0]}, …) without {files.INDEX}", f"copy {files.INDEX} from where they were made"
    state = sorted(path.name for pattern in STATE for path in directory.glob(pattern))
    if not state:
        return None
    what = f"the state of a training ({', '.join(state[:3])}) without weights"
    return what, "its saving was interrupted, or it keeps no weights: give the checkpoint before it"


def _beside(directory: Path) -> str:
    """Return the part of the advice about files to copy."""
    if any((directory / name).is_file() for name in (files.CONFIG, files.ADAPTER_CONFIG)):
        return ""
    return f"; and copy {files.CONFIG} and the tokenizer's files of its base beside them"


def _command(*words: object) -> str:
    return " ".join(shlex.quote(str(word)) for word in words)


# ---- names of wrappers -----------------------------------------------------------------------------------------------

ANYWHERE = {  # parts of tensors' names by which a wrapper is known
    "_orig_mod.": "torch.compile",
    "_fsdp_wrapped_module.": "FSDP",
    "_checkpoint_wrapped_module.": "activation checkpointing",
}
FIRST = {"module.": "DistributedDataParallel or DeepSpeed", "base_model.model.": "a peft model"}
NAMED = re.compile(r"\.(lora_[AB]|lora_magnitude_vector|lora_embedding_[AB]|modules_to_save)\.(\w+)(\.weight|\.bias|$)")
LAYERS = (".lora_", ".modules_to_save.", ".base_layer.")  # of an adapter, in the names of a whole model
OWN = ("weight", "bias")  # what follows these words in an adapter's file as peft saves it


def wrapped_names(directory: Path, names: Iterable[str], adapter: bool) -> Advice | None:
    """Return which wrapper named the tensors of full weights or of an adapter, and the command that renames them; None
    if the names are no wrapper's.
    """
    names = list(names)
    for prefix, wrapper in ANYWHERE.items():
        if any(prefix in name for name in names):
            return _renamed(directory, adapter, f"names of {wrapper} ({prefix})", re.escape(prefix))
    for prefix, wrapper in FIRST.items():
        if all(name.startswith(prefix) for name in names) and not (adapter and prefix == "base_model.model."):
            if not adapter and any(part in name for name in names for part in LAYERS):
                return _adapter_in_weights(names)
            return _renamed(directory, adapter, f"names of {wrapper} ({prefix})", f"^{re.escape(prefix)}")
    own = {match[2] for name in names if adapter and (match := NAMED.search(name)) and match[2] not in OWN}
    if len(own) == 1:
        (name,) = own
        what = f"the adapter's name ({name}) in the names of its tensors"
        return _renamed(directory, adapter, what, rf"\.{name}(?=\.|$)")
    return None


def _adapter_in_weights(names: list[str]) -> Advice:
    if all(any(part in name for part in LAYERS[:2]) for name in names):
        fix = f"call it {files.ADAPTER}, and save {files.ADAPTER_CONFIG} beside it (model.peft_config['default']."
        return f"an adapter's tensors in {files.WEIGHTS}", f"{fix}save_pretrained(DIR))"
    what = "full weights with the layers of an adapter among them, not merged"
    return what, "merge them where they were made (model.merge_and_unload().save_pretrained(DIR))"


def _renamed(directory: Path, adapter: bool, what: str, part: str) -> Advice:
    pattern, out = (files.ADAPTER, files.ADAPTER) if adapter else ("model*.safetensors", files.WEIGHTS)
    code = RENAME.format(part=part, directory=str(directory), pattern=pattern, out=out)
    kind = "an adapter" if adapter else "weights"
    return f"{kind} saved with {what}", f"rename them: {_command('python', '-c', code)}"
