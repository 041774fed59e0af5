"""A model to its twin: modules of its own over the same tensors, so that an adapter goes into the twin and the model stays as it is."""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import nn


def twin(model: nn.Module) -> nn.Module:
    """A copy of the modules; every parameter is a new one over the same memory, buffers and quantised weights are the very same.

    New parameters, because peft puts other data into some (`parameter.data = …`); what it writes in place must be cloned first (`own`).
    """
    shared: dict[int, object] = {id(one): one for one in chain(model.buffers(), _hidden(model))}
    for parameter in model.parameters():
        plain = type(parameter) is nn.Parameter
        shared[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False) if plain else parameter
    return copy.deepcopy(model, shared)


def _hidden(model: nn.Module) -> list[object]:
    """What bitsandbytes' layers hold beside parameters and buffers: the scales of 4-bit weights, the tensors in the state of int8 layers."""
    held = [vars(module) for module in model.modules()]
    states = [vars(one["state"]) for one in held if hasattr(one.get("state"), "__dict__")]
    tensors: list[object] = [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
    return [*tensors, *(one["quant_state"] for one in held if one.get("quant_state") is not None)]


def marks(model: nn.Module) -> tuple[tuple[int, int], ...]:
    """Where every tensor lies and how often it was written: equal before and after means untouched."""
    return tuple((tensor.data_ptr(), tensor._version) for tensor in chain(model.parameters(), model.buffers()))


def own(model: nn.Module, names: set[str]) -> None:
    """Give `model` its own memory for the parameters and buffers of these names; modules that share one go on sharing it."""
    clones: dict[int, torch.Tensor] = {}
    for path, module in model.named_modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and (f"{path}.{name}" if path else name) in names:
                    clone = tensor.detach().clone()
                    clones[id(tensor)] = nn.Parameter(clone, requires_grad=False) if isinstance(tensor, nn.Parameter) else clone
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if id(tensor) in clones:
                    tensors[name] = clones[id(tensor)]


def shared(model: nn.Module) -> set[int]:
    """The ids of parameters that more than one module holds."""
    held = [id(parameter) for module in model.modules() for parameter in module._parameters.values() if parameter is not None]
    return {one for one in held if held.count(one) > 1}
