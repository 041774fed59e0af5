"""Choose the model adapter and the pair scorer for a loaded model."""

from __future__ import annotations

from evalharness.checkpoints.load import LoadedModel
from evalharness.engines.hf.batches import BatchLimits
from evalharness.engines.hf.causal import Causal
from evalharness.engines.hf.model_adapter import ModelAdapter
from evalharness.engines.hf.packed_check import reach_of, why_plain
from evalharness.engines.hf.packed_scores import PackedPairScorer
from evalharness.engines.hf.pair_scores import PairScorer, PlainPairScorer
from evalharness.engines.hf.seq2seq import Seq2Seq
from evalharness.engines.hf.seq2seq_scores import SharedSourceScorer
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.records.models import Architecture

ADAPTERS: dict[Architecture, type[ModelAdapter]] = {Architecture.CAUSAL: Causal, Architecture.SEQ2SEQ: Seq2Seq}


def model_adapter(loaded: LoadedModel, window: int | None) -> ModelAdapter:
    """Make the adapter for a model's architecture. Raises ModelError for a decoder without a start token."""
    tokenizer = TokenizerAdapter(loaded.tokenizer, loaded.architecture, loaded.around)
    return ADAPTERS[loaded.architecture](loaded, tokenizer, window)


def pair_scorer(model: ModelAdapter, limits: BatchLimits) -> PairScorer:
    """Choose the fastest pair scorer that the model supports. If it is the plain one, its `plain_because` says why."""
    if limits.rows == 1:  # no row shares a pass with another
        return PlainPairScorer(model, limits)
    scorer: PairScorer
    if isinstance(model, Seq2Seq):
        scorer = SharedSourceScorer(model, limits)
        reason = scorer.why_plain()
    elif isinstance(model, Causal):
        scorer = PackedPairScorer(model, limits, reach_of(model.loaded.bare.config))
        reason = why_plain(scorer)
    else:
        return PlainPairScorer(model, limits)
    return PlainPairScorer(model, limits, reason) if reason else scorer
