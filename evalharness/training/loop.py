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
from evalharness.training.trainer import (
    Batch,
    Collator,
    CompletionTrainer,
    Report,
    TrainingMonitor,
    arguments,
    best_of,
    diverged,
    last_saved,
    load_trained,
    losses_of,
)

PACK = 1024  # tokens of a pack where neither the window nor --max-length is smaller, and no example is longer


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSet:
    """The examples as the model sees them, in rows; `held_out`: those to validate on; `truncated`: how many lost their
    beginning; `pad`: the token of gaps.
    """

    rows: tuple[Pack, ...]
    held_out: tuple[Pack, ...]
    examples: int
    truncated: int
    pad: int


def train(recipe: Recipe, examples: TrainingSet, report: Report) -> Path:
    """Train, and leave a candidate (weights or adapter, training.json, the tokenizer with full weights) at
    `recipe.out`.

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
            course = _fit(recipe, model, encoded, output, report)
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
        TokenizerAdapter(loaded.tokenizer, loaded.architecture), loaded.architecture, given, written, chat
    )
    encoded, held_out = _encoded(encoder, examples.examples), _encoded(encoder, examples.validation)
    truncated = sum(example.cut > 0 for example in encoded)
    if truncated:
        report(f"note: {truncated} of {len(encoded)} prompts are longer than the window and lose their beginning")
    return EncodedSet(
        rows=tuple(_packed(recipe, encoded, given, loaded) if recipe.packing else ((each,) for each in encoded)),
        held_out=tuple((each,) for each in held_out),
        examples=len(encoded),
        truncated=truncated,
        pad=encoder.texts.pad,
    )


def _encoded(encoder: Encoder, examples: Examples) -> list[EncodedExample]:
    return [encoded for example in examples for encoded in encoder.encode(example)]


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
    recipe: Recipe, model: TrainableModel, encoded: EncodedSet, output: UnfinishedOutput, report: Report
) -> TrainingCourse:
    steps = recipe.steps_for(len(encoded.rows))
    every = (recipe.eval_every or recipe.steps_of_epoch(len(encoded.rows))) if encoded.held_out else None
    drawn_from, collator = _batching(recipe, model, encoded, steps)
    cached = model.config.use_cache  # the Trainer switches it off in the configuration that is saved
    with expected_warnings():
        trainer = CompletionTrainer(
            model=model,
            args=arguments(recipe, steps, model.device.type == "cpu", output.states, every),
            drawn_from=drawn_from,
            collator=collator,
            held_out=_held_out(recipe, model, encoded),
            monitor=TrainingMonitor(recipe, steps, output.best, report),
        )
        trainer.remove_callback(PrinterCallback)
        saved = last_saved(output.states)
        if saved:
            report(f"going on from step {saved.rpartition('-')[2]}")
        trainer.train(resume_from_checkpoint=saved)
    model.config.use_cache = cached
    validated = losses_of(trainer.state.log_history, "eval_loss")
    if validated:
        load_trained(model, output.best)
        report(f"kept: the weights of step {validated[best_of(validated)][0]}")
    if not finite(model):
        raise diverged(recipe, "the last step left weights that are no finite numbers")
    return TrainingCourse(
        losses=tuple(loss for _, loss in losses_of(trainer.state.log_history, "loss")),
        validated=tuple(validated),
        planned=steps,
        tokens=trainer.state.num_input_tokens_seen,
        truncated=encoded.truncated,
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
