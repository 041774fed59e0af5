"""Log what a model in training has forgotten, in any transformers Trainer.

The model is evaluated in memory, without a checkpoint on disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from evalharness.analysis.drift_forecast import divergences
from evalharness.errors import UsageError, did_you_mean
from evalharness.experiments.live_comparison import LiveComparison, start_comparison
from evalharness.experiments.live_model import LiveModel
from evalharness.records.comparison import Level
from evalharness.records.job_options import HINTS, JobChanges, QuestionOptions, job_with, make_job
from evalharness.records.option_types import check_options
from evalharness.records.results import Results
from evalharness.run.checks import check_folder
from evalharness.stats.enums import Verdict
from evalharness.training.looks import PREFIX

NAME = "ForgettingCallback"


class ForgettingCallback(TrainerCallback):
    """A callback for a Trainer that evaluates the model in training on a suite, every `every` steps and at the end, and
    logs what it has forgotten (docs/sweep.md).

    `suite`: a suite's name, or names of tasks. `base`: the path of the base; its answers are then stored and computed
    once for all trainings. Without it the model itself answers before the first step, with its adapter off. `limit`:
    examples a task. `target`: the task that is being learned; it is evaluated, too, and does not count as forgotten.
    `out`: a folder for results.json of every look (evaluation during the training). `drift`: measure at every look how
    far the model's predictions are from the base's, too, and forecast from that the result of a whole suite
    (docs/drift.md). `options`: those of `records.job_options.QuestionOptions`.

    `alpha` is the chance of a false "forgotten" of any unit (task or group that is judged) at any look of the whole
    training: every look gets alpha / looks (Bonferroni), within which Holm's correction holds over the units.
    `stop_when_forgotten` ends the training at the first unit that is forgotten.

    The training is the same as without the callback, bit by bit: modes, buffers and random states are restored. The
    callback logs, in `state.log_history`: forgetting/<unit>/difference (above 0: better than the base),
    forgetting/suite (in margins), forgetting/forgotten (how many units), forgetting/unanswered; with `drift`
    forgetting/kl_<text> (neutral, outputs, inputs) and forgetting/forecast, …_low, …_high; a value that was not
    measured is left out.

    A callback cannot reach a trainer's reporters (TensorBoard, W&B, …): `attach(trainer)` adds it and lets it log
    through the trainer. Fully sharded and DeepSpeed training are refused; under DDP every process evaluates the same.
    """

    def __init__(
        self,
        suite: str | Sequence[str],
        *,
        every: int,
        base: str | Path | None = None,
        stop_when_forgotten: bool = False,
        tokenizer: Any = None,
        out: str | Path | None = None,
        store: str | Path | None = None,
        batch_size: int = 16,
        drift: bool = False,
        **options: Unpack[QuestionOptions],
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise UsageError("every", f"{every!r}", "a whole number of steps above zero would be right")
        _check_names(options)
        self.every, self.stop, self.tokenizer, self.batch_size = every, stop_when_forgotten, tokenizer, batch_size
        check_options({**options, "out": out, "batch_size": batch_size, "drift": drift}, HINTS)
        _check_numbers(options)
        self.out = None if out is None else Path(out)
        name, tasks = (suite, ()) if isinstance(suite, str) else (None, suite)
        self.job = make_job((), name, tasks=tasks, base=base, store=store, drift=drift, **options)
        self.looks: list[tuple[int, Results]] = []  # (step, results at it)
        self._log: Callable[[dict[str, float]], None] | None = None
        self._comparison: LiveComparison | None = None

    def attach(self, trainer: Trainer) -> ForgettingCallback:
        """Add this callback to the trainer, and log through `trainer.log`, which reaches its reporters, too."""
        trainer.add_callback(self)
        self._log = trainer.log
        return self

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **inputs: Any
    ) -> None:
        """Have the base answer the suite. Raises EvalHarnessError for wrong options before the first step."""
        if args.deepspeed or args.fsdp:
            raise UsageError(NAME, "the model's weights are spread over processes", "train without FSDP and DeepSpeed")
        if self.out is not None:
            check_folder(self.out, "name a folder that can be written with out=")
        model = self._model(inputs)
        if self.job.models.base is None and state.global_step and not model.adapter:
            what = f"the training goes on at step {state.global_step}, where the model is no longer the base"
            raise UsageError(NAME, what, "name the base's path with base=")
        looks = math.ceil(state.max_steps / self.every)
        job = job_with(
            self.job,
            alpha=self.job.statistics.alpha / looks,
            device=str(model.plain.device),  # the base must answer on the device of the training
            dtype=model.dtype,
            batch_size=self.batch_size,
        )
        self.looks = []
        self._comparison = start_comparison(job, model)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **inputs: Any
    ) -> TrainerControl:
        if state.global_step % self.every == 0 or state.global_step >= state.max_steps:
            self._look(state, control, inputs)
        return control

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **inputs: Any
    ) -> None:
        """Look once more if something else ended the training early."""
        if state.global_step and (not self.looks or self.looks[-1][0] != state.global_step):
            self._look(state, control, inputs)

    def _look(self, state: TrainerState, control: TrainerControl, inputs: Mapping[str, Any]) -> None:
        assert self._comparison is not None, "on_train_begin comes first"
        out = None if self.out is None else self.out / f"step-{state.global_step}"
        look = self._comparison.look(self._model(inputs), out)
        self.looks.append((state.global_step, look))
        logs = logs_of(look)
        if self._log is not None:
            due = control.should_log
            self._log(logs)
            control.should_log = due  # any log resets it, and the step's loss is still to be logged
        else:
            epoch = {} if state.epoch is None else {"epoch": state.epoch}
            state.log_history.append({**logs, **epoch, "step": state.global_step})
        if self.stop and logs[f"{PREFIX}/forgotten"]:
            control.should_training_stop = True

    def _model(self, inputs: Mapping[str, Any]) -> LiveModel:
        tokenizer = self.tokenizer or inputs.get("processing_class")
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # a multimodal processor has one inside
        if tokenizer is None:
            fix = "give it to the Trainer (processing_class=) or here (tokenizer=)"
            raise UsageError(NAME, "there is no tokenizer", fix)
        return LiveModel(model=inputs["model"], tokenizer=tokenizer)


def logs_of(look: Results) -> dict[str, float]:
    """Summarise one look for the log, without values that were not measured.

    Differences are by the metric that decides each gate unit (a task or group that the gate judges). The suite's
    difference is in margins: the mean over its gate units of the difference divided by the unit's margin.
    """
    units = [c for c in look.comparisons if c.is_gate_unit]
    suites = [c for c in look.comparisons if c.level == Level.SUITE and c.primary]
    rows = [*((f"{c.task}/difference", c) for c in units), *(("suite", c) for c in suites)]
    logs = {f"{PREFIX}/{name}": c.difference.value for name, c in rows if c.difference is not None}
    logs |= _drift_logs(look)
    target = look.models[1].target_task
    logs[f"{PREFIX}/forgotten"] = float(sum(c.verdict == Verdict.FORGOTTEN and c.task != target for c in units))
    return {**logs, f"{PREFIX}/unanswered": float(len(look.errors))}


def _drift_logs(look: Results) -> dict[str, float]:
    """Summarise the drift of the model in training, and its forecast in margins."""
    logs = {f"{PREFIX}/kl_{kind}": kl for kind, kl in divergences(look.drift, look.models[1]).items()}
    for forecast in look.drift_forecasts:
        if (change := forecast.change) is not None:
            values = {"forecast": change.value, "forecast_low": change.low, "forecast_high": change.high}
            logs |= {f"{PREFIX}/{name}": value for name, value in values.items() if value is not None}
    return logs


def _check_names(options: QuestionOptions) -> None:
    """Raise UsageError for an option that is unknown or has no effect here."""
    for name in options:
        if name not in QuestionOptions.__annotations__:
            is_other = name in JobChanges.__annotations__
            what = f"the option {name!r} has no effect in a training" if is_other else f"unknown option {name!r}"
            fix = "leave it out" if is_other else did_you_mean(name, QuestionOptions.__annotations__)
            raise UsageError(NAME, what, fix)


def _check_numbers(options: QuestionOptions) -> None:
    """Raise UsageError for a margin or an error rate out of range."""
    margins = {f"margins {name}": margin for name, margin in (options.get("margins") or {}).items()}
    for name, number in {"margin": options.get("margin"), **margins}.items():
        if number is not None and not 0 < number < math.inf:
            raise UsageError(name, f"{number!r} is not a margin", "a number above 0 would be right")
    if not 0 < (alpha := options.get("alpha", 0.05)) <= 0.5:
        raise UsageError("alpha", f"{alpha!r}", "a number above 0, at most 0.5, would be right")
