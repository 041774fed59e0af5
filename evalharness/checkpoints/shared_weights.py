"""Copy a model's modules over the same tensors, so that an adapter goes into the copy and the model stays as it is; and
notice what writes into shared tensors all the same.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import TypeVar, cast

import torch
from torch import nn

SAMPLE = 1 << 16  # values of a tensor that its mark looks at
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}  # by bytes
Mark = tuple[int, int, int]  # of a tensor: address, torch's count of writes, sum over a sample
Model = TypeVar("Model", bound=nn.Module)


def copy_over_same_weights(model: Model) -> Model:
    """A copy of the modules; every parameter is a new one over the same memory, buffers and quantised weights are the
    very same.

    New parameters, because peft puts other data into some (`parameter.data = …`); what it writes in place must be
    cloned first (`unshare`).
    """
    memo: dict[int, object] = {id(one): one for one in chain(model.buffers(), _quantisation_states(model))}
    for parameter in model.parameters():
        plain = type(parameter) is nn.Parameter
        memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False) if plain else parameter
    return copy.deepcopy(model, memo)


def _quantisation_states(model: nn.Module) -> list[object]:
    """What bitsandbytes' layers hold beside parameters and buffers: the scales of 4-bit weights, the tensors in the
    state of int8 layers.
    """
    held = [vars(module) for module in model.modules()]
    states = [vars(one["state"]) for one in held if hasattr(one.get("state"), "__dict__")]
    tensors: list[object] = [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
    return [*tensors, *(one["quant_state"] for one in held if one.get("quant_state") is not None)]


def marks(model: nn.Module) -> tuple[Mark, ...]:
    """A mark of every tensor, the scales of quantised weights too: where it lies, how often torch wrote into it, and a
    sum over its content.

    The sum is over all of a small tensor and over SAMPLE values spread over a large one: writes past torch's count
    (`tensor.data`, kernels) show where they change the whole of a weight, as a merge does; one of a few values in a
    large tensor may stay unseen.
    """
    return tuple(
        (tensor.data_ptr(), tensor._version, _sample_sum(tensor))
        for tensor in chain(model.parameters(), model.buffers(), _scales(model))
    )


def _sample_sum(tensor: torch.Tensor) -> int:
    """A weighted sum of a sample, its bits taken as whole numbers: an exchange of values moves it as well."""
    if not tensor.numel():
        return 0
    flat = tensor.detach().reshape(-1)
    bits = BITS[min(4, flat.element_size())]
    taken = flat[:: max(1, flat.numel() // SAMPLE) | 1].contiguous().view(bits).long()
    return int((taken * (torch.arange(len(taken), device=taken.device) % 8191 + 1)).sum())


def _scales(model: nn.Module) -> Iterator[torch.Tensor]:
    """What unpacks the weights of bitsandbytes' layers."""
    for module in model.modules():
        state, four = getattr(module, "state", None), getattr(module, "quant_state", None)
        places = [(state, name) for name in ("CB", "SCB")]
        places += [
            (one, name) for one in (four, getattr(four, "state2", None)) for name in ("absmax", "code", "offset")
        ]
        yield from (value for one, name in places if isinstance(value := getattr(one, name, None), torch.Tensor))


def unshare(model: nn.Module, names: set[str]) -> None:
    """Give `model` its own memory for the parameters and buffers of these names; modules that share one go on sharing
    it.
    """
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
    """The module's own parameters and buffers, in the dictionaries that torch keeps them in."""
    return cast(tuple[dict[str, torch.Tensor | None], ...], (module._parameters, module._buffers))


def shared_parameters(model: nn.Module) -> set[int]:
    """The ids of parameters that more than one module holds."""
    times = Counter(id(each) for module in model.modules() for each in module._parameters.values() if each is not None)
    return {parameter for parameter, number in times.items() if number > 1}
