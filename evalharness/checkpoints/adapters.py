"""An adapter's files onto a model, through peft, with every tensor accounted for."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from peft.auto import MODEL_TYPE_TO_PEFT_MODEL_MAPPING
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors.torch import load_file
from transformers import PreTrainedModel

from evalharness.checkpoints import files
from evalharness.checkpoints.kinds import TYPES
from evalharness.checkpoints.twin import own, twin
from evalharness.checkpoints.weights import UNLOADABLE, first_line, names, quiet
from evalharness.errors import ModelError
from evalharness.records import Checkpoint

FIX = "the adapter is for another base or was saved incompletely: give --base, or save it again"


@dataclass(frozen=True, slots=True)
class Layout:
    """What fits but is worth knowing: base tensors that the adapter's file replaces (resized or trained embeddings), and other notices."""

    replaced: tuple[str, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Put:
    """What answers with the adapter: the model (peft's wrapper is around it), and what stands before every text, see `weights.Lead`."""

    model: PreTrainedModel
    wrapped: PeftModel | None = None
    embeddings: torch.Tensor | None = None
    cache: tuple[tuple[torch.Tensor, torch.Tensor], ...] | None = None


def _config(checkpoint: Checkpoint) -> tuple[PeftConfig, tuple[str, ...]]:
    """peft's configuration, and notices about fields that this peft does not know."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            config = PEFT_TYPE_TO_CONFIG_MAPPING[checkpoint.adapter].from_pretrained(str(checkpoint.path))
        except UNLOADABLE as error:
            raise ModelError(checkpoint.path / files.ADAPTER_CONFIG, f"peft cannot read it ({first_line(error)})", "save the adapter again") from None
    return config, tuple(first_line(RuntimeError(str(warning.message))) for warning in caught if "Unexpected keyword" in str(warning.message))


def layout(checkpoint: Checkpoint, empty: PreTrainedModel) -> Layout:
    """What the base, given without data (meta device), expects of this adapter. Raises ModelError where the file does not hold exactly that."""
    config, notices = _config(checkpoint)
    config.init_lora_weights = False  # nothing to compute without data
    found = {name: facts.shape for name, facts in files.tensors(checkpoint.path / files.ADAPTER).items()}
    try:
        with quiet():
            wrapped = _wrapper(config)(empty, config, autocast_adapter_dtype=False, low_cpu_mem_usage=True)
            state = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    except UNLOADABLE as error:
        raise ModelError(checkpoint.path, f"does not fit its base {checkpoint.base} ({first_line(error)})", FIX) from None
    expected = {name: tuple(tensor.shape) for name, tensor in state.items()}
    under = {name: tuple(tensor.shape) for name, tensor in wrapped.state_dict().items()}
    replaced = tuple(sorted(name for name in found if name not in expected and name in under))
    _compare(checkpoint, found, {**expected, **{name: under[name] for name in replaced}})
    if config.bias != "none":
        notices += (f"{checkpoint.name}: the adapter also trains biases of its base, which stay when it is switched off",)
    return Layout(replaced, notices)


def _compare(checkpoint: Checkpoint, found: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]) -> None:
    wrong = [f"missing {names(wanted.keys() - found.keys())}"] if wanted.keys() - found.keys() else []
    wrong += [f"unexpected {names(found.keys() - wanted.keys())}"] if found.keys() - wanted.keys() else []
    differ = sorted(name for name in found.keys() & wanted.keys() if found[name] != wanted[name])
    wrong += [f"wrong shape {name}: {found[name]} where {wanted[name]} belongs" for name in differ[:5]]
    if wrong:
        raise ModelError(checkpoint.path, f"the adapter does not fit its base {checkpoint.base}: {'; '.join(wrong)}", FIX)


def _wrapper(config: PeftConfig) -> type[PeftModel]:
    return MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, PeftModel)


def attach(checkpoint: Checkpoint, base: PreTrainedModel) -> Put:
    """A twin of the base with the adapter's layers in it, unmerged, in eval mode, or the base with what stands before every text.

    The base stays as it is. LoRA matrices stay float32 on a base of fewer bits (peft's default).
    Raises ModelError unless each tensor of the file is in the model afterwards, and no tensor of the adapter comes from elsewhere.
    """
    config, _ = _config(checkpoint)
    stored = load_file(checkpoint.path / files.ADAPTER)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*Unexpected keyword arguments.*")
            warnings.filterwarnings("ignore", message=".*missing adapter keys.*")  # they are named below
            config.inference_mode = True
            wrapped = _wrapper(config)(twin(base), config, autocast_adapter_dtype=True)
            own(wrapped, set(stored))  # what the file replaces
            wrapped.load_adapter(str(checkpoint.path), "default", torch_device=str(base.device), autocast_adapter_dtype=True)
            held: dict[str, Any] = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    except UNLOADABLE as error:
        raise ModelError(checkpoint.path, f"does not fit its base {checkpoint.base} ({first_line(error)})", FIX) from None
    held = {**{name: tensor for name, tensor in wrapped.state_dict().items() if name in stored}, **held}
    _compare(checkpoint, {n: tuple(t.shape) for n, t in stored.items()}, {n: tuple(t.shape) for n, t in held.items()})
    lost = [name for name, tensor in stored.items() if not torch.equal(tensor.to(held[name].dtype), held[name].cpu())]
    if lost:
        raise ModelError(checkpoint.path, f"peft did not load {names(lost)}", FIX)
    if TYPES[checkpoint.adapter].acts == "embeddings":
        embeddings = wrapped.get_prompt(1)[0, : config.num_virtual_tokens].detach().to(base.device, base.dtype)
        hidden = base.get_input_embeddings().weight.shape[1]
        if embeddings.shape[1] != hidden:
            raise ModelError(checkpoint.path, f"its virtual tokens have {embeddings.shape[1]} values, its base's embeddings {hidden}", FIX)
        return Put(base, embeddings=embeddings)
    return Put(wrapped.get_base_model().eval(), wrapped.eval())
