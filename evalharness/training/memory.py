"""State what is asked of the memory of a training, and what the forecast of it holds."""

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
LENGTH = 512  # tokens of a row, where nobody says
METHODS = (Method.FULL, Method.LORA, Method.QLORA, Method.PROMPT)  # where none is named


@dataclass(frozen=True, slots=True, kw_only=True)
class RowShape:
    """What of a training no recipe says. `length`: tokens of each row, virtual ones aside; `answer`: how many of them
    are learned, so that the head is computed there; `held`: the type of weights that change themselves (`train` holds
    them in float32).
    """

    length: int
    answer: int
    held: HeldDtype = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryForecast:
    """The bytes that one training takes. `weights`: the model as it is held; `adapter`: what is trained beside it;
    `activations`: the most that a pass forward and backward holds beside weights, gradients and states; `peak`: the
    most at one time; `disk`: of the tensors it leaves.
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


def row_shape(base: str, length: int | None, answer: int | None, held: HeldDtype = "float32") -> RowShape:
    """Make the shape of rows for a base, all of a row learned where nothing else is said. Raises ModelError for a base
    without a configuration, UsageError where rows are longer than its window, or more is learned than a row has.
    """
    window = window_of(model_config(directory_of(parse(base))))
    tokens = length or min(LENGTH, window or LENGTH)
    if window is not None and tokens > window:
        raise UsageError("--max-length", f"{tokens} tokens, and the base has a window of {window}", "no more than that")
    if answer is not None and answer > tokens:
        raise UsageError("--answer-tokens", f"{answer} of rows of {tokens} tokens", "no more than --max-length")
    return RowShape(length=tokens, answer=answer or tokens, held=held)


def recipes(methods: Sequence[str], options: Mapping[str, Any]) -> tuple[Recipe, ...]:
    """Make a recipe for each method, of the fields of a Recipe that it has. Raises UsageError for an option that none
    of them has, and for what no recipe may have.
    """
    chosen = [Method(method) for method in methods or METHODS]
    given = {name: value for name, value in options.items() if not (value is None or value is False or value == ())}
    owned = [name for name in OPTIONS if name in given]
    for name in owned:
        if not any(name in TRAINING_METHODS[method].options for method in chosen):
            raise UsageError(flag(name), f"is no option of {', '.join(chosen)}", f"it belongs to {methods_with(name)}")
    every = []
    for method in chosen:
        others = [name for name in owned if name not in TRAINING_METHODS[method].options]
        own = {name: value for name, value in given.items() if name not in others}
        # nothing is learned, and nothing left
        every.append(Recipe.from_fields({"method": method, "out": "nowhere", "target": "any", **own}))
    return tuple(every)
