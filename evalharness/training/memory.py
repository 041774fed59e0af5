"""Define the inputs and the result of a forecast of a training's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from evalharness.checkpoints.discover import directory_of
from evalharness.checkpoints.files import model_config, window_of
from evalharness.checkpoints.naming import parse
from evalharness.errors import UsageError
from evalharness.records.models import Method
from evalharness.training.methods import OPTIONS, TRAINING_METHODS, flag, methods_with
from evalharness.training.recipe import Recipe

HeldDtype = Literal["float32", "bfloat16"]
HELD_DTYPES: tuple[HeldDtype, ...] = get_args(HeldDtype)
LENGTH = 512  # default number of tokens of a row
METHODS = (Method.FULL, Method.LORA, Method.QLORA, Method.PROMPT)  # default methods


@dataclass(frozen=True, slots=True, kw_only=True)
class RowShape:
    """The facts about a training's rows and types that its recipe does not state.

    `length`: tokens of each row, without virtual ones. `answer`: how many of them are learned; the model's head is
    computed for these. `held`: the type of full weights in training (`train` uses float32).
    """

    length: int
    answer: int
    held: HeldDtype = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryForecast:
    """The memory and disk space that one training is expected to take, in bytes, and its numbers of parameters.

    `parameters`, `trainable`: numbers of all and of trained values. `weights`: the model in memory. `adapter`: the
    values that are trained beside it. `gradients`, `optimiser`: for all trained values. `activations`: the most that a
    forward and backward pass needs beside these. `peak`: the most at one time. `disk`: the saved tensors.
    """

    method: Method
    parameters: int
    trainable: int
    weights: int
    adapter: int
    gradients: int
    optimiser: int
    activations: int
    peak: int
    disk: int


def row_shape(base: str, length: int | None, answer: int | None, dtype: HeldDtype = "float32") -> RowShape:
    """Make the shape of a base's rows. `length`: None for LENGTH tokens, or the window if it is shorter. `answer`: None
    if all tokens are learned.

    Raises ModelError for a base without a configuration, UsageError if rows are longer than its window, or `answer`
    than a row.
    """
    window = window_of(model_config(directory_of(parse(base))))
    tokens = length or min(LENGTH, window or LENGTH)
    if window is not None and tokens > window:
        raise UsageError("--max-length", f"{tokens} tokens, and the base has a window of {window}", "no more than that")
    if answer is not None and answer > tokens:
        raise UsageError("--answer-tokens", f"{answer} of rows of {tokens} tokens", "no more than --max-length")
    return RowShape(length=tokens, answer=answer or tokens, held=dtype)


def recipes(methods: Sequence[str], options: Mapping[str, Any]) -> tuple[Recipe, ...]:
    """Make a recipe for each method, with the options that it has. Raises UsageError for an option that none of them
    has, and for wrong values.
    """
    kinds = [Method(method) for method in methods or METHODS]
    values = {name: value for name, value in options.items() if not (value is None or value is False or value == ())}
    owned = [name for name in OPTIONS if name in values]
    for name in owned:
        if not any(name in TRAINING_METHODS[method].options for method in kinds):
            raise UsageError(flag(name), f"is no option of {', '.join(kinds)}", f"it belongs to {methods_with(name)}")
    every = []
    for method in kinds:
        others = [name for name in owned if name not in TRAINING_METHODS[method].options]
        own = {name: value for name, value in values.items() if name not in others}
        # placeholders: nothing is trained or written
        every.append(Recipe.from_fields({"method": method, "out": "nowhere", "target": "any", **own}))
    return tuple(every)
