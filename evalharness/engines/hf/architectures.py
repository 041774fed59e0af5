"""A loaded model to the way it is asked."""

from __future__ import annotations

from evalharness.checkpoints.load import LoadedModel
from evalharness.engines.hf.batching import ModelAdapter
from evalharness.engines.hf.causal import Causal
from evalharness.engines.hf.seq2seq import Seq2Seq
from evalharness.engines.hf.tokenizer_adapter import Texts
from evalharness.records.models import Architecture

ASKERS: dict[Architecture, type[Causal] | type[Seq2Seq]] = {Architecture.CAUSAL: Causal, Architecture.SEQ2SEQ: Seq2Seq}


def asker_of(loaded: LoadedModel, texts: Texts, window: int | None) -> ModelAdapter:
    """The asker of the model's architecture. Raises ModelError for a decoder that has nothing to begin with."""
    return ASKERS[loaded.architecture](loaded, texts, window)


def texts_of(loaded: LoadedModel) -> Texts:
    """The tokenizer's way with prompts to this model."""
    return Texts(loaded.tokenizer, apart=loaded.architecture == Architecture.SEQ2SEQ)
