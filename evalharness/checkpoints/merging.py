"""Compute with merged adapter layers: each layer's weight is merged when the layer is called, and restored after."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel

from evalharness.checkpoints.adapter_fit import unwrapped
from evalharness.checkpoints.libraries import UNLOADABLE
from evalharness.checkpoints.shared_weights import shared_parameters
from evalharness.errors import first_line

if TYPE_CHECKING:

    class TunerModule(nn.Module, BaseTunerLayer):
        """A module of peft's: BaseTunerLayer is a mixin."""


Snapshot = list[tuple[dict[str, Any], dict[str, Any]]]  # dictionaries and their old content


def unmergeable(wrapped: PeftModel) -> str:
    """Return why peft cannot merge this adapter into its base's weights; "" if it can.

    Each kind of layer is tried once in each shape.
    """
    layers, tuner = _layers(wrapped), wrapped.base_model
    if not layers:
        return "the adapter has no layer that could be merged"
    shared = shared_parameters(unwrapped(wrapped))
    if any(id(parameter) in shared for layer in layers for parameter in layer.get_base_layer().parameters()):
        return "the adapter sits on weights that two modules share (tied embeddings)"
    assert isinstance(tuner, BaseTuner)
    try:
        tuner._check_merge_allowed()
        for layer in {_kind(layer): layer for layer in layers}.values():
            snapshot = _merge(layer)
            try:
                _compute(layer.get_base_layer())
            finally:
                _restore(layer, snapshot)
    except UNLOADABLE as error:
        return f"peft cannot merge it ({first_line(error)})"
    return ""


@contextlib.contextmanager
def merged(wrapped: PeftModel) -> Iterator[PreTrainedModel]:
    """Return the model with every adapter layer merged into its weight as it computes.

    It computes what `merge_and_unload` gives, but without a second copy of the base: one layer's weight at a time is
    in memory twice. The base is bitwise the same afterwards.
    """
    snapshots: dict[int, Snapshot] = {}

    def before(layer: nn.Module, _: object) -> None:
        snapshots[id(layer)] = _merge(cast("TunerModule", layer))

    def after(layer: nn.Module, *_: object) -> None:
        if id(layer) in snapshots:
            _restore(cast("TunerModule", layer), snapshots.pop(id(layer)))

    layers = _layers(wrapped)
    hooks = [layer.register_forward_pre_hook(before) for layer in layers]
    hooks += [layer.register_forward_hook(after, always_call=True) for layer in layers]
    try:
        yield unwrapped(wrapped)
    finally:
        for hook in hooks:
            hook.remove()


def _layers(wrapped: PeftModel) -> list[TunerModule]:
    return [cast("TunerModule", each) for each in wrapped.base_model.modules() if isinstance(each, BaseTunerLayer)]


def _kind(layer: TunerModule) -> tuple[object, ...]:
    """Return a key that is equal for layers that merge alike.

    It includes the numbers of features, because packed weights of two shapes can have codes of one shape.
    """
    base = layer.get_base_layer()
    features = tuple(getattr(base, name, None) for name in ("in_features", "out_features"))
    return type(layer), type(base), features, tuple(tuple(parameter.shape) for parameter in base.parameters())


def _compute(base: nn.Module) -> None:
    """Call the layer once: one whose merged weight peft did not pack again raises only when it computes."""
    features, weight = getattr(base, "in_features", None), getattr(base, "weight", None)
    if isinstance(features, int) and weight is not None:
        dtype = weight.dtype if weight.is_floating_point() else torch.float32
        with torch.no_grad():
            base(torch.zeros(1, features, device=weight.device, dtype=dtype))


def _merge(layer: TunerModule) -> Snapshot:
    """Merge the layer into a copy of its weights, and return what `_restore` needs."""
    parts = [part for module in layer.modules() for part in (module._modules, module._parameters, module._buffers)]
    snapshot = [(part, dict(part)) for part in (*parts, *_quantisation_states(layer.get_base_layer()))]
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in layer.get_base_layer().modules():
            for name, parameter in module._parameters.items():
                if type(parameter) is nn.Parameter:  # peft replaces a quantised one and does not write into it
                    module._parameters[name] = nn.Parameter(parameter.detach().clone(), requires_grad=False)
        try:
            layer.merge()  # not peft's safe merge, which would copy once more
        except BaseException:
            _restore(layer, snapshot)
            raise
    return snapshot


def _restore(layer: TunerModule, snapshot: Snapshot) -> None:
    for part, content in snapshot:
        part.clear()
        part.update(content)
    layer.merged_adapters.clear()
    getattr(layer, "_caches", {}).clear()


def _quantisation_states(base: nn.Module) -> list[dict[str, Any]]:
    """Return the dictionaries in which bitsandbytes stores what unpacks a quantised weight: attributes of the layer in
    which the weight was made, and its state.
    """
    maker = getattr(getattr(base, "weight", None), "module", None)
    owners = [base, *([maker] if isinstance(maker, nn.Module) else [])]
    state = getattr(base, "state", None)
    states = [vars(state)] if hasattr(state, "__dict__") else []
    return [*(vars(each) for each in owners if "quant_state" in vars(each)), *states]
