"""What was asked to be trained, to the layers and parameters of a model that it means; what means nothing is refused by
name.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from evalharness.errors import UsageError
from evalharness.training.methods import ALL_LINEAR, ATTENTION
from evalharness.training.recipe import Recipe

SIGNS = frozenset("*+?^$|()[]{}\\")  # no name of a layer has one of these: with one it is a regular expression


def linear(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Path to module of every linear layer but the output head."""
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not head
    }


def is_pattern(targets: str) -> bool:
    """Is it a regular expression?"""
    return bool(SIGNS & set(targets))


def targets_of(model: PreTrainedModel, recipe: Recipe) -> str | list[str]:
    """`targets` as peft takes them: "all-linear", a regular expression, or names that end the paths of layers.

    Raises UsageError for names and expressions that match no linear layer, and expressions that match something else,
    too.
    """
    layers, targets = linear(model), recipe.option("targets")
    if targets == ALL_LINEAR:
        return ALL_LINEAR
    if targets == ATTENTION:
        inside = in_attention(model)
        if not inside:
            raise _nothing(recipe, ATTENTION, layers)
        return endings(inside, set(layers) - set(inside))
    if isinstance(targets, str) and is_pattern(targets):
        return _pattern(model, recipe, targets, layers)
    for name in recipe.target_names:
        if not ends(name, layers):
            raise _nothing(recipe, name, layers)
    return list(recipe.target_names)


def in_attention(model: PreTrainedModel) -> list[str]:
    """Paths of the linear layers that lie in an attention module."""
    attention = [
        name for name, module in model.named_modules() if "attention" in type(module).__name__.lower() and name
    ]
    return [name for name in linear(model) if any(name.startswith(f"{around}.") for around in attention)]


def endings(wanted: list[str], others: set[str]) -> list[str]:
    """As short names as possible that end every wanted path and no other one: "q_proj", where it must be "attn.c_proj",
    or the whole path.
    """
    found = dict[str, None]()
    for path in wanted:
        parts = path.split(".")
        short = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
        found[next((name for name in short if not ends(name, others)), path)] = None
    return list(found)


def ends(name: str, paths: object) -> list[str]:
    """The paths that the name ends, as peft matches names."""
    return [path for path in paths if path == name or path.endswith(f".{name}")]  # type: ignore[attr-defined]


def matched(model: PreTrainedModel, targets: str | list[str]) -> list[str]:
    """Paths of the linear layers that `targets_of` chose."""
    layers = linear(model)
    if targets == ALL_LINEAR:
        return list(layers)
    if isinstance(targets, str):
        return [name for name in layers if re.fullmatch(targets, name)]
    return [name for name in layers if any(ends(target, [name]) for target in targets)]


def _pattern(model: PreTrainedModel, recipe: Recipe, targets: str, layers: dict[str, nn.Module]) -> str:
    try:
        found = [name for name, _ in model.named_modules() if re.fullmatch(targets, name)]
    except re.error as error:
        raise UsageError(
            "--targets", f"{targets!r} is no regular expression ({error})", "mend it, or name layers"
        ) from None
    if not found:
        raise _nothing(recipe, targets, layers)
    other = [name for name in found if name not in layers]
    if other:
        what = (
            f"{targets!r} also matches {other[0] or 'the whole model'!r}, which is no linear layer in the model's body"
        )
        raise UsageError("--targets", what, f"an expression of whole paths such as {next(iter(layers))}")
    return targets


def _nothing(recipe: Recipe, name: str, layers: dict[str, nn.Module]) -> UsageError:
    known = sorted({path.rpartition(".")[2] for path in layers})
    words = f"{ALL_LINEAR}, {ATTENTION}, some of {', '.join(known)}, or a regular expression of whole paths"
    return UsageError("--targets", f"{name!r} names no linear layer of {recipe.base or recipe.after}", words)


def parameters_of(model: PreTrainedModel, recipe: Recipe) -> list[nn.Parameter]:
    """The parameters that a selective method trains: biases, or those that a pattern matches. Raises UsageError where
    there are none.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    if recipe.method == "bitfit":
        found = [parameter for name, parameter in named.items() if name.endswith(".bias")]
        if not found:
            what = f"{recipe.base or recipe.after} has no biases ({model.config.model_type} models have none)"
            raise UsageError("--method bitfit", what, "--method layers --train '*norm*' trains about as few parameters")
        return found
    chosen: list[nn.Parameter] = []
    for pattern in recipe.parameters:
        these = [parameter for name, parameter in named.items() if fnmatchcase(name, pattern)]
        if not these:
            raise UsageError(
                "--train",
                f"{pattern!r} matches no parameter",
                f"a pattern for names such as {', '.join(list(named)[:3])}",
            )
        chosen += these
    return chosen
