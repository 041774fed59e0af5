"""Steps of anyone's Trainer to what the model has forgotten by then, in the trainer's own log: evaluated in memory, no
checkpoint on disk.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from evalharness import results
from evalharness.analysis.analyse import analyse
from evalharness.checkpoints.files import CONFIG, read_json
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import SHAPE_KEYS
from evalharness.engines.base import Engine, ModelTokenizers
from evalharness.engines.hf.engine import FACTORY
from evalharness.errors import ModelError, StoreError, UsageError, did_you_mean
from evalharness.experiments.live_model import BASE, MODEL, NOWHERE, LiveModel
from evalharness.records.comparison import Level
from evalharness.records.job import Job
from evalharness.records.job_options import JobChanges, QuestionOptions, changed, make_job
from evalharness.records.measurements import TaskOutcome
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Failure, PreparedTask, Response
from evalharness.records.results import Results
from evalharness.records.tokenizers import ChatRenderer, TokenCounter
from evalharness.run.collect import AnswerSource, blocks, collect
from evalharness.run.evaluation import leave
from evalharness.run.measure import measure
from evalharness.run.measured_run import RunState, compare_plan, gather
from evalharness.run.plan import RunPlan, plan_without_candidates
from evalharness.run.prompts import Prompts, make_prompts
from evalharness.run.reference_models import WORDS
from evalharness.stats.enums import Verdict
from evalharness.store import Store

PREFIX = "forgetting"
TYPE = "model_type"


class ForgettingCallback(TrainerCallback):
    """Evaluates the model that is being trained on a suite, every `every` steps and at the end, and logs what it has
    forgotten.

    `suite`: a suite's name, or names of tasks. `base`: where the base lies; its answers are then kept in the store and
    computed once for all trainings. Without it the model answers for itself before the first step, adapter off.
    `limit`: examples a task; `target`: the task that is being learned, asked as well, which does not count as
    forgotten. `out`: a folder that keeps results.json of every look.
    `options`: those of `records.job_options.QuestionOptions`.

    `alpha` is the chance of a false "forgotten" of any unit at any look of the whole training: every look is given
    alpha / looks (Bonferroni), within which Holm's correction holds over the units. `stop_when_forgotten` ends the
    training at the first one.

    The training is what it would be without the callback, bit by bit: modes, buffers and random numbers are put back.
    Logged, in `state.log_history`: forgetting/<unit>/difference (above 0: better than the base), forgetting/suite,
    forgetting/forgotten (how many units), forgetting/unanswered. A callback cannot reach a trainer's reporters
    (TensorBoard, W&B, …): `attach(trainer)` adds it and lets it log through the trainer. Fully sharded and DeepSpeed
    training are refused; under DDP every process evaluates alike.
    """

    def __init__(
        self, suite: str | Sequence[str], *, every: int, base: str | Path | None = None, stop_when_forgotten: bool = False,
        tokenizer: Any = None, out: str | Path | None = None, store: str | Path | None = None, batch_size: int = 16,
        **options: Unpack[QuestionOptions],
    ) -> None:  # fmt: skip
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise UsageError("every", f"{every!r}", "a whole number of steps above zero would be right")
        _check_options(options)
        self.every, self.stop, self.tokenizer, self.batch_size = every, stop_when_forgotten, tokenizer, batch_size
        self.out = None if out is None else Path(out)
        name, tasks = (suite, ()) if isinstance(suite, str) else (None, suite)
        self.job = make_job((), name, tasks=tasks, base=base, store=store, **options)
        self.looks: list[tuple[int, Results]] = []  # (step, what was found)
        self._log: Callable[[dict[str, float]], None] | None = None
        self._question: _Question | None = None

    def attach(self, trainer: Trainer) -> ForgettingCallback:
        """Adds itself to the trainer, and logs by `trainer.log`, which reaches its reporters too."""
        trainer.add_callback(self)
        self._log = trainer.log
        return self

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """The base answers. Raises EvalHarnessError for anything that is wrong, before the first step."""
        if args.deepspeed or args.fsdp:
            raise UsageError(
                "ForgettingCallback",
                "the model's weights are spread over processes",
                "train without FSDP and DeepSpeed",
            )
        if self.out is not None:
            _check_writable(self.out)
        living = self._living(given)
        if self.job.models.base is None and state.global_step and not living.adapter:
            what = f"the training goes on at step {state.global_step}, where the model is no longer the base"
            raise UsageError("ForgettingCallback", what, "say where the base lies with base=")
        looks = math.ceil(state.max_steps / self.every)
        job = changed(
            self.job,
            alpha=self.job.statistics.alpha / looks,
            device=str(living.plain.device),  # the base answers as the model is trained
            dtype=living.dtype,
            batch_size=self.batch_size,
        )
        self.looks = []
        self._question = _asked(job, living)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> TrainerControl:
        if state.global_step % self.every == 0 or state.global_step >= state.max_steps:
            self._look(state, control, given)
        return control

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """A look at the end where something else ended the training early."""
        if state.global_step and (not self.looks or self.looks[-1][0] != state.global_step):
            self._look(state, control, given)

    def _look(self, state: TrainerState, control: TrainerControl, given: Mapping[str, Any]) -> None:
        assert self._question is not None, "on_train_begin comes first"
        found = self._question.look(
            self._living(given), None if self.out is None else self.out / f"step-{state.global_step}"
        )
        self.looks.append((state.global_step, found))
        logs = logs_of(found)
        if self._log is not None:
            self._log(logs)
        else:
            epoch = {} if state.epoch is None else {"epoch": state.epoch}
            state.log_history.append({**logs, **epoch, "step": state.global_step})
        if self.stop and logs[f"{PREFIX}/forgotten"]:
            control.should_training_stop = True

    def _living(self, given: Mapping[str, Any]) -> LiveModel:
        tokenizer = self.tokenizer or given.get("processing_class")
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # of a processor of several kinds of input
        if tokenizer is None:
            raise UsageError(
                "ForgettingCallback",
                "there is no tokenizer",
                "give it to the Trainer (processing_class=) or here (tokenizer=)",
            )
        return LiveModel(given["model"], tokenizer)


def logs_of(found: Results) -> dict[str, float]:
    """What is logged of one look. Differences are by each unit's deciding metric, the suite's in units of skill."""
    units = [c for c in found.comparisons if c.unit and c.level != Level.SUITE]
    logs = {f"{PREFIX}/{c.task}/difference": c.difference.value for c in units}
    logs |= {f"{PREFIX}/suite": c.difference.value for c in found.comparisons if c.level == Level.SUITE and c.primary}
    target = found.models[1].target_task
    logs[f"{PREFIX}/forgotten"] = float(sum(c.verdict == Verdict.FORGOTTEN and c.task != target for c in units))
    return {**logs, f"{PREFIX}/unanswered": float(len(found.errors))}


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked at every look, and what the base answered."""

    job: Job
    run_plan: RunPlan
    prompts: Prompts
    base: tuple[TaskOutcome, ...]

    def look(self, living: LiveModel, out: Path | None) -> Results:
        """The model as it is now against the base."""
        (candidate,) = self.run_plan.candidates
        with living.answering(candidate, self.job.engine) as engine:
            answered = _measured(engine, self.prompts.by_model[MODEL], MODEL)
            info = engine.info
        base, by_model = self.run_plan.base.name, self.prompts.by_model
        outcomes = {base: self.base, MODEL: answered}
        state = RunState(self.run_plan, compare_plan(self.job, self.run_plan, by_model[base]), self.prompts, outcomes)
        run = gather(self.job, state, info)
        if out is None:
            return analyse(run)
        results.open_folder(out)
        found = leave(changed(self.job, out=out), state, run)
        for model, of_model in outcomes.items():
            for task, outcome in zip(by_model[model], of_model, strict=True):
                results.write_samples(out, task.task.name, model, outcome.samples)
        results.write_results(out, found)
        return found


