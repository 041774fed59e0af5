"""Define the training methods: what each trains, its default learning rate, and its own options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evalharness.records.models import Method

ALL_LINEAR, ATTENTION = "all-linear", "attention"


@dataclass(frozen=True, slots=True)
class TrainingMethod:
    """One training method.

    `what`: the values that it trains, in words. `rate`: its default learning rate, a starting point and no optimum: a
    fair comparison of methods sweeps the rate of each. `adapter`: peft's type of its adapter, "" for full weights.
    `soft`: it puts virtual tokens before the text. `selective`: it trains a part of the full weights. `options`: its
    own options with their defaults, None if the default depends on something else.
    """

    what: str
    rate: float
    adapter: str = ""
    soft: bool = False
    selective: bool = False
    options: dict[str, Any] = field(default_factory=dict)


_LOW_RANK = {"rank": 8, "alpha": None, "dropout": 0.0, "targets": ALL_LINEAR, "dora": False, "rslora": False}
_TOKENS = {"virtual_tokens": 20}
TRAINING_METHODS: dict[str, TrainingMethod] = {
    Method.FULL: TrainingMethod("all weights", 1e-5),
    Method.LORA: TrainingMethod("low-rank updates", 2e-4, "LORA", options=_LOW_RANK),
    Method.QLORA: TrainingMethod("low-rank updates of 4-bit weights", 2e-4, "LORA", options=_LOW_RANK),
    Method.IA3: TrainingMethod("one factor a feature", 5e-3, "IA3", options={"targets": None}),
    Method.PROMPT: TrainingMethod("a soft prompt", 3e-3, "PROMPT_TUNING", soft=True, options=_TOKENS),
    Method.PREFIX: TrainingMethod("a prefix in every layer", 3e-3, "PREFIX_TUNING", soft=True, options=_TOKENS),
    Method.P_TUNING: TrainingMethod(
        "a soft prompt behind a small network", 1e-3, "P_TUNING", soft=True, options={**_TOKENS, "hidden": None}
    ),
    Method.BITFIT: TrainingMethod("biases", 1e-3, selective=True),
    Method.LAYERS: TrainingMethod("chosen parameters", 1e-5, selective=True, options={"parameters": ()}),
}
OPTIONS = tuple(dict.fromkeys(option for method in TRAINING_METHODS.values() for option in method.options))
OPTIMIZERS = (  # transformers' names; those of 8 bits and the paged ones need bitsandbytes
    *("adamw_torch", "adamw_torch_fused", "adafactor", "sgd"),
    *("adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"),
)
FLAGS = {  # field of a Recipe -> the command's option, where the names differ
    "learning_rate": "--lr",
    "target": "--task",
    "parameters": "--train",
    "hidden": "--encoder-hidden",
    "scheduler": "--lr-scheduler",
}


def flag(name: str) -> str:
    """Return the command's option for a field of a Recipe."""
    return FLAGS.get(name, f"--{name.replace('_', '-')}")


def methods_with(option: str) -> str:
    """List the methods that have the option, for a message."""
    return ", ".join(name for name, method in TRAINING_METHODS.items() if option in method.options)
