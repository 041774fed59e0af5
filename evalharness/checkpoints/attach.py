"""Attach an adapter to a model with peft, and check that every tensor of its file is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from peft import LoraConfig, PeftConfig, PeftModel, PromptLearningConfig, get_peft_model
from peft.tuners.poly.layer import PolyLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file
from torch import nn
from transformers import Cache, EncoderDecoderCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from evalharness.checkpoints import files
from evalharness.checkpoints.adapter_fit import (
    FIX,
    TASK_TYPES,
    adapter_config,
    adapter_tensors,
    check_shapes,
    check_width,
    shapes,
    task_count,
    unwrapped,
    with_plain_start,
    wrap,
)
from evalharness.checkpoints.kinds import PLACEBO, TYPES
from evalharness.checkpoints.libraries import UNLOADABLE, first_names, without_warnings
from evalharness.checkpoints.load import VirtualPrefix
from evalharness.checkpoints.open_model import architecture_of
from evalharness.checkpoints.resized import ORIGINAL, second_copies
from evalharness.checkpoints.shared_weights import copy_over_same_weights, unshare
from evalharness.errors import ModelError, first_line, pass_on_memory_error
from evalharness.records.models import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedAdapter:
    """A model with an adapter, and the virtual tokens before every text.

    `wrapped` is peft's wrapper around the model.
    """

    model: PreTrainedModel
    wrapped: PeftModel | None = None
    lead: VirtualPrefix = field(default_factory=VirtualPrefix)


def attach(checkpoint: Checkpoint, base: PreTrainedModel) -> AttachedAdapter:
    """Put the adapter's layers, unmerged and in eval mode, into a copy of the base over the same weights; or, for
    virtual tokens, return the base and the tokens.

    The base does not change. Adapter matrices stay float32 on a base of fewer bits as in peft (LoRA and most others).
    Raises ModelError unless the adapter's tensors in the model are exactly those of the file.
    """
    if checkpoint.adapter == PLACEBO:
        return _placebo(base)
    config, _ = adapter_config(checkpoint, architecture_of(base))
    # torch's default, about which it warns (FRoD) unless it is set
    torch.sparse.check_sparse_tensor_invariants.disable()
    wrapped = _loaded(checkpoint, config, base)
    if TYPES[checkpoint.adapter].acts == "layers":
        _fix_task(wrapped, checkpoint.adapter_task or 0)
        if getattr(base, "is_quantized", False):
            _try_forward(checkpoint, wrapped.eval())
        return AttachedAdapter(model=unwrapped(wrapped).eval(), wrapped=wrapped.eval())
    return AttachedAdapter(model=base, lead=_virtual_prefix(checkpoint, config, wrapped, base))


def _loaded(checkpoint: Checkpoint, config: PeftConfig, base: PreTrainedModel) -> PeftModel:
    """Wrap a copy of the base with peft, and load the adapter's values into it."""
    stored = load_file(checkpoint.path / files.ADAPTER)
    wrapped = wrap(checkpoint, config, _writable_copy(checkpoint, config, base))
    unshare(wrapped, set(stored))  # tensors of the base that the file replaces
    try:
        with without_warnings():  # missing tensors are named below
            wrapped.load_adapter(
                str(checkpoint.path), "default", torch_device=str(base.device), autocast_adapter_dtype=True
            )
    except UNLOADABLE as error:
        pass_on_memory_error(error)
        raise ModelError(
            checkpoint.path, f"does not fit its base {checkpoint.base} ({first_line(error)})", FIX
        ) from None
    _check_values(checkpoint, stored, wrapped)
    return wrapped


def _writable_copy(checkpoint: Checkpoint, config: PeftConfig, base: PreTrainedModel) -> PreTrainedModel:
    """Copy the base, with its own memory for the weights that peft changes: a LoRA that is initialised from the base's
    values subtracts them, and one of `target_parameters` replaces these at each call.
    """
    fresh = copy_over_same_weights(base)
    suffixes = tuple(f".{name}" for name in getattr(config, "target_parameters", None) or ())
    unshare(fresh, {name for name, _ in fresh.named_parameters() if f".{name}".endswith(suffixes)})
    if isinstance(getattr(config, "init_lora_weights", None), str):
        tried = unwrapped(wrap(checkpoint, with_plain_start(config), copy_over_same_weights(base)))
        layers = [name for name, module in tried.named_modules() if isinstance(module, BaseTunerLayer)]
        unshare(fresh, {name for name, _ in fresh.named_parameters() if name.rpartition(".")[0] in layers})
    return fresh


