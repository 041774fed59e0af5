"""Adapt transformers' Trainer to candidates: loss, validation, progress, and saved states."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from evalharness.checkpoints.open_model import architecture_of
from evalharness.errors import ModelError, StoreError, first_line
from evalharness.records.models import Architecture, Method
from evalharness.training.adapt import TrainableModel
from evalharness.training.encode import IGNORED
from evalharness.training.interrupts import HeldSignal
from evalharness.training.looks import look_of, look_text
from evalharness.training.loss import completion_loss
from evalharness.training.recipe import Recipe
from evalharness.training.states import TRAINED, SaveClock, load_trained, save_trained

Report = Callable[[str], None]  # receives progress and notes, a line each
REPORTS = 10  # lines of progress a training
SEEN = "examples"  # the number of a step's examples, in the Trainer's history
SCHEDULERS = {"constant": "constant_with_warmup"}  # the plain one ignores the warm-up
Batch = dict[str, torch.Tensor]
Collator = Callable[[list[Any]], Batch]  # of items from the training set
ADAMW = {"adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8}
OPTIMISERS = {"adafactor": "Adafactor", "sgd": "SGD"}  # all others are AdamW


class CompletionTrainer(Trainer):
    """A Trainer whose loss is the mean over the completion tokens of all batches of a step, for every architecture.

    A saved state has the trained parameters themselves (an adapter's own format lacks the network behind a soft
    prompt), with optimiser, schedule, random states and history as the Trainer saves them.
    """

    def __init__(
        self,
        *,
        model: TrainableModel,
        args: TrainingArguments,
        drawn_from: Sequence[object],
        collator: Collator,
        held_out: Sequence[Batch],
        monitor: TrainingMonitor,
    ) -> None:
        """Make the trainer. `drawn_from`: items from which `collator` makes batches. `held_out`: batches to validate
        on.
        """
        super().__init__(
            model=model,
            args=args,
            train_dataset=cast("Dataset[object]", list(drawn_from)),  # a list has all that is needed of a Dataset
            eval_dataset=cast("Dataset[object]", list(held_out)) if held_out else None,
            data_collator=collator,
            callbacks=[monitor],
        )
        self.trainable, self.held_out, self.architecture = model, held_out, architecture_of(model)
        self.monitor, self.rows = monitor, 0
        self.model_accepts_loss_kwargs = True  # `compute_loss` takes the number of tokens of the whole step
        self._loss_shifts_labels = self.architecture == Architecture.CAUSAL

    def compute_loss(
        self, model: Any, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Compute the loss of a batch: the sum over its tokens divided by the number of the step's tokens."""
        loss, outputs = completion_loss(model, inputs, self.architecture, num_items_in_batch)
        return (loss, outputs) if return_outputs else loss

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: Any = None) -> torch.Tensor:
        """Train on a batch, and count its examples and tokens."""
        self.state.num_input_tokens_seen += int(inputs["tokens"])
        self.rows += int(inputs["examples"])
        return super().training_step(model, inputs, num_items_in_batch)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a step with the number of its examples, which then is in the saved history."""
        if "loss" in logs:
            logs, self.rows = {**logs, SEEN: self.rows}, 0
        super().log(logs, start_time)

    @torch.no_grad()
    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Compute the mean loss over all completion tokens of the held-out batches, without random numbers."""
        self.trainable.eval()
        total, tokens = 0.0, 0
        for batch in self.held_out:
            labels = batch["labels"][:, 1:] if self.architecture == Architecture.CAUSAL else batch["labels"]
            number = int(labels.ne(IGNORED).sum())
            loss = self.compute_loss(self.trainable, self._prepare_inputs(batch), num_items_in_batch=number)
            total += float(loss) * number
            tokens += number
        metrics = {f"{metric_key_prefix}_loss": total / tokens}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save a state. A full disk ends a training only with --save-every. Raises StoreError."""
        began, half = time.monotonic(), Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(half, ignore_errors=True)
            self.monitor.not_saved(first_line(error))
        else:
            self.monitor.saved(time.monotonic() - began)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_trained(self.trainable, folder / TRAINED)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_trained(self.trainable, Path(resume_from_checkpoint) / TRAINED)


def losses_of(history: Sequence[dict[str, Any]], key: str) -> list[tuple[int, float]]:
    """List (step, loss) of every entry of the Trainer's history that has the key."""
    return [(int(entry["step"]), float(entry[key])) for entry in history if key in entry]


