"""Encode a training set for one model, and count the examples that were cut or left out; pack rows on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalharness.checkpoints.load import LoadedModel
from evalharness.checkpoints.open_model import embedding_shape
from evalharness.engines.hf.chat import template_of
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.errors import DataError, UsageError
from evalharness.records.models import Architecture
from evalharness.training.batches import Pack, keeps_packs_apart, pack
from evalharness.training.data import Examples, TrainingSet
from evalharness.training.encode import EncodedExample, Encoder
from evalharness.training.example_file import Example
from evalharness.training.recipe import CUT, Recipe
from evalharness.training.start import StartingPoint, token_limits
from evalharness.training.summary import cut_notes
from evalharness.training.trainer import Report

Rows = list[tuple[Example, EncodedExample | None]]
PACK = 1024  # tokens of a pack, unless the window or --max-length is smaller, or an example longer


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSet:
    """The examples as the model sees them, in rows.

    `rows`: to train on; a row has one example, or several that do not see one another. `held_out`: the rows to validate
    on. `examples`: the number of examples in `rows`. `truncated`: how many lost their beginning. `left_out`: how many
    did not fit. `pad`: the id of the padding token.
    """

    rows: tuple[Pack, ...]
    held_out: tuple[Pack, ...]
    examples: int
    truncated: int
    left_out: int
    pad: int


def encode_set(
    recipe: Recipe, examples: TrainingSet, start: StartingPoint, loaded: LoadedModel, report: Report
) -> EncodedSet:
    """Encode the examples and those to validate on. Raises DataError if there are none, if none fits, and if one does
    not fit and the recipe refuses that.
    """
    if not examples.examples:
        raise DataError(recipe.learned, "no training examples", "give a task whose training split has rows")
    limit, answer_limit = token_limits(recipe, start)
    if loaded.tokenizer.eos_token_id is None:
        report("note: the tokenizer has no end token, so the candidate does not learn where an answer ends")
    encoder = Encoder(
        TokenizerAdapter(loaded.tokenizer, loaded.architecture),
        loaded.architecture,
        limit,
        answer_limit,
        template_of(start.weights.path, loaded.tokenizer),
        place=examples.place_of,
        passes_over=recipe.too_long != CUT,
    )
    rows = [_rows(encoder, each) for each in (examples.examples, examples.validation)]
    if recipe.too_long == "refuse":
        _refuse([example for of_set in rows for example, row in of_set if row is None or row.cut], examples, limit)
    encoded, held_out = (_usable(recipe, of_set) for of_set in rows)
    if not encoded or (examples.validation and not held_out):
        number = len(examples.examples if not encoded else examples.validation)
        what = f"none of {number} {'conversations' if recipe.too_long == CUT else 'examples'} fits {limit} tokens"
        raise DataError(recipe.learned, what, "shorter ones, or a larger window or --max-length")
    truncated, left_out = sum(row.cut > 0 for row in (*encoded, *held_out)), sum(map(len, rows))
    left_out -= len(encoded) + len(held_out)
    for line in cut_notes(truncated, left_out, recipe.too_long):
        report(f"note: {line}")
    return EncodedSet(
        rows=tuple(_packed(recipe, encoded, limit, loaded) if recipe.packing else ((each,) for each in encoded)),
        held_out=tuple((each,) for each in held_out),
        examples=len(encoded),
        truncated=truncated,
        left_out=left_out,
        pad=encoder.texts.pad,
    )


def _rows(encoder: Encoder, examples: Examples) -> Rows:
    """Encode every example, and pair each row with its example; None if it does not fit."""
    return [(example, row) for example in examples for row in encoder.encode(example)]


def _usable(recipe: Recipe, rows: Rows) -> list[EncodedExample]:
    """List the rows to train on: those that fit, and with `--too-long cut` those that were cut to fit."""
    return [row for _, row in rows if row is not None and (recipe.too_long == CUT or not row.cut)]


def _refuse(long: Sequence[Example], examples: TrainingSet, limit: int | None) -> None:
    """Raise DataError if examples do not fit, naming the first and their number."""
    if long:
        what = f"does not fit {limit} tokens (the window or --max-length), the first of {len(long)}"
        raise DataError(examples.first_place(long), what, "shorten them, or --too-long drop or cut")


def _packed(recipe: Recipe, encoded: list[EncodedExample], limit: int | None, loaded: LoadedModel) -> list[Pack]:
    """Pack several examples into a row. `limit`: the window without virtual tokens, or --max-length. Raises UsageError
    if packed examples would see one another in this model.
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
