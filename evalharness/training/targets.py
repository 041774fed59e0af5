"""Find the layers and parameters of a model that a recipe names, and refuse by name what means nothing."""

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

SIGNS = frozenset("*+?^$|()[]{}\\")  # no name of a layer has one of these: with one it is a regular expression


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Map path to module of every linear layer but the output head."""
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not head
    }


def attention_layers(model: PreTrainedModel) -> list[str]:
    """List the paths of the linear layers that lie in an attention module."""
    attention = [
        name for name, module in model.named_modules() if "attention" in type(module).__name__.lower() and name
    ]
    return [name for name in linear_layers(model) if any(name.startswith(f"{around}.") for around in attention)]


def peft_targets(model: PreTrainedModel, recipe: Recipe) -> str | list[str]:
    """Return `targets` as peft takes them: "all-linear", a regular expression, or names that end the paths of layers.

    Raises UsageError for names and expressions that match no linear layer, and expressions that match something else,
    too.
    """
    layers, targets = linear_layers(model), recipe.option("targets")
    if targets == ALL_LINEAR:
        return ALL_LINEAR
    if targets == ATTENTION:
        chosen = attention_layers(model)
        if not chosen:
            raise _no_layer(recipe, ATTENTION, layers)
        return shortest_endings(chosen, set(layers) - set(chosen))
    if isinstance(targets, str) and SIGNS & set(targets):
        return _checked_pattern(model, recipe, targets, layers)
    for name in recipe.target_names:
        if not ended_by(name, layers):
            raise _no_layer(recipe, name, layers)
    return list(recipe.target_names)


def shortest_endings(wanted: list[str], others: set[str]) -> list[str]:
    """Find names as short as possible that end every wanted path and no other one: "q_proj", where it must be
    "attn.c_proj", or the whole path.
    """
    names = dict[str, None]()
    for path in wanted:
        parts = path.split(".")
        endings = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
        names[next((name for name in endings if not ended_by(name, others)), path)] = None
    return list(names)


def ended_by(name: str, paths: Iterable[str]) -> list[str]:
    """List the paths that the name ends, as peft matches names."""
    return [path for path in paths if path == name or path.endswith(f".{name}")]


def matched(model: PreTrainedModel, targets: str | list[str]) -> list[str]:
    """List the paths of the linear layers that `peft_targets` chose."""
    layers = linear_layers(model)
    if targets == ALL_LINEAR:
        return list(layers)
    if isinstance(targets, str):
        return [name for name in layers if re.fullmatch(targets, name)]
    return [name for name in layers if any(ended_by(target, [name]) for target in targets)]


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
    known = sorted({path.rpartition(".")[2] for path in layers})
    words = f"{ALL_LINEAR}, {ATTENTION}, some of {', '.join(known)}, or a regular expression of whole paths"
    return UsageError("--targets", f"{name!r} names no linear layer of {recipe.base or recipe.after}", words)


def selected_parameters(model: PreTrainedModel, recipe: Recipe) -> list[nn.Parameter]:
    """Return the parameters that a selective method trains: biases, or those that a pattern matches. Raises UsageError
    where there are none.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    if recipe.method == Method.BITFIT:
        biases = [parameter for name, parameter in named.items() if name.endswith(".bias")]
        if not biases:
            raise UsageError(
                "--method bitfit",
                f"{recipe.base or recipe.after} has no biases ({model.config.model_type} models have none)",
                "--method layers --train '*norm*' trains about as few parameters",
            )
        return biases
    chosen: list[nn.Parameter] = []
    for pattern in recipe.parameters:
        matching = [parameter for name, parameter in named.items() if fnmatchcase(name, pattern)]
        if not matching:
            names = ", ".join(list(named)[:3])
            raise UsageError("--train", f"{pattern!r} matches no parameter", f"a pattern for names such as {names}")
        chosen += matching
    return chosen
