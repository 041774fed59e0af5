"""A recipe and solved examples to a candidate's directory, through transformers' Trainer.

All is written to a hidden folder beside `out` and renamed at the end: nothing half-made ever looks like a candidate. A
training that was killed goes on from the last state it saved when it is given again, and ends with the weights of an
uninterrupted one (on a CPU).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, set_seed

from evalharness.checkpoints.load import LoadedModel
from evalharness.engines.hf.chat import template_of
from evalharness.engines.hf.tokenizer_adapter import Texts
from evalharness.errors import DataError, StoreError, UsageError
from evalharness.records.models import Architecture
from evalharness.training.adapt import Trained, expected_warnings, finite, sizes
from evalharness.training.batches import Row, collate, grouped, keeps_packs_apart, packs
from evalharness.training.data import Examples, TrainingSet
from evalharness.training.encode import Encoded, Encoder
from evalharness.training.output_lock import Work, refuse_existing, working
from evalharness.training.recipe import Recipe
from evalharness.training.save import Course, describe, losses_told, save, write
from evalharness.training.start import Start, check_machine, opened, room, starting, trained
from evalharness.training.trainer import (
    CompletionTrainer,
    Report,
    Watch,
    arguments,
    best_of,
    diverged,
    last_saved,
    load_trained,
    losses_of,
)

PACK = 1024  # tokens of a pack where neither the window nor --max-length is smaller, and no example is longer

Collator = Callable[[list[Row]], dict[str, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class Fed:
    """The examples as the model sees them, in rows; `held`: those to validate on."""

    rows: tuple[Row, ...]
    held: tuple[Row, ...]
    examples: int
    truncated: int
    pad: int  # the token of gaps


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
    start, began = starting(recipe), time.monotonic()
    with working(out) as work:
        try:
            loaded = opened(recipe, start)
            fed = _fed(recipe, examples, start, loaded, report)
            set_seed(recipe.seed)
            model, recipe = trained(loaded.model, recipe, start)
            _announce(recipe, model, fed, report)
            course = _fit(recipe, model, fed, _goes_on(work, recipe, start, examples, report), report)
            facts = describe(recipe, start, model, examples, replace(course, truncated=fed.truncated))
            save(recipe, start, loaded, model, work.made)
            write(facts, work.made, time.monotonic() - began)
            work.finish()
        except torch.OutOfMemoryError:
            fix = "a smaller one with --gradient-accumulation, or --gradient-checkpointing"
            raise UsageError(
                "--batch-size", f"{recipe.batch_size} examples do not fit the memory of {recipe.device}", fix
            ) from None
        except OSError as error:
            raise StoreError(
                out, f"cannot be written ({error.strerror or error})", "make room, or name another folder with --out"
            ) from None
    return out


def _fed(recipe: Recipe, examples: TrainingSet, start: Start, loaded: LoadedModel, report: Report) -> Fed:
    if not examples.pairs:
        raise DataError(recipe.learned, "no training examples", "give a task whose training split has rows")
    given, written = room(recipe, start)
    if loaded.tokenizer.eos_token_id is None:
        report("note: the tokenizer has no end token, so the candidate does not learn where an answer ends")
    encoder = Encoder(
        Texts(loaded.tokenizer), loaded.architecture, given, written, template_of(start.under.path, loaded.tokenizer)
    )
    encoded, held = _encoded(encoder, examples.pairs), _encoded(encoder, examples.validation)
    cut = sum(example.cut > 0 for example in encoded)
    if cut:
        report(f"note: {cut} of {len(encoded)} prompts are longer than the window and lose their beginning")
    rows: list[Row] = [(example,) for example in encoded]
    if recipe.packing:
        if loaded.architecture == Architecture.SEQ2SEQ:
            raise UsageError("--packing", "an encoder-decoder model reads one example at a time", "--group-by-length")
        if not keeps_packs_apart(loaded.model, loaded.model.get_input_embeddings().weight.shape[0]):
            raise UsageError(
                "--packing",
                f"a {loaded.model.config.model_type} model lets packed examples see one another",
                "--group-by-length",
            )
        longest = max(example.width for example in encoded)
        rows = packs(
            encoded,
            max(longest, PACK if given is None else min(given, PACK))
            if recipe.max_length is None
            else max(longest, given or 0),
        )
    return Fed(tuple(rows), tuple((example,) for example in held), len(encoded), cut, encoder.texts.pad)


def _encoded(encoder: Encoder, examples: Examples) -> list[Encoded]:
    return [encoded for example in examples for encoded in encoder.encode(example)]


def _announce(recipe: Recipe, model: Trained, fed: Fed, report: Report) -> None:
    share, packed = sizes(model), f" in {len(fed.rows)} packs" if recipe.packing else ""
    counts = f"{share[0]:,} of {share[1]:,} parameters ({share[0] / share[1]:.2%})"
    report(f"{recipe.method}: {counts}, {fed.examples} examples{packed}, learning rate {recipe.rate:g}")


def _goes_on(work: Work, recipe: Recipe, start: Start, examples: TrainingSet, report: Report) -> Work:
    """The folder ready, and a word where it holds states to go on from."""
    free = {"out", "save_every", "device"}  # nothing about the weights, or nothing that can be told from here
    making = {key: value for key, value in recipe.to_json().items() if key not in free}
    after = start.after.fingerprint if start.after is not None else None
    record = {
        "recipe": making,
        "under": start.under.fingerprint,
        "after": after,
        "data": [examples.digest, examples.held.get("digest")],
    }
    begun = any(work.states.glob("checkpoint-*"))
    if not work.take_up(record) and begun:
        report("note: what was left unfinished here was of another recipe, base or data: begun anew")
    return work


def _fit(recipe: Recipe, model: Trained, fed: Fed, work: Work, report: Report) -> Course:
    steps, pad = recipe.steps_for(len(fed.rows)), fed.pad
    collator = _collator(recipe, model, pad)
    rows: Any = fed.rows
    if recipe.group_by_length:
        rows = grouped(fed.rows, recipe.batch_size, steps * recipe.gradient_accumulation, recipe.seed)
    plainly, size = _collator(replace(recipe, packing=False, group_by_length=False), model, pad), recipe.batch_size
    held = [plainly(list(fed.held[at : at + size])) for at in range(0, len(fed.held), size)]
    validating = (recipe.eval_every or recipe.steps_of_epoch(len(fed.rows))) if held else None
    cached = model.config.use_cache  # the Trainer switches it off in the configuration that is saved
    with expected_warnings():
        trainer = CompletionTrainer(
            architecture=Architecture.SEQ2SEQ if model.config.is_encoder_decoder else Architecture.CAUSAL,
            held=held,
            model=model,
            args=arguments(recipe, steps, model.device.type == "cpu", work.states, validating),
            train_dataset=list(rows),  # type: ignore[arg-type]
            data_collator=collator,
            callbacks=[Watch(recipe, steps, work.best, report)],
        )
        trainer.remove_callback(PrinterCallback)
        saved = last_saved(work.states)
        if saved:
            report(f"going on from step {saved.rpartition('-')[2]}")
        trainer.train(resume_from_checkpoint=saved)
    model.config.use_cache = cached
    validated = losses_of(trainer.state.log_history, "eval_loss")
    if validated:
        load_trained(model, work.best)
        report(f"kept: the weights of step {validated[best_of(validated)][0]}")
    if not finite(model):
        raise diverged(recipe, "the last step left weights that are no finite numbers")
    losses = losses_told(losses_of(trainer.state.log_history, "loss"))
    return Course(losses, tuple(validated), steps, trainer.state.num_input_tokens_seen, 0)


def _collator(recipe: Recipe, model: Trained, pad: int) -> Collator:
    architecture = Architecture.SEQ2SEQ if model.config.is_encoder_decoder else Architecture.CAUSAL

    def collated(rows: list[Row]) -> dict[str, torch.Tensor]:
        return collate(rows[0] if recipe.group_by_length else rows, pad, architecture, recipe.packing)  # type: ignore[arg-type]

    return collated
