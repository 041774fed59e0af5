"""Keep whole candidates on the way: every so many steps one that can be evaluated, under `checkpoints` of the last."""

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
from evalharness.training.adapt import TrainableModel, sizes
from evalharness.training.data import TrainingSet
from evalharness.training.encoded_set import EncodedSet
from evalharness.training.output_lock import CHECKPOINTS, UnfinishedOutput, kept_in, step_folder
from evalharness.training.recipe import Recipe
from evalharness.training.save import course_of, save_model, saved_dtype, training_json, write_training_json
from evalharness.training.start import StartingPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateMaker:
    """Saves the model as it is as a whole candidate. `began`: when training began, by `time.monotonic`; `from_start`:
    is the peak of memory the training's own; `use_cache`: of the model's configuration, which the Trainer switches off
    while it trains.
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
        """Save what the model is after `state.global_step` of `steps`, without a trace in the model."""
        course = replace(course_of(state, self.encoded, state.global_step), validated=())  # none of which chose it
        place = Path(self.recipe.out) / CHECKPOINTS / step_folder(state.global_step)
        facts = training_json(self.recipe, self.start, self.model, self.examples, course, place)
        facts["kept"] = {"step": state.global_step, "of": steps}
        with _put_back(self.model):
            self.model.config.use_cache = self.use_cache
            save_model(self.recipe, self.start, self.loaded, self.model, folder)
        write_training_json(facts, folder, time.monotonic() - self.began, self.from_start)

    def announcement(self, steps: int) -> str:
        """Say before training how many candidates will be kept, and about how much room they take."""
        number = (steps - 1) // (self.recipe.keep_checkpoints or steps)
        trained, whole = sizes(self.model)
        values = trained if self.recipe.definition.adapter else whole
        each = values * DTYPES[saved_dtype(self.recipe, self.start)].itemsize
        return f"keeping at most {number} checkpoints on the way, about {decimal(each * number)} of weights in all"


class CheckpointKeeper(TrainerCallback):
    """Keeps a candidate every so many steps, the last one aside: that is what the training leaves."""

    def __init__(self, maker: CandidateMaker, output: UnfinishedOutput, steps: int) -> None:
        self.maker, self.output, self.steps = maker, output, steps
        self.every = maker.recipe.keep_checkpoints or steps

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Remove what a killed training kept after the state that this one goes on from: it is made again."""
        for step, folder in kept_in(self.output.kept).items():
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
        """Keep the weights once the step's loss is known, and before a state of this step is saved."""
        if not logs or "loss" not in logs or state.global_step % self.every or state.global_step >= self.steps:
            return
        folder = self.output.kept / step_folder(state.global_step)
        half = folder.with_name(f".{folder.name}")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        self.maker.keep(half, state, self.steps)
        half.rename(folder)


def kept_facts(recipe: Recipe, output: UnfinishedOutput) -> dict[str, Any]:
    """Describe for training.json what was kept: which steps, and how many bytes of weights."""
    if recipe.keep_checkpoints is None:
        return {}
    folders = kept_in(output.kept)
    size = sum(path.stat().st_size for folder in folders.values() for path in folder.glob("*.safetensors"))
    return {"checkpoints": {"every": recipe.keep_checkpoints, "steps": sorted(folders), "bytes": size}}


@contextmanager
def _put_back(model: TrainableModel) -> Iterator[None]:
    """Put back what saving changes of a model: the type of its values, two of its configurations."""
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
