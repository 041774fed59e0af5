"""Compare a model in training with its base, which answers once; the model answers at every look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from evalharness import results
from evalharness.analysis.analyse import analyse
from evalharness.checkpoints.files import CONFIG, read_json
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import SHAPE_KEYS
from evalharness.engines.base import Engine, ModelTokenizers
from evalharness.engines.hf.factory import FACTORY
from evalharness.errors import ModelError
from evalharness.experiments.live_model import BASE, MODEL, NOWHERE, LiveModel
from evalharness.records.job import Job
from evalharness.records.job_options import job_with
from evalharness.records.measurements import TaskOutcome
from evalharness.records.models import Checkpoint
from evalharness.records.requests import Failure, PreparedTask, Request, Response
from evalharness.records.results import Results
from evalharness.records.tokenizers import ChatRenderer, TokenCounter
from evalharness.run.collect import Answers, ask, blocks, collect
from evalharness.run.drift import Ask, DriftRecorder
from evalharness.run.drift_sources import drift_sources, neutral_texts
from evalharness.run.evaluation import write_measured
from evalharness.run.measure import measure
from evalharness.run.measured_run import RunState, compare_plan, gather
from evalharness.run.plan import RunPlan, plan_without_candidates
from evalharness.run.prompts import Prompts, make_prompts
from evalharness.run.reference_models import WORDS
from evalharness.run.session import answer_source

MODEL_TYPE = "model_type"  # the key of a config.json


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveComparison:
    """The comparison of a model in training with its base, without the model's answers.

    `job`, `run_plan`: the questions. `prompts`: those of every look. `base`: the base's measurements. `drift`: the
    recorder of drift (the distance of predictions to the base's), None if the job does not measure it.
    """

    job: Job
    run_plan: RunPlan
    prompts: Prompts
    base: tuple[TaskOutcome, ...]
    drift: DriftRecorder | None = None  # after it measured the base

    def look(self, model: LiveModel, out: Path | None) -> Results:
        """Compare the model as it is now with the base, and write the results into `out` unless it is None."""
        (candidate,) = self.run_plan.candidates
        base, by_model = self.run_plan.base.name, self.prompts.by_model
        with model.answering(candidate, self.job.engine) as engine:
            outcomes = {base: self.base, MODEL: _answered(engine, by_model[MODEL], MODEL)}
            info = engine.info
            if self.drift is not None:
                self.drift.drifts.clear()
                self.drift.follow_model(candidate, partial(_ask, engine), model.token_counter(candidate))
        state = RunState(self.run_plan, compare_plan(self.job, self.run_plan, by_model[base]), self.prompts, outcomes)
        run = gather(self.job, state, info)
        run = run if self.drift is None else self.drift.with_drift(run)
        if out is None:
            return analyse(run)
        results.open_folder(out)
        look = write_measured(job_with(self.job, out=out), state, run)
        for name, of_model in outcomes.items():
            for task, outcome in zip(by_model[name], of_model, strict=True):
                results.write_samples(out, task.task.name, name, outcome.samples)
        results.write_results(out, look)
        return look


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokenizers:
    """The tokenizers of the base on disk and of the model in training."""

    model: LiveModel

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter | None:
        return self._of(checkpoint).token_counter(checkpoint)

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        return self._of(checkpoint).chat_renderer(checkpoint)

    def _of(self, checkpoint: Checkpoint) -> ModelTokenizers:
        return self.model if checkpoint.path == NOWHERE else FACTORY


def start_comparison(job: Job, model: LiveModel) -> LiveComparison:
    """Check the job's tasks, rows and prompts, and have the base answer. Raises EvalHarnessError."""
    base = model.checkpoint(BASE) if job.models.base is None else _base(job.models.base, model)
    run_plan = replace(plan_without_candidates(job, base), candidates=(model.checkpoint(MODEL, job.models.target),))
    prompts = make_prompts(job, run_plan, _Tokenizers(model=model))
    prepared = prompts.by_model[BASE]
    compare_plan(job, run_plan, prepared)
    drift = _recorder(job, run_plan, prompts, model)
    with _open_base(job, base, model) as ask_base:
        outcomes = tuple(measure(task, ask_base(task.requests), BASE) for task in prepared)
        if drift is not None:
            drift.follow_base(ask_base, ask_base(drift.sources.generative))
            drift.count = _Tokenizers(model=model).token_counter(base)
    return LiveComparison(job=job, run_plan=run_plan, prompts=prompts, base=outcomes, drift=drift)


@contextmanager
def _open_base(job: Job, base: Checkpoint, model: LiveModel) -> Iterator[Ask]:
    """Open the base: the model with its adapter off, or a checkpoint on disk, whose answers are stored."""
    if job.models.base is None:
        with model.answering(base, job.engine) as engine:
            yield partial(_ask, engine)
    else:
        with answer_source(base, FACTORY, job) as source:
            yield lambda requests: collect(requests, source)


def _recorder(job: Job, run_plan: RunPlan, prompts: Prompts, model: LiveModel) -> DriftRecorder | None:
    """Make the recorder of drift at every look, on the few texts of `--drift-only`; None if the job does not measure
    drift.
    """
    if not (texts := neutral_texts(job, run_plan)):
        return None
    few = job_with(job, drift_only=True)
    return DriftRecorder(few, run_plan, drift_sources(few, run_plan, texts, prompts, _Tokenizers(model=model)))


def _base(place: str, model: LiveModel) -> Checkpoint:
    """Recognise the base on disk. Raises ModelError if the model in training cannot have come from it."""
    base = recognise(place, role="base")
    if base.adapter:
        raise ModelError(base.path, "is an adapter, not a base", "base= takes the full weights that it stands on")
    if base.architecture != model.architecture:
        what = f"is {WORDS[base.architecture]}, the model in training {WORDS[model.architecture]}: not comparable"
        raise ModelError(base.path, what, "give the base that it was made from, or leave base= out")
    own, recorded = model.plain.config.to_dict(), read_json(base.path / CONFIG)
    # full weights may be resized in training, but an adapter needs the base's very shapes
    keys = [key for key in (SHAPE_KEYS if model.adapter else (MODEL_TYPE,)) if key in own and key in recorded]
    if differing := [f"{key} {recorded[key]}, not {own[key]}" for key in keys if own[key] != recorded[key]]:
        what = f"is no base of the model in training: {', '.join(differing)}"
        raise ModelError(base.path, what, "give its own, or leave base= out")
    return replace(base, name=BASE)


def _answered(engine: Engine, prepared: Sequence[PreparedTask], model: str) -> tuple[TaskOutcome, ...]:
    """Answer and measure the tasks without a store, which does not hold what changes with every step."""
    return tuple(measure(task, _ask(engine, task.requests), model) for task in prepared)


def _ask(engine: Engine, requests: Sequence[Request]) -> Answers:
    answers: dict[str, Response | Failure] = {}
    for block in blocks(requests):
        answers |= ask(engine, block)
    return answers
