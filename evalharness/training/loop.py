"""Train a candidate by a recipe on solved examples, with transformers' Trainer.

All files are written to a hidden folder beside `out`, which is renamed at the end, so that an unfinished candidate
never looks like a whole one. If the training is killed, the same command goes on from the last saved state. It ends
with the weights of an uninterrupted training (on a CPU).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import PrinterCallback, Trainer, set_seed

from evalharness import peak_memory
from evalharness.checkpoints.load import LoadedModel
from evalharness.checkpoints.open_model import architecture_of
from evalharness.errors import StoreError, UsageError
from evalharness.training.adapt import TrainableModel, all_finite, expected_warnings, parameter_counts
from evalharness.training.batches import batches_by_length, collate
from evalharness.training.checkpoint_keeper import CandidateMaker, CheckpointKeeper, checkpoint_facts
from evalharness.training.data import TrainingSet
from evalharness.training.encoded_set import EncodedSet, encode_set
from evalharness.training.interrupts import HeldSignal, held_back
from evalharness.training.output_lock import UnfinishedOutput, locked_output, refuse_existing
from evalharness.training.recipe import Recipe
from evalharness.training.reporters import reporters
from evalharness.training.save import TrainingCourse, course_of, save_model, training_json, write_training_json
from evalharness.training.start import StartingPoint, check_machine, make_trainable, open_weights, starting_point
from evalharness.training.states import last_saved, load_trained, resume_note, step_of
from evalharness.training.summary import form_notes
from evalharness.training.trainer import (
    Batch,
    Collator,
    CompletionTrainer,
    Report,
    TrainingMonitor,
    arguments,
    best_of,
    diverged,
)

Attach = Callable[[StartingPoint, LoadedModel, Trainer], None]
"""Attaches callbacks to the Trainer of a training, whose tokenizer is the loaded model's."""


def unwatched(start: StartingPoint, loaded: LoadedModel, trainer: Trainer) -> None:
    """Attach no callback to the trainer."""


def check(recipe: Recipe) -> None:
    """Check, before anything is read, that this machine has all that the recipe needs. Raises UsageError."""
    check_machine(recipe)
    reporters(recipe)


def train(recipe: Recipe, examples: TrainingSet, report: Report, attach: Attach = unwatched) -> Path:
    """Train, and write a candidate (weights or adapter, training.json, a tokenizer with full weights) to `recipe.out`.

    Equal recipe, examples, machine and versions give equal weights on a CPU, interrupted or not.

    Raises UsageError, DataError, ModelError or StoreError before training for anything wrong, and ModelError if the
    loss or the weights stop being finite; then `out` does not exist.
    """
    out = Path(recipe.out)
    refuse_existing(out)
    check(recipe)
    with locked_output(out) as output:
        start = starting_point(recipe)
        with _explained(recipe, output):
            delayed = _make(recipe, start, examples, output, report, attach)
    delayed.deliver(f"The candidate is complete: {out}.")  # a signal during the last step
    return out


def _make(
    recipe: Recipe,
    start: StartingPoint,
    examples: TrainingSet,
    output: UnfinishedOutput,
    report: Report,
    attach: Attach,
) -> HeldSignal:
    """Train and write the candidate. Return the signal that was delayed meanwhile."""
    began, from_start = time.monotonic(), peak_memory.reset()
    loaded = open_weights(recipe, start)
    encoded = encode_set(recipe, examples, start, loaded, report)
    set_seed(recipe.seed)
    model, recipe = make_trainable(loaded.model, recipe, start)
    maker = CandidateMaker(
        recipe=recipe,
        start=start,
        loaded=loaded,
        model=model,
        examples=examples,
        encoded=encoded,
        began=began,
        from_start=from_start,
        use_cache=model.config.use_cache,
    )
    _announce(maker, report)
    _take_up(output, recipe, start, examples, report)
    with held_back() as delayed:
        course = _fit(maker, output, delayed, report, attach)
    facts = training_json(recipe, start, model, examples, course, output.out) | checkpoint_facts(recipe, output)
    save_model(recipe, start, loaded, model, output.candidate)
    write_training_json(facts, output.candidate, time.monotonic() - began, from_start)
    output.finish()
    return delayed


