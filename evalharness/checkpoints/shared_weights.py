"""Copy a model's modules without its tensors, for an adapter in the copy, and detect writes into shared tensors."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import TypeVar, cast

import torch
from torch import nn

SAMPLE = 1 << 16  # values of a tensor in its mark
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}  # by bytes
Mark = tuple[int, int, int]  # of a tensor: address, torch's count of writes, sum over a sample
Model = TypeVar("Model", bound=nn.Module)


def copy_over_same_weights(model: Model) -> Model:
    """Copy the modules of a model, but not its weights: parameters are new ones over the same memory.

    Parameters are new, because peft assigns other data to some (`parameter.data = …`). Those that peft writes in place
    must be cloned first (`unshare`). Buffers and quantised weights are shared.
    """
    memo: dict[int, object] = {id(one): one for one in chain(model.buffers(), _quantisation_states(model))}
    for parameter in model.parameters():
        plain = type(parameter) is nn.Parameter
        memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False) if plain else parameter
    return copy.deepcopy(model, memo)


def _quantisation_states(model: nn.Module) -> list[object]:
    """Return the state of bitsandbytes' layers beside parameters and buffers.

    That is the scales of 4-bit weights, and the tensors in the state of int8 layers.
    """
    attributes = [vars(module) for module in model.modules()]
    states = [vars(one["state"]) for one in attributes if hasattr(one.get("state"), "__dict__")]
    tensors: list[object] = [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
    return [*tensors, *(one["quant_state"] for one in attributes if one.get("quant_state") is not None)]


def marks(model: nn.Module) -> tuple[Mark, ...]:
    """Return a mark of every tensor, including the scales of quantised weights.

    A mark is the tensor's address, torch's count of writes, and a sum. The sum is over all of a small tensor and over
    SAMPLE values spread over a large one. So writes that torch does not count (`tensor.data`, kernels) show if they
    change a whole weight, as a merge does; a write of a few values may not.
    """
    return tuple(
        (tensor.data_ptr(), tensor._version, _sample_sum(tensor))
        for tensor in chain(model.parameters(), model.buffers(), _scales(model))
    )


def _sample_sum(tensor: torch.Tensor) -> int:
    """Return a weighted sum of a sample's bits as whole numbers; swapped values change it, too."""
    if not tensor.numel():
        return 0
    flat = tensor.detach().reshape(-1)
    bits = BITS[min(4, flat.element_size())]
    sample = flat[:: max(1, flat.numel() // SAMPLE) | 1].contiguous().view(bits).long()
    return int((sample * (torch.arange(len(sample), device=sample.device) % 8191 + 1)).sum())


def _scales(model: nn.Module) -> Iterator[torch.Tensor]:
    """Return the tensors that unpack the weights of bitsandbytes' layers."""
    for module in model.modules():
        state, four = getattr(module, "state", None), getattr(module, "quant_state", None)
        places = [(state, name) for name in ("CB", "SCB")]
        places += [
            (one, name) for one in (four, getattr(four, "state2", None)) for name in ("absmax", "code", "offset")
        ]
        yield from (value for one, name in places if isinstance(value := getattr(one, name, None), torch.Tensor))


def unshare(model: nn.Module, names: set[str]) -> None:
    """Give `model` its own memory for the parameters and buffers of these names; tied modules stay tied."""
    clones: dict[int, torch.Tensor] = {}
    for path, module in model.named_modules():
        for tensors in _tensors_of(module):
            for name, tensor in tensors.items():
                if tensor is not None and (f"{path}.{name}" if path else name) in names:
                    clone = tensor.detach().clone()
                    is_parameter = isinstance(tensor, nn.Parameter)
                    clones[id(tensor)] = nn.Parameter(clone, requires_grad=False) if is_parameter else clone
    for module in model.modules():
        for tensors in _tensors_of(module):
            tensors |= {name: clones[id(tensor)] for name, tensor in tensors.items() if id(tensor) in clones}


def _tensors_of(module: nn.Module) -> tuple[dict[str, torch.Tensor | None], ...]:
    """Return the dictionaries in which torch stores the module's own parameters and buffers."""
    return cast(tuple[dict[str, torch.Tensor | None], ...], (module._parameters, module._buffers))


def shared_parameters(model: nn.Module) -> set[int]:
    """Return the ids of parameters that more than one module holds."""
    times = Counter(id(each) for module in model.modules() for each in module._parameters.values() if each is not None)
    return {parameter for parameter, number in times.items() if number > 1}