class TrainingMonitor(TrainerCallback):
    """Watches a training: it stops it at the first loss or gradient that is not finite, keeps the best validated
    weights, stops it when they no longer improve, and reports progress.
    """

    def __init__(self, recipe: Recipe, steps: int, best: Path, report: Report, delayed: HeldSignal) -> None:
        self.recipe, self.steps, self.best, self.report, self.delayed = recipe, steps, best, report, delayed
        self.began, self.first, self.clock, self.states = 0.0, 0, SaveClock(), 0
        self.tokens = 0  # seen before this start
        self.ended = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self.began, self.first, self.tokens = time.monotonic(), state.global_step, state.num_input_tokens_seen

    def rate(self, state: TrainerState) -> float:
        """Return the tokens a second since the training began or went on."""
        return (state.num_input_tokens_seen - self.tokens) / max(1e-9, time.monotonic() - self.began)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        self.ended = state.global_step >= self.steps
        if self.ended:
            control.should_save = False  # the candidate itself is saved at the end
        elif self.delayed.number is not None:
            control.should_save = control.should_training_stop = True
        elif self.recipe.save_every is None:
            control.should_save = self.clock.is_due

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Stop at a delayed signal, before the following steps take time."""
        if not self.ended:
            self.delayed.deliver()

    def saved(self, seconds: float) -> None:
        """Record that a state was saved, and report the first one."""
        self.clock.saved(seconds)
        self.states += 1
        if self.states == 1 and self.delayed.number is None:
            self.report(f"a state was saved in {seconds:.1f} s: interrupted, the same command goes on from there")

    def not_saved(self, reason: str) -> None:
        """Report that a state could not be saved. Raises StoreError if the user or an interrupt asked for it."""
        if self.recipe.save_every is not None or self.delayed.number is not None:
            what = f"the state of its training cannot be saved ({reason})"
            raise StoreError(self.recipe.out, what, "free disk space")
        self.clock.saved(0.0)
        self.report(f"note: no state could be saved on the way ({reason}); the training goes on")

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **_: object,
    ) -> None:
        if logs and (look := look_of(logs)) is not None:
            self.report(f"step {state.global_step}/{self.steps}, {self.recipe.watch}: {look_text(look)}")
        if not logs or "loss" not in logs:
            return
        step, loss, gradient = state.global_step, float(logs["loss"]), float(logs.get("grad_norm", 0.0))
        if not (math.isfinite(loss) and math.isfinite(gradient)):
            raise diverged(self.recipe, f"the loss is {loss}, its gradient {gradient} at step {step}")
        if step % max(1, self.steps // REPORTS) == 0 or step == self.steps:
            seconds = (time.monotonic() - self.began) / max(1, step - self.first) * (self.steps - step)
            rest = f", {_time(seconds)} left" if step < self.steps else ""
            self.report(f"step {step}/{self.steps}, loss {loss:.4f}{rest}")

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module | None = None,
        **_: object,
    ) -> None:
        losses = losses_of(state.log_history, "eval_loss")
        step, loss = losses[-1]
        if not math.isfinite(loss):
            raise diverged(self.recipe, f"the validation loss is {loss} at step {step}")
        self.report(f"step {step}/{self.steps}, validation loss {loss:.4f}")
        before = [value for _, value in losses[:-1]]
        if loss < min(before, default=math.inf):
            assert model is not None  # the Trainer passes it to every callback
            save_trained(model, self.best)
        elif self.recipe.patience and len(losses) - 1 - best_of(losses) >= self.recipe.patience and step < self.steps:
            self.report(f"stopped early: no better validation loss since step {losses[best_of(losses)][0]}")
            control.should_training_stop = self.ended = True
            control.should_save = False  # so that no training goes on from here


def best_of(losses: Sequence[tuple[int, float]]) -> int:
    """Return the index of the lowest loss, the first of equal ones."""
    return min(range(len(losses)), key=lambda place: losses[place][1])


def diverged(recipe: Recipe, what: str) -> ModelError:
    """Make the error of a training that diverged."""
    return ModelError(recipe.out, f"training diverged: {what}", f"a learning rate below {recipe.rate:g}")


def optimizer_of(recipe: Recipe) -> str:
    """Return transformers' name of the optimiser, its default if the recipe names none."""
    return recipe.optimizer or str(TrainingArguments.__dataclass_fields__["optim"].default)


def optimiser_facts(recipe: Recipe) -> dict[str, Any]:
    """Describe the optimiser for training.json: its name, transformers' name, its constants, clipping (0: none)."""
    option = optimizer_of(recipe)
    name = OPTIMISERS.get(option, "AdamW")
    constants = ADAMW if name == "AdamW" else {}
    return {"name": name, "optimizer": option, **constants, "max_grad_norm": recipe.max_grad_norm}


def arguments(recipe: Recipe, steps: int, on_cpu: bool, folder: Path, validating: int | None) -> TrainingArguments:
    """Make the Trainer's settings from the recipe; every loss is logged unchanged. `validating`: steps between
    validations.
    """
    batch = 1 if recipe.group_by_length else recipe.batch_size  # an item is a whole batch then
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        train_sampling_strategy="sequential" if recipe.group_by_length else "random",
        learning_rate=recipe.rate,
        lr_scheduler_type=SCHEDULERS.get(recipe.scheduler, recipe.scheduler),
        warmup_steps=math.floor(recipe.warmup * steps),
        weight_decay=recipe.weight_decay,
        optim=optimizer_of(recipe),
        adam_beta1=ADAMW["adam_beta1"],
        adam_beta2=ADAMW["adam_beta2"],
        adam_epsilon=ADAMW["adam_epsilon"],
        max_grad_norm=recipe.max_grad_norm,
        activation_checkpointing=recipe.gradient_checkpointing,
        use_cache=recipe.method == Method.PREFIX,  # a prefix is a cache of keys and values
        seed=recipe.seed,
        data_seed=recipe.seed,
        use_cpu=on_cpu,
        bf16=recipe.dtype == "bfloat16" or recipe.method == Method.QLORA,
        dataloader_pin_memory=not on_cpu,
        remove_unused_columns=False,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="no" if validating is None else "steps",
        eval_steps=validating,
        save_strategy="no" if recipe.save_every is None else "steps",
        save_steps=recipe.save_every or 500,
        save_total_limit=1,
        report_to="none",
        run_name=Path(recipe.out).name,
        disable_tqdm=True,
    )


def _time(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
