"""A model with adapter layers to the same model computing merged: each layer's weight merged as it is asked, and put
back after.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel

from evalharness.checkpoints.shared_weights import shared
from evalharness.checkpoints.weights import UNLOADABLE, first_line

Kept = list[tuple[dict[str, Any], dict[str, Any]]]  # dictionaries, and what they held


def unmergeable(wrapped: PeftModel) -> str:
    """Why peft cannot merge this adapter into its base's weights; "" where it can. Each kind of layer is tried once in
    each shape.
    """
    layers = _layers(wrapped)
    if not layers:
        return "the adapter has no layer that could be merged"
    twice = shared(wrapped.get_base_model())
    if any(id(parameter) in twice for layer in layers for parameter in layer.get_base_layer().parameters()):
        return "the adapter sits on weights that two modules share (tied embeddings)"
    try:
        wrapped.base_model._check_merge_allowed()
        for layer in {_sort(layer): layer for layer in layers}.values():
            kept = _merge(layer)
            try:
                _ask(layer.get_base_layer())
            finally:
                _restore(layer, kept)
    except (*UNLOADABLE, AssertionError) as error:
        return f"peft cannot merge it ({first_line(error)})"
    return ""


@contextlib.contextmanager
def merged(wrapped: PeftModel) -> Iterator[PreTrainedModel]:
    """The model computing with every adapter layer merged into its weight: one layer's weight is held twice at a time.

    What `merge_and_unload` gives, without a second copy of the base, which is bitwise the same afterwards.
    """
    kept: dict[int, Kept] = {}

    def before(layer: nn.Module, _: object) -> None:
        kept[id(layer)] = _merge(layer)

    def after(layer: nn.Module, *_: object) -> None:
        if id(layer) in kept:
            _restore(layer, kept.pop(id(layer)))

    hooks = [layer.register_forward_pre_hook(before) for layer in _layers(wrapped)]
    hooks += [layer.register_forward_hook(after, always_call=True) for layer in _layers(wrapped)]
    try:
        yield wrapped.get_base_model()
    finally:
        for hook in hooks:
            hook.remove()


def _layers(wrapped: PeftModel) -> list[BaseTunerLayer]:
    return [
        module
        for module in wrapped.base_model.modules()
        if isinstance(module, BaseTunerLayer) and isinstance(module, nn.Module)
    ]


def _sort(layer: BaseTunerLayer) -> tuple[object, ...]:
    """Layers that merge alike. Packed weights of two shapes can have one shape of codes, so that the features count as
    well.
    """
    base = layer.get_base_layer()
    features = tuple(getattr(base, name, None) for name in ("in_features", "out_features"))
    return type(layer), type(base), features, tuple(tuple(parameter.shape) for parameter in base.parameters())


def _ask(base: nn.Module) -> None:
    """Of a merged weight that peft did not pack again, the layer says so only when it computes."""
    features, weight = getattr(base, "in_features", None), getattr(base, "weight", None)
    if isinstance(features, int) and weight is not None:
        with torch.no_grad():
            base(
                torch.zeros(
                    1,
                    features,
                    device=weight.device,
                    dtype=weight.dtype if weight.is_floating_point() else torch.float32,
                )
            )


def _merge(layer: BaseTunerLayer) -> Kept:
    """Merge the layer into a copy of its weights; gives what it was made of."""
    parts = [part for module in layer.modules() for part in (module._modules, module._parameters, module._buffers)]
    kept = [(part, dict(part)) for part in (*parts, *_states(layer.get_base_layer()))]
    held = layer.get_base_layer()._parameters
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, parameter in held.items():
            if type(parameter) is nn.Parameter:  # a quantised one is replaced by peft, not written into
                held[name] = nn.Parameter(parameter.detach().clone(), requires_grad=False)
        try:
            layer.merge(safe_merge=True)
        except BaseException:
            _restore(layer, kept)
            raise
    return kept


def _restore(layer: BaseTunerLayer, kept: Kept) -> None:
    for now, then in kept:
        now.clear()
        now.update(then)
    layer.merged_adapters.clear()
    getattr(layer, "_caches", {}).clear()


def _states(base: nn.Module) -> list[dict[str, Any]]:
    """Where bitsandbytes keeps what unpacks a quantised weight: attributes of the layer that the weight was made in,
    and its state.
    """
    home = getattr(getattr(base, "weight", None), "module", None)
    owners = [base, *([home] if isinstance(home, nn.Module) else [])]
    state = getattr(base, "state", None)
    return [
        *(vars(one) for one in owners if "quant_state" in vars(one)),
        *([vars(state)] if hasattr(state, "__dict__") else []),
    ]
