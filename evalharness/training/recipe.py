"""Define a Recipe, which states how a candidate is trained: it is checked, has defaults by method, and is stored as
JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from evalharness.errors import UsageError, did_you_mean
from evalharness.records.models import Method
from evalharness.training.methods import (
    ALL_LINEAR,
    ATTENTION,
    OPTIMIZERS,
    OPTIONS,
    TRAINING_METHODS,
    TrainingMethod,
    flag,
    methods_with,
)
from evalharness.training.recipe_checks import COUNTS, RANGES, check_number, check_shares

Dtype = Literal["float32", "bfloat16"]
SavedDtype = Literal["float32", "bfloat16", "float16"]
Scheduler = Literal["linear", "cosine", "constant"]
TooLong = Literal["cut", "drop", "refuse"]
CUT = "cut"  # --too-long: an example loses its beginning
EPOCHS = 3.0
EVERY = "all"  # --template all: rows spread over the wordings


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The options by which a candidate is trained, as the user set them.

    `option`, `rate` and `to_json` add the method's defaults to them. Options of another method are refused. None means
    the default unless a field says otherwise.

    Data. `base`, `out`, `after` (the stage to train further) and the files are as typed. `target`: the task to learn,
    "" with `train_file`. `template`: the task's prompt template. `mix`: more tasks and their weights, the target's
    being 1. `replay`: task -> the fraction of the training examples that come from it. `validation`: the fraction of
    the examples to hold out.

    Course. `steps` wins over `epochs`; with neither, three epochs. A step is `batch_size` x `gradient_accumulation`
    examples. `warmup`: the share of the steps in which the rate rises. `optimizer`: transformers' name, None for its
    AdamW. `max_grad_norm`: 0 for no clipping. `eval_every`: steps between validations. `patience`: validations without
    a lower loss before training stops. `save_every`: steps between saved states. `keep_checkpoints`: steps between kept
    candidates. `watch`: a suite to evaluate during the training, every `watch_every` steps on `watch_limit` examples a
    task.

    Method. `rank`, `alpha`, `dropout`, `dora`, `rslora`: of LoRA. `targets`: "all-linear" (all but the output head),
    "attention", names of linear layers, or one regular expression that their whole paths match. `virtual_tokens`: their
    number. `hidden`: the width of p-tuning's network. `parameters`: patterns of the weights to train.

    Machine. `max_length`: tokens of an example. `too_long`: what to do with an example that does not fit. `packing`:
    several examples a row. `save_dtype`: the type of the candidate's files; None: full weights in the base's stored
    type, an adapter in float32. `report_to`: names of transformers' reporters.
    """

    method: Method
    base: str
    out: str
    target: str = ""
    # the data
    template: str | None = None
    train_file: str | None = None
    mix: Mapping[str, float] = field(default_factory=dict)
    replay: Mapping[str, float] = field(default_factory=dict)
    validation: float | None = None
    validation_file: str | None = None
    after: str | None = None
    # the course
    learning_rate: float | None = None
    steps: int | None = None
    epochs: float | None = None
    batch_size: int = 16
    gradient_accumulation: int = 1
    scheduler: Scheduler = "linear"
    warmup: float = 0.05
    weight_decay: float = 0.0
    optimizer: str | None = None
    max_grad_norm: float = 1.0
    eval_every: int | None = None
    patience: int | None = None
    save_every: int | None = None
    keep_checkpoints: int | None = None
    watch: str | None = None
    watch_every: int | None = None
    watch_limit: int | None = None
    seed: int = 1234
    # the method's own
    rank: int | None = None
    alpha: float | None = None
    dropout: float | None = None
    targets: str | tuple[str, ...] | None = None
    dora: bool = False
    rslora: bool = False
    virtual_tokens: int | None = None
    hidden: int | None = None
    parameters: tuple[str, ...] = ()
    # the machine
    max_length: int | None = None
    too_long: TooLong = "cut"
    packing: bool = False
    group_by_length: bool = False
    gradient_checkpointing: bool = False
    device: str = "auto"
    dtype: Dtype = "float32"
    save_dtype: SavedDtype | None = None
    report_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise UsageError for a field that is wrong."""
        words = {
            "dtype": get_args(Dtype),
            "save_dtype": (None, *get_args(SavedDtype)),
            "scheduler": get_args(Scheduler),
            "optimizer": (None, *OPTIMIZERS),
            "too_long": get_args(TooLong),
        }
        for name, allowed in (("method", tuple(Method)), *words.items()):
            value = getattr(self, name)
            if value not in allowed:
                fix = did_you_mean(str(value), filter(None, allowed))
                raise UsageError(flag(name), f"unknown {name} {value!r}", fix)
        object.__setattr__(self, "method", Method(self.method))
        for name, required in (("base", not self.after), ("out", True), ("target", not self.train_file)):
            if required and not getattr(self, name):
                fix = "state it, or name rows by --train-file" if name == "target" else "state it"
                raise UsageError(flag(name), "is missing", fix)
        self._check_numbers()
        self._check_options()
        self._check_together()
        check_shares(self.mix, self.replay)

    def _check_numbers(self) -> None:
        for name in COUNTS:
            number = getattr(self, name)
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise UsageError(flag(name), f"{number!r}", "a whole number above zero would be right")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**32:
            raise UsageError("--seed", f"{self.seed!r}", "a whole number from 0 to 4294967295 would be right")
        for name, allowed in RANGES.items():
            if getattr(self, name) is not None:
                check_number(flag(name), getattr(self, name), *allowed)

    def _check_options(self) -> None:
        for name in OPTIONS:
            if getattr(self, name) not in (None, False, ()) and name not in self.definition.options:
                raise UsageError(flag(name), f"is no option of {self.method}", f"it belongs to {methods_with(name)}")
        if self.targets is not None and not all(self.target_names or [""]):
            raise UsageError(
                "--targets", "names no layer", f"{ALL_LINEAR}, {ATTENTION}, or names such as q_proj,v_proj"
            )
        if self.method == Method.LAYERS and not all(self.parameters or [""]):
            raise UsageError("--train", "names no parameters", "give patterns such as model.layers.3.* or *norm*")

    def _check_together(self) -> None:
        for one, other in (("steps", "epochs"), ("validation", "validation_file"), ("packing", "group_by_length")):
            if getattr(self, one) and getattr(self, other):
                raise UsageError(flag(one), f"given together with {flag(other)}", "state one of them")
        if self.packing and self.definition.soft:
            raise UsageError(
                "--packing",
                f"{self.method}: what stands before a text would stand before a pack only",
                "--group-by-length",
            )
        if self.gradient_checkpointing and self.method == Method.PREFIX:
            raise UsageError(
                "--gradient-checkpointing",
                "a prefix lives in the cache, which checkpointing switches off",
                "leave it out",
            )
        for name in ("watch_every", "watch_limit"):
            if getattr(self, name) is not None and not self.watch:
                raise UsageError(flag(name), "nothing is watched", "name a suite with --watch")
        if self.train_file and self.template:
            raise UsageError("--template", "a file of examples has no wordings", "leave it out")

    @property
    def definition(self) -> TrainingMethod:
        """Return what the recipe's method trains, and how."""
        return TRAINING_METHODS[self.method]

    @property
    def rate(self) -> float:
        """Return the learning rate, stated or the method's own."""
        return self.definition.rate if self.learning_rate is None else self.learning_rate

    @property
    def scale(self) -> float:
        """Return LoRA's alpha: the update is alpha / rank · B·A (rsLoRA: alpha / √rank)."""
        return 2.0 * self.option("rank") if self.alpha is None else self.alpha

    @property
    def target_names(self) -> tuple[str, ...]:
        """Return `targets` as names; a regular expression or a word is one of them."""
        targets = self.option("targets")
        return () if targets is None else (targets,) if isinstance(targets, str) else targets

    @property
    def validates(self) -> bool:
        """Return whether the training computes validation losses."""
        return any(
            value is not None for value in (self.validation, self.validation_file, self.eval_every, self.patience)
        )

    @property
    def learned(self) -> str:
        """Return the name of the examples that are not mixed in: the target task, else the file."""
        return self.target or str(self.train_file)

    def option(self, name: str) -> Any:
        """Return one of the method's own options, stated or its default."""
        value = getattr(self, name)
        return self.definition.options.get(name) if value in (None, False, ()) else value

    def steps_for(self, examples: int) -> int:
        """Count the optimiser steps over this many examples (or packs)."""
        if self.steps is not None:
            return self.steps
        return max(1, math.ceil(self.steps_of_epoch(examples) * (EPOCHS if self.epochs is None else self.epochs)))

    def steps_of_epoch(self, examples: int) -> int:
        """Count the optimiser steps of one pass."""
        return math.ceil(math.ceil(examples / self.batch_size) / self.gradient_accumulation)

    def to_json(self) -> dict[str, Any]:
        """Return every field that the method has, with defaults, for JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in OPTIONS}
        values |= {name: self.option(name) for name in self.definition.options} | {"learning_rate": self.rate}
        if "alpha" in self.definition.options:
            values["alpha"] = self.scale
        return {name: _plain(value) for name, value in values.items()}

    @staticmethod
    def from_fields(values: Mapping[str, Any]) -> Recipe:
        """Make the recipe with these fields, as `to_json` returned them or as Python values. Raises UsageError for an
        unknown or missing field, and for a wrong value.
        """
        names, arguments = {item.name for item in fields(Recipe)}, dict[str, Any]()
        for key, value in values.items():
            if key not in names:
                raise UsageError("recipe", f"unknown field {key!r}", did_you_mean(key, names))
            arguments[key] = tuple(value) if isinstance(value, list) else value
        try:
            return Recipe(**arguments)
        except TypeError as error:
            raise UsageError("recipe", f"{error}", "method, base, out and target are needed") from None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