@dataclass(frozen=True, slots=True)
class _Tongues:
    """How the base on disk and the living model are spoken to."""

    living: LiveModel

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter:
        return self._of(checkpoint).token_counter(checkpoint)

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        return self._of(checkpoint).chat_renderer(checkpoint)

    def _of(self, checkpoint: Checkpoint) -> ModelTokenizers:
        return self.living if checkpoint.path == NOWHERE else FACTORY


def _asked(job: Job, living: LiveModel) -> _Question:
    """Tasks, rows and prompts checked, and the base's answers."""
    run_plan = _contest(job, living)
    prompts = make_prompts(job, run_plan, _Tongues(living))
    asked = prompts.by_model[run_plan.base.name]
    compare_plan(job, run_plan, asked)
    assert isinstance(run_plan.base, Checkpoint)
    if job.models.base is None:
        with living.answering(run_plan.base, job.engine) as engine:
            return _Question(job, run_plan, prompts, _measured(engine, asked, run_plan.base.name))
    return _Question(job, run_plan, prompts, _from_disk(job, run_plan.base, asked))


def _contest(job: Job, living: LiveModel) -> RunPlan:
    base = living.checkpoint(BASE) if job.models.base is None else _base(job.models.base, living)
    return replace(plan_without_candidates(job, base), candidates=(living.checkpoint(MODEL, job.models.target),))


