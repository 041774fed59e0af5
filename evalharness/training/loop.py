"""Train a candidate by a recipe on solved examples, through transformers' Trainer.

All is written to a hidden folder beside `out` and renamed at the end: nothing half-made ever looks like a candidate. A
training that was killed goes on from the last state it saved when it is given again, and ends with the weights of an
uninterrupted one (on a CPU).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PrinterCallback, set_seed

from evalharness.checkpoints.load import LoadedModel
from evalharness.checkpoints.open_model import architecture_of, embedding_shape
from evalharness.engines.hf.chat import template_of
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.errors import DataError, StoreError, UsageError
from evalharness.records.models import Architecture
from evalharness.training.adapt import TrainableModel, expected_warnings, finite, sizes
from evalharness.training.batches import Pack, batches_by_length, collate, keeps_packs_apart, pack
from evalharness.training.data import Examples, TrainingSet
from evalharness.training.encode import EncodedExample, Encoder
from evalharness.training.interrupts import HeldSignal, held_back
from evalharness.training.output_lock import UnfinishedOutput, locked_output, refuse_existing
from evalharness.training.recipe import Recipe
from evalharness.training.save import TrainingCourse, save_model, training_json, write_training_json
from evalharness.training.start import (
    StartingPoint,
    check_machine,
    open_weights,
    starting_point,
    token_limits,
    trainable,
)
from evalharness.training.states import kept, last_saved, load_trained, step_of
from evalharness.training.summary import cut_notes
from evalharness.training.trainer import (
    SEEN,
    Batch,
    Collator,
    CompletionTrainer,
    Report,
    TrainingMonitor,
    arguments,
    best_of,
    diverged,
    losses_of,
)

PACK = 1024  # tokens of a pack where neither the window nor --max-length is smaller, and no example is longer


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSet:
    """The examples as the model sees them, in rows; `held_out`: those to validate on; `truncated`: how many lost their
    beginning; `left_out`: how many conversations did not fit; `pad`: the token of gaps.
    """

    rows: tuple[Pack, ...]
    held_out: tuple[Pack, ...]
    examples: int
    truncated: int
    left_out: int
    pad: int


def train(recipe: Recipe, examples: TrainingSet, report: Report) -> Path:
    """Train, and leave a candidate (weights or adapter, training.json, a tokenizer with full weights) at `recipe.out`.

    Equal recipe, examples, machine and versions give equal weights on a CPU, interrupted or not. Raises UsageError,
    DataError, ModelError or StoreError before training for anything wrong, ModelError where the loss or the weights
    stop being finite; then `out` does not exist.
    """
    out = Path(recipe.out)
    refuse_existing(out)
    check_machine(recipe)
    with locked_output(out) as output:
        start, began = starting_point(recipe), time.monotonic()
        try:
            loaded = open_weights(recipe, start)
            encoded = _encode(recipe, examples, start, loaded, report)
            set_seed(recipe.seed)
            model, recipe = trainable(loaded.model, recipe, start)
            _announce(recipe, model, encoded, report)
            _take_up(output, recipe, start, examples, report)
            with held_back() as held:
                course = _fit(recipe, model, encoded, output, held, report)
            facts = training_json(recipe, start, model, examples, course)
            save_model(recipe, start, loaded, model, output.candidate)
            write_training_json(facts, output.candidate, time.monotonic() - began)
            output.finish()
        except torch.OutOfMemoryError:
            raise UsageError(
                "--batch-size",
                f"{recipe.batch_size} examples do not fit the memory of {recipe.device}",
                "a smaller one with --gradient-accumulation, or --gradient-checkpointing",
            ) from None
        except OSError as error:
            raise StoreError(
                out, f"cannot be written ({error.strerror or error})", "make room, or name another folder with --out"
            ) from None
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(kept(output.states))
            raise
    held.deliver(f"The candidate is complete: {out}.")  # where it came during the last step
    return out


def _encode(
    recipe: Recipe, examples: TrainingSet, start: StartingPoint, loaded: LoadedModel, report: Report
) -> EncodedSet:
    if not examples.examples:
        raise DataError(recipe.learned, "no training examples", "give a task whose training split has rows")
    given, written = token_limits(recipe, start)
    if loaded.tokenizer.eos_token_id is None:
        report("note: the tokenizer has no end token, so the candidate does not learn where an answer ends")
    chat = template_of(start.weights.path, loaded.tokenizer)
    encoder = Encoder(
        TokenizerAdapter(loaded.tokenizer, loaded.architecture),
        loaded.architecture,
        given,
        written,
        chat,
        place=examples.place_of,
    )
    encoded, left_out = _encoded(encoder, examples.examples)
    held_out, unmeasured = _encoded(encoder, examples.validation)
    if not encoded or (examples.validation and not held_out):
        what = f"none of {len(examples.examples if not encoded else examples.validation)} conversations fits"
        raise DataError(recipe.learned, f"{what} {given} tokens", "shorter ones, or a larger window or --max-length")
    truncated = sum(example.cut > 0 for example in (*encoded, *held_out))
    for line in cut_notes(truncated, left_out + unmeasured):
        report(f"note: {line}")
    return EncodedSet(
        rows=tuple(_packed(recipe, encoded, given, loaded) if recipe.packing else ((each,) for each in encoded)),
        held_out=tuple((each,) for each in held_out),
        examples=len(encoded),
        truncated=truncated,
        left_out=left_out + unmeasured,
        pad=encoder.texts.pad,
    )


def _encoded(encoder: Encoder, examples: Examples) -> tuple[list[EncodedExample], int]:
    """Encode all that fit; also return how many do not."""
    rows = [encoded for example in examples for encoded in encoder.encode(example)]
    fitting = [row for row in rows if row is not None]
    return fitting, len(rows) - len(fitting)


def _packed(recipe: Recipe, encoded: list[EncodedExample], limit: int | None, loaded: LoadedModel) -> list[Pack]:
    """Put several examples into a row. `limit`: the window less virtual tokens, or --max-length. Raises UsageError
    where the model lets packed examples see one another.
    """
    if loaded.architecture == Architecture.SEQ2SEQ:
        raise UsageError("--packing", "an encoder-decoder model reads one example at a time", "--group-by-length")
    if not keeps_packs_apart(loaded.model, embedding_shape(loaded.model)[0]):
        raise UsageError(
            "--packing",
            f"a {loaded.model.config.model_type} model lets packed examples see one another",
            "--group-by-length",
        )
    if recipe.max_length is None:
        limit = PACK if limit is None else min(limit, PACK)
    return pack(encoded, max(limit or 0, max(example.width for example in encoded)))


def _announce(recipe: Recipe, model: TrainableModel, encoded: EncodedSet, report: Report) -> None:
    (trained, whole), packed = sizes(model), f" in {len(encoded.rows)} packs" if recipe.packing else ""
    counts = f"{trained:,} of {whole:,} parameters ({trained / whole:.2%})"
    report(f"{recipe.method}: {counts}, {encoded.examples} examples{packed}, learning rate {recipe.rate:g}")


def _take_up(
    output: UnfinishedOutput, recipe: Recipe, start: StartingPoint, examples: TrainingSet, report: Report
) -> None:
    """Make the folder ready, with a note where it holds states of another training."""
    free = {"out", "save_every", "device"}  # nothing about the weights, or nothing that can be told from here
    record = {
        "recipe": {key: value for key, value in recipe.to_json().items() if key not in free},
        "under": start.weights.fingerprint,
        "after": start.after.fingerprint if start.after is not None else None,
        "data": [examples.digest, examples.validation_source.get("digest")],
    }
    begun = output.has_states
    if not output.take_up(record) and begun:
        report("note: what was left unfinished here was of another recipe, base or data: begun anew")


def _fit(
    recipe: Recipe,
    model: TrainableModel,
    encoded: EncodedSet,
    output: UnfinishedOutput,
    held: HeldSignal,
    report: Report,
) -> TrainingCourse:
    steps = recipe.steps_for(len(encoded.rows))
    every = (recipe.eval_every or recipe.steps_of_epoch(len(encoded.rows))) if encoded.held_out else None
    drawn_from, collator = _batching(recipe, model, encoded, steps)
    monitor = TrainingMonitor(recipe, steps, output.best, report, held)
    cached = model.config.use_cache  # the Trainer switches it off in the configuration that is saved
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
        saved = last_saved(output.states)
        if saved:
            report(f"going on from step {step_of(saved)}")
        trainer.train(resume_from_checkpoint=saved)
    if not monitor.ended:
        held.deliver()
    model.config.use_cache = cached
    course = _course_of(trainer, encoded, steps)
    if course.validated:
        load_trained(model, output.best)
        report(f"kept: the weights of step {course.validated[best_of(course.validated)][0]}")
    if not finite(model):
        raise diverged(recipe, "the last step left weights that are no finite numbers")
    return course


def _course_of(trainer: CompletionTrainer, encoded: EncodedSet, steps: int) -> TrainingCourse:
    history = trainer.state.log_history
    return TrainingCourse(
        losses=tuple(loss for _, loss in losses_of(history, "loss")),
        validated=tuple(losses_of(history, "eval_loss")),
        planned=steps,
        examples=encoded.examples,
        seen=round(sum(number for _, number in losses_of(history, SEEN))),
        tokens=trainer.state.num_input_tokens_seen,
        truncated=encoded.truncated,
        left_out=encoded.left_out,
    )


def _batching(
    recipe: Recipe, model: TrainableModel, encoded: EncodedSet, steps: int
) -> tuple[Sequence[object], Collator]:
    """Return what the Trainer draws from (rows, or batches of them made beforehand), and what it makes a batch with."""
    architecture = architecture_of(model)
    if recipe.group_by_length:
        number = steps * recipe.gradient_accumulation
        batches = batches_by_length(encoded.rows, recipe.batch_size, number, recipe.seed)
        return batches, lambda drawn: collate(drawn[0], encoded.pad, architecture)
    return encoded.rows, lambda drawn: collate(drawn, encoded.pad, architecture, recipe.packing)


def _held_out(recipe: Recipe, model: TrainableModel, encoded: EncodedSet) -> list[Batch]:
    rows, size = encoded.held_out, recipe.batch_size
    return [collate(rows[at : at + size], encoded.pad, architecture_of(model)) for at in range(0, len(rows), size)]