@contextmanager
def _explained(recipe: Recipe, output: UnfinishedOutput) -> Iterator[None]:
    """Turn a lack of memory into UsageError and one of disk space into StoreError; add to an interrupt how to go on."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise UsageError(
            "--batch-size",
            f"{recipe.batch_size} examples do not fit the memory of {recipe.device}",
            "a smaller one with --gradient-accumulation, or --gradient-checkpointing",
        ) from None
    except OSError as error:
        fix = "free disk space, or name another folder with --out"
        raise StoreError(output.out, f"cannot be written ({error.strerror or error})", fix) from None
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(resume_note(output.states))
        raise


def _announce(maker: CandidateMaker, report: Report) -> None:
    recipe, encoded, (trained, whole) = maker.recipe, maker.encoded, parameter_counts(maker.model)
    packed = f" in {len(encoded.rows)} packs" if recipe.packing else ""
    counts = f"{trained:,} of {whole:,} parameters ({trained / whole:.2%})"
    for line in form_notes({"sources": maker.examples.sources, "validation": maker.examples.validation_source}):
        report(f"read: {line}")
    report(f"{recipe.method}: {counts}, {encoded.examples} examples{packed}, learning rate {recipe.rate:g}")
    if recipe.keep_checkpoints is not None:
        report(maker.announcement(recipe.steps_for(len(encoded.rows))))


def _take_up(
    output: UnfinishedOutput, recipe: Recipe, start: StartingPoint, examples: TrainingSet, report: Report
) -> None:
    """Prepare the output folder; report if it holds states of another training, which are removed."""
    # these fields do not change the weights, or their effect cannot be known here
    free = {"out", "save_every", "device", "report_to"}
    record = {
        "recipe": {key: value for key, value in recipe.to_json().items() if key not in free},
        "under": start.weights.fingerprint,
        "after": start.after.fingerprint if start.after is not None else None,
        "data": [examples.digest, examples.validation_source.get("digest")],
    }
    begun = output.has_states
    if not output.take_up(record) and begun:
        report("note: the unfinished training here was of another recipe, base or data: this one begins anew")


def _fit(
    maker: CandidateMaker, output: UnfinishedOutput, delayed: HeldSignal, report: Report, attach: Attach
) -> TrainingCourse:
    recipe, model, encoded = maker.recipe, maker.model, maker.encoded
    steps = recipe.steps_for(len(encoded.rows))
    every = (recipe.eval_every or recipe.steps_of_epoch(len(encoded.rows))) if encoded.held_out else None
    drawn_from, collator = _batching(recipe, model, encoded, steps)
    monitor = TrainingMonitor(recipe, steps, output.best, report, delayed)
    with expected_warnings():
        trainer = CompletionTrainer(
            model=model,
            args=arguments(recipe, steps, model.device.type == "cpu", output.states, every),
            drawn_from=drawn_from,
            collator=collator,
            held_out=_held_out(recipe, model, encoded),
            monitor=monitor,
        )
        trainer.remove_callback(PrinterCallback)
        for reporter in reporters(recipe):
            trainer.add_callback(reporter)
        if recipe.keep_checkpoints is not None:
            trainer.add_callback(CheckpointKeeper(maker, output, steps))
        attach(maker.start, maker.loaded, trainer)
        saved = last_saved(output.states)
        if saved:
            report(f"going on from step {step_of(saved)}")
        trainer.train(resume_from_checkpoint=saved)
    model.config.use_cache = maker.use_cache  # the Trainer switches it off, and this configuration is saved
    course = course_of(trainer.state, encoded, steps, monitor.rate(trainer.state))
    if course.validated:
        load_trained(model, output.best)
        report(f"kept: the weights of step {course.validated[best_of(course.validated)][0]}")
    if not all_finite(model):
        raise diverged(recipe, "the last step left weights that are no finite numbers")
    return course


def _batching(
    recipe: Recipe, model: TrainableModel, encoded: EncodedSet, steps: int
) -> tuple[Sequence[object], Collator]:
    """Return the Trainer's training set (rows, or batches of rows), and its collator."""
    architecture = architecture_of(model)
    if recipe.group_by_length:
        number = steps * recipe.gradient_accumulation
        batches = batches_by_length(encoded.rows, recipe.batch_size, number, recipe.seed)
        return batches, lambda items: collate(items[0], encoded.pad, architecture)
    return encoded.rows, lambda rows: collate(rows, encoded.pad, architecture, recipe.packing)


def _held_out(recipe: Recipe, model: TrainableModel, encoded: EncodedSet) -> list[Batch]:
    rows, size = encoded.held_out, recipe.batch_size
    return [collate(rows[at : at + size], encoded.pad, architecture_of(model)) for at in range(0, len(rows), size)]
