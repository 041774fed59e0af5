"""A loaded model to the way it is asked."""

from __future__ import annotations

from evalharness.checkpoints.weights import Loaded
from evalharness.engines.asking import Asker
from evalharness.engines.causal import Causal
from evalharness.engines.seq2seq import Seq2Seq
from evalharness.engines.texts import Texts

ASKERS: dict[str, type[Causal] | type[Seq2Seq]] = {"causal": Causal, "seq2seq": Seq2Seq}


def asker_of(loaded: Loaded, texts: Texts, window: int | None) -> Asker:
    """The asker of the model's architecture. Raises ModelError for a decoder that has nothing to begin with."""
    return ASKERS[loaded.architecture](loaded, texts, window)


def texts_of(loaded: Loaded) -> Texts:
    """The tokenizer's way with prompts to this model."""
    return Texts(loaded.tokenizer, apart=loaded.architecture == "seq2seq")
