"""Encode a training set for one model: what fits, what was cut, what was left out; several examples a row if packed."""

from __future__ import annotations

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
from evalharness.training.recipe import Recipe
from evalharness.training.start import StartingPoint, token_limits
from evalharness.training.summary import cut_notes
from evalharness.training.trainer import Report

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


def encode_set(
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
