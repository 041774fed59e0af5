"""Save a whole candidate every so many steps, in the folder `checkpoints` of the final one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peft import PeftModel
from rich.filesize import decimal
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from evalharness.checkpoints.devices import DTYPES
from evalharness.checkpoints.load import LoadedModel
from evalharness.training.adapt import TrainableModel, parameter_counts
from evalharness.training.data import TrainingSet
from evalharness.training.encoded_set import EncodedSet
from evalharness.training.output_lock import CHECKPOINTS, UnfinishedOutput, checkpoints_in, step_folder
from evalharness.training.recipe import Recipe
from evalharness.training.save import course_of, save_model, saved_dtype, training_json, write_training_json
from evalharness.training.start import StartingPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateMaker:
    """Saves the model in training as a whole candidate.

    `recipe`, `start`, `loaded`, `model`, `examples`, `encoded`: what is trained, from what, on what. `began`: the time
    at which training began, by `time.monotonic`. `from_start`: whether the memory peak is the training's own.
    `use_cache`: the model's setting before the training, which the Trainer switches off.
    """

    recipe: Recipe
    start: StartingPoint
    loaded: LoadedModel
    model: TrainableModel
    examples: TrainingSet
    encoded: EncodedSet
    began: float
    from_start: bool
    use_cache: bool

    def keep(self, folder: Path, state: TrainerState, steps: int) -> None:
        """Save the model after `state.global_step` of `steps`, and leave the model unchanged."""
        course = replace(course_of(state, self.encoded, state.global_step), validated=())  # no validation chose it
        place = Path(self.recipe.out) / CHECKPOINTS / step_folder(state.global_step)
        facts = training_json(self.recipe, self.start, self.model, self.examples, course, place)
        facts["kept"] = {"step": state.global_step, "of": steps}
        with _restored(self.model):
            self.model.config.use_cache = self.use_cache
            save_model(self.recipe, self.start, self.loaded, self.model, folder)
        write_training_json(facts, folder, time.monotonic() - self.began, self.from_start)

    def announcement(self, steps: int) -> str:
        """Return a line on how many candidates the training will keep, and about how much disk space they take."""
        number = (steps - 1) // (self.recipe.keep_checkpoints or steps)
        trained, whole = parameter_counts(self.model)
        values = trained if self.recipe.definition.adapter else whole
        each = values * DTYPES[saved_dtype(self.recipe, self.start)].itemsize
        return f"keeping at most {number} checkpoints on the way, about {decimal(each * number)} of weights in all"


class CheckpointKeeper(TrainerCallback):
    """Keeps a candidate every so many steps, except at the last step, whose candidate the training itself saves."""

    def __init__(self, maker: CandidateMaker, output: UnfinishedOutput, steps: int) -> None:
        self.maker, self.output, self.steps = maker, output, steps
        self.every = maker.recipe.keep_checkpoints or steps

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Remove checkpoints of a killed training after the state from which this one goes on: they are made again."""
        for step, folder in checkpoints_in(self.output.checkpoints).items():
            if step > state.global_step:
                shutil.rmtree(folder)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: object,
    ) -> None:
        """Save the candidate once the step's loss is known, and before a state of this step is saved."""
        if not logs or "loss" not in logs or state.global_step % self.every or state.global_step >= self.steps:
            return
        folder = self.output.checkpoints / step_folder(state.global_step)
        half = folder.with_name(f".{folder.name}")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        self.maker.keep(half, state, self.steps)
        half.rename(folder)


def checkpoint_facts(recipe: Recipe, output: UnfinishedOutput) -> dict[str, Any]:
    """Describe the kept checkpoints for training.json: their steps, and the bytes of their weights."""
    if recipe.keep_checkpoints is None:
        return {}
    folders = checkpoints_in(output.checkpoints)
    size = sum(path.stat().st_size for folder in folders.values() for path in folder.glob("*.safetensors"))
    return {"checkpoints": {"every": recipe.keep_checkpoints, "steps": sorted(folders), "bytes": size}}


@contextmanager
def _restored(model: TrainableModel) -> Iterator[None]:
    """Restore what saving changes in a model: the type of its values, two of its configurations."""
    plain: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    values = [(parameter, parameter.data) for parameter in model.parameters()]
    buffers = [(module, dict(module._buffers)) for module in nn.Module.modules(model)]
    generation, use_cache, dtype = plain.generation_config, model.config.use_cache, plain.config.dtype
    try:
        yield
    finally:
        for parameter, data in values:
            parameter.data = data
        for module, of_module in buffers:
            module._buffers.update(of_module)
        plain.generation_config, plain.config.dtype, model.config.use_cache = generation, dtype, use_cache