def _base(place: str, living: LiveModel) -> Checkpoint:
    """The base on disk. Raises ModelError where the model in training cannot have come from it."""
    base = recognise(place, role="base")
    if base.adapter:
        raise ModelError(base.path, "is an adapter, not a base", "base= takes the full weights that it stands on")
    if base.architecture != living.architecture:
        what = f"is {WORDS[base.architecture]}, the model in training {WORDS[living.architecture]}: not comparable"
        raise ModelError(base.path, what, "give the base that it was made from, or leave base= out")
    own, recorded = living.plain.config.to_dict(), read_json(base.path / CONFIG)
    keys = (
        SHAPE_KEYS if living.adapter else (TYPE,)
    )  # weights may grow while they are trained; an adapter means nothing on others
    other = [
        f"{key} {recorded[key]}, not {own[key]}"
        for key in keys
        if key in own and key in recorded and own[key] != recorded[key]
    ]
    if other:
        raise ModelError(
            base.path, f"is no base of the model in training: {', '.join(other)}", "give its own, or leave base= out"
        )
    return replace(base, name=BASE)


def _check_options(options: QuestionOptions) -> None:
    """Raises UsageError for an option that is unknown, has no effect here, or is out of range."""
    for name in options:
        if name not in QuestionOptions.__annotations__:
            known = name in JobChanges.__annotations__
            what = f"the option {name!r} has no effect in a training" if known else f"unknown option {name!r}"
            fix = "leave it out" if known else did_you_mean(name, QuestionOptions.__annotations__)
            raise UsageError("ForgettingCallback", what, fix)
    named = {f"margins {name}": margin for name, margin in (options.get("margins") or {}).items()}
    for name, number in {"margin": options.get("margin"), **named}.items():
        if number is not None and not (isinstance(number, int | float) and 0 <= number < math.inf):
            raise UsageError(name, f"{number!r} is not a margin", "a number of at least 0 would be right")
    if not 0 < (alpha := options.get("alpha", 0.05)) <= 0.5:
        raise UsageError("alpha", f"{alpha!r}", "a number above 0, at most 0.5, would be right")


def _check_writable(out: Path) -> None:
    """Raises StoreError; takes nothing away."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise StoreError(
            out, f"cannot write here ({error.strerror})", "name a folder that can be written with out="
        ) from error


def _measured(engine: Engine, prepared: Sequence[PreparedTask], name: str) -> tuple[TaskOutcome, ...]:
    found = []
    for task in prepared:
        answers: dict[str, Response | Failure] = {}
        for block in blocks(task.requests):
            answers |= {answer.request_id: answer for answer in engine.answer(list(block.values()))}
        found.append(measure(task, answers, name))
    return tuple(found)


def _from_disk(job: Job, base: Checkpoint, prepared: Sequence[PreparedTask]) -> tuple[TaskOutcome, ...]:
    """The base's answers from the store, or computed for it."""
    opened: list[Engine] = []

    def engine() -> Engine:
        if not opened:
            opened.append(FACTORY.open(base, job.engine))
        return opened[0]

    info = FACTORY.describe(base, job.engine)
    try:
        with Store(job.output.store) as store:
            source = AnswerSource(base.fingerprint, info.fingerprint, store, engine)
            return tuple(measure(task, collect(task.requests, source), base.name) for task in prepared)
    finally:
        for each in opened:
            each.close()
