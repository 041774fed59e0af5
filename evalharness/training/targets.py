"""Find the layers and parameters of a model that a recipe names, and refuse names without a match."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from evalharness.errors import UsageError
from evalharness.records.models import Method
from evalharness.training.methods import ALL_LINEAR, ATTENTION
from evalharness.training.recipe import Recipe

SIGNS = frozenset("*+?^$|()[]{}\\")  # signs of a regular expression, which no name of a layer has


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Return path -> module of every linear layer but the output head."""
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not head
    }


def attention_layers(model: PreTrainedModel) -> list[str]:
    """List the paths of the linear layers in attention modules."""
    attention = [
        name for name, module in model.named_modules() if "attention" in type(module).__name__.lower() and name
    ]
    return [name for name in linear_layers(model) if any(name.startswith(f"{around}.") for around in attention)]


def peft_targets(model: PreTrainedModel, recipe: Recipe) -> str | list[str]:
    """Return `targets` for peft: "all-linear", a regular expression, or names that end the paths of layers. Raises
    UsageError for names and expressions that match no linear layer, and expressions that also match other modules.
    """
    layers, targets = linear_layers(model), recipe.option("targets")
    if targets == ALL_LINEAR:
        return ALL_LINEAR
    if targets == ATTENTION:
        attention = attention_layers(model)
        if not attention:
            raise _no_layer(recipe, ATTENTION, layers)
        return shortest_endings(attention, set(layers) - set(attention))
    if isinstance(targets, str) and SIGNS & set(targets):
        return _checked_pattern(model, recipe, targets, layers)
    for name in recipe.target_names:
        if not paths_ending_with(name, layers):
            raise _no_layer(recipe, name, layers)
    return list(recipe.target_names)


def shortest_endings(paths: list[str], others: set[str]) -> list[str]:
    """Find the shortest names that end each of the paths and no other one, such as "q_proj", if needed "attn.c_proj",
    or the whole path.
    """
    names = dict[str, None]()
    for path in paths:
        parts = path.split(".")
        endings = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
        names[next((name for name in endings if not paths_ending_with(name, others)), path)] = None
    return list(names)


def paths_ending_with(name: str, paths: Iterable[str]) -> list[str]:
    """List the paths that end with the name, as peft matches names."""
    return [path for path in paths if path == name or path.endswith(f".{name}")]


def matching_layers(model: PreTrainedModel, targets: str | list[str]) -> list[str]:
    """List the paths of the linear layers that `peft_targets` chose."""
    layers = linear_layers(model)
    if targets == ALL_LINEAR:
        return list(layers)
    if isinstance(targets, str):
        return [name for name in layers if re.fullmatch(targets, name)]
    return [name for name in layers if any(paths_ending_with(target, [name]) for target in targets)]


def _checked_pattern(model: PreTrainedModel, recipe: Recipe, targets: str, layers: dict[str, nn.Module]) -> str:
    try:
        names = [name for name, _ in model.named_modules() if re.fullmatch(targets, name)]
    except re.error as error:
        raise UsageError(
            "--targets", f"{targets!r} is no regular expression ({error})", "mend it, or name layers"
        ) from None
    if not names:
        raise _no_layer(recipe, targets, layers)
    if other := [name or "the whole model" for name in names if name not in layers]:
        raise UsageError(
            "--targets",
            f"{targets!r} also matches {other[0]!r}, which is no linear layer in the model's body",
            f"an expression of whole paths such as {next(iter(layers))}",
        )
    return targets


def _no_layer(recipe: Recipe, name: str, layers: dict[str, nn.Module]) -> UsageError:
    names = sorted({path.rpartition(".")[2] for path in layers})
    words = f"{ALL_LINEAR}, {ATTENTION}, some of {', '.join(names)}, or a regular expression of whole paths"
    return UsageError("--targets", f"{name!r} names no linear layer of {recipe.base or recipe.after}", words)


def selected_parameters(model: PreTrainedModel, recipe: Recipe) -> list[nn.Parameter]:
    """Return the parameters that a selective method trains: biases, or those that match a pattern. Raises UsageError if
    there are none.
    """
    by_name = dict(model.named_parameters(remove_duplicate=False))
    if recipe.method == Method.BITFIT:
        biases = [parameter for name, parameter in by_name.items() if name.endswith(".bias")]
        if not biases:
            raise UsageError(
                "--method bitfit",
                f"{recipe.base or recipe.after} has no biases ({model.config.model_type} models have none)",
                "--method layers --train '*norm*' trains about as few parameters",
            )
        return biases
    parameters: list[nn.Parameter] = []
    for pattern in recipe.parameters:
        matching = [parameter for name, parameter in by_name.items() if fnmatchcase(name, pattern)]
        if not matching:
            names = ", ".join(list(by_name)[:3])
            raise UsageError("--train", f"{pattern!r} matches no parameter", f"a pattern for names such as {names}")
        parameters += matching
    return parameters