def _check_values(checkpoint: Checkpoint, stored: dict[str, torch.Tensor], wrapped: PeftModel) -> None:
    """Raise ModelError unless the model has the values of the file."""
    state, own = wrapped.state_dict(), adapter_tensors(wrapped)
    copies = second_copies(checkpoint.path / files.ADAPTER, state.keys() | own.keys())
    stored = {name: tensor for name, tensor in stored.items() if name not in copies}
    tensors = {name: tensor for name, tensor in state.items() if name in stored} | own
    check_shapes(checkpoint, shapes(stored), shapes(tensors))
    # the original of a module that is trained whole computes nothing, and may be tied to another
    used = {name: tensor for name, tensor in stored.items() if ORIGINAL not in name}
    lost = [
        name for name, tensor in used.items() if not torch.equal(tensor.to(tensors[name].dtype), tensors[name].cpu())
    ]
    if lost:
        raise ModelError(checkpoint.path, f"peft did not load {first_names(lost)}", FIX)


def _virtual_prefix(
    checkpoint: Checkpoint, config: PeftConfig, wrapped: PeftModel, base: PreTrainedModel
) -> VirtualPrefix:
    """Compute the adapter's virtual tokens, in the base's dtype and on its device."""
    task = torch.tensor([checkpoint.adapter_task or 0], device=base.device) if task_count(config) else None
    with torch.no_grad():
        prompt = wrapped.get_prompt(1, task_ids=task)
    if TYPES[checkpoint.adapter].acts == "cache":
        return VirtualPrefix(cache=_cache(checkpoint, prompt, base))
    check_width(checkpoint, config, base)
    assert isinstance(config, PromptLearningConfig)
    return VirtualPrefix(embeddings=prompt[0, : config.num_virtual_tokens].detach().to(base.device, base.dtype))


def _cache(
    checkpoint: Checkpoint, prompt: object, base: PreTrainedModel
) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    """Return the keys and values of a prefix in every layer, each (heads, virtual tokens, head size), in the base's
    dtype.

    `prompt` is a Cache, although peft annotates another type.
    """
    own_attention = prompt.self_attention_cache if isinstance(prompt, EncoderDecoderCache) else prompt
    if not isinstance(own_attention, Cache):
        raise ModelError(
            checkpoint.path, "its prefix is for more parts than a model has (num_transformer_submodules)", FIX
        )
    layers = [
        (layer.keys, layer.values)
        for layer in own_attention.layers
        if isinstance(layer, CacheLayerMixin) and layer.keys is not None and layer.values is not None
    ]
    count = getattr(base.config.get_text_config(decoder=True), "num_hidden_layers", len(layers))
    if len(layers) != count:
        raise ModelError(checkpoint.path, f"its prefix is for {len(layers)} layers, its base has {count}", FIX)
    return tuple((keys[0].detach().to(base.dtype), values[0].detach().to(base.dtype)) for keys, values in layers)


def _fix_task(wrapped: PeftModel, task: int) -> None:
    """Fix the task by which Poly's layers mix their skills; peft takes it from each call."""

    def with_task(
        _: nn.Module, arguments: tuple[torch.Tensor, ...], options: dict[str, object]
    ) -> tuple[tuple[torch.Tensor, ...], dict[str, object]]:
        return arguments, {**options, "task_ids": torch.full((len(arguments[0]),), task, device=arguments[0].device)}

    for module in wrapped.modules():
        if isinstance(module, PolyLayer):
            module.register_forward_pre_hook(with_task, with_kwargs=True)


def _try_forward(checkpoint: Checkpoint, wrapped: PeftModel) -> None:
    """Call the model once: few types support quantised weights, and peft raises only in the forward pass. Raises
    ModelError with its reason.
    """
    model, ids = unwrapped(wrapped), torch.zeros(1, 2, dtype=torch.long, device=wrapped.device)
    inputs = {"input_ids": ids, "decoder_input_ids": ids} if model.config.is_encoder_decoder else {"input_ids": ids}
    try:
        with torch.no_grad():
            model(**inputs)
    except UNLOADABLE as error:
        pass_on_memory_error(error)
        on = f"on a base in {checkpoint.precision} and {model.dtype}"
        raise ModelError(
            checkpoint.path,
            f"peft's {checkpoint.adapter} does not work {on} ({first_line(error)})",
            "give the base without quantisation (--precision), or --dtype float32",
        ) from None


def _placebo(base: PreTrainedModel) -> AttachedAdapter:
    """Copy the base with an untrained LoRA, which adds zero to every linear layer."""
    with without_warnings(), torch.random.fork_rng():
        config = LoraConfig(r=8, target_modules="all-linear", task_type=TASK_TYPES[architecture_of(base)])
        wrapped = get_peft_model(copy_over_same_weights(base), config)
    return AttachedAdapter(model=unwrapped(wrapped).eval(), wrapped=wrapped.eval())
