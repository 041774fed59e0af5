"""Score pairs with an encoder-decoder model that encodes every source once.

A source is read with the longest of its continuations (the trunk); the others branch off from the decoder's cache of
that one.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, EncoderDecoderCache
from transformers.cache_utils import DynamicLayer
from transformers.modeling_outputs import BaseModelOutput

from evalharness.checkpoints.open_model import embedding_shape
from evalharness.engines.hf.batches import BatchLimits, Refusal, in_batches, rows_in_batches
from evalharness.engines.hf.model_adapter import logits_at
from evalharness.engines.hf.pair_scores import PlainPairScorer, RunScore, Scores, run_scores, scores_at
from evalharness.engines.hf.rows import BatchRow, Tokens, right_padded, scored_places
from evalharness.engines.hf.seq2seq import Seq2Seq
from evalharness.engines.hf.tokenizer_adapter import TokenPair
from evalharness.engines.hf.trie import prefix_length
from evalharness.errors import first_line

EXACT = (1e-3, 1e-5)  # float32: effect of rounding on a log-likelihood, in nats and relative
COARSE = (0.1, 0.01)  # the same for types of fewer bits
PASS_TOKENS = 1024  # tokens of sources in a pass on a CPU: more are not faster, and the decoder caches all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """One source with its longest continuation (the trunk), and the continuations that branch off from it.

    `source`: the encoder's tokens. `fed`: the decoder's tokens of the longest continuation. `predicted`: for every pair
    how many of its tokens the trunk predicts, at least one. `branches`: the rows that predict the other tokens, each
    with its pairs; pairs that share a row have equally many such tokens.
    """

    source: Tokens
    fed: Tokens
    predicted: dict[TokenPair, int]
    branches: dict[BatchRow, tuple[TokenPair, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkPass:
    """The output of a pass over trunks.

    `logits`: (all positions of all trunks, vocabulary). `states`, `mask`: the encoder's. `cache`: the decoder's, None
    if nothing branches off. `before_source`: virtual tokens before the source. `before_start`: virtual tokens before
    the decoder's first token.
    """

    logits: torch.Tensor
    states: torch.Tensor
    mask: torch.Tensor
    cache: EncoderDecoderCache | None
    before_source: int
    before_start: int


class SharedSourceScorer:
    """Scores pairs by trunks (a source with its longest continuation) and the branches off them. `why_plain` compares
    the scores with those of whole rows.
    """

    plain_because = ""

    def __init__(self, model: Seq2Seq, limits: BatchLimits) -> None:
        tokens = min(limits.tokens, PASS_TOKENS) if model.loaded.device.type == "cpu" else limits.tokens
        self.model, self.limits = model, limits._replace(tokens=tokens)
        self.plain = PlainPairScorer(model, limits)

    def scores(self, pairs: Sequence[TokenPair]) -> Scores:
        """Return a score for every pair. A pair that fails by trunks and branches is scored as a whole row."""
        scores = self._by_trunks(self._trunks(pairs))
        refused = [pair for pair, score in scores.items() if isinstance(score, Refusal)]
        return {**scores, **self.plain.scores(refused)} if refused else scores

    def last_logits(self, prompts: Sequence[Tokens], adapter: bool) -> NDArray[np.float64]:
        """Return the logits after each prompt, (n, vocabulary), by the pass over trunks."""
        fed = self.model.row(prompts[0]).fed
        trunks = [Trunk(source=prompt, fed=fed, predicted={}, branches={}) for prompt in prompts]
        lengths = [len(prompt) for prompt in prompts]
        return rows_in_batches(
            lengths, self.limits, lambda batch: self._read_trunks([trunks[i] for i in batch], adapter).logits
        )

    def why_plain(self) -> str:
        """Return why trunks and branches do not give the scores of whole rows; "" if they do. The model scores a few
        arbitrary tokens both ways.
        """
        loaded = self.model.loaded
        vocabulary = embedding_shape(loaded.bare)[0]
        some = tuple((7 * i + 5) % vocabulary for i in range(12))
        continuations = (some[:4], (some[0], *some[5:7]), some[:1], (some[0], some[8]))
        pairs = [TokenPair(source, tokens) for source in (some, some[2:7]) for tokens in continuations]
        try:
            branching = self._by_trunks(self._trunks(pairs))
        except Exception as error:  # a model's own code may raise anything for inputs that it does not support
            return f"it does not go on from a cache ({type(error).__name__}: {first_line(error)})"
        absolute, relative = EXACT if loaded.model.dtype == torch.float32 else COARSE
        for pair, whole in self.plain.scores(pairs).items():
            score = branching[pair]
            if isinstance(whole, Refusal) or whole.logprob is None:  # there is nothing to compare with
                continue
            if isinstance(score, Refusal):
                return score.reason
            if score.logprob is None or abs(score.logprob - whole.logprob) > max(absolute, -relative * whole.logprob):
                return f"a log-likelihood is {score.logprob} with the decoder's cache and {whole.logprob} without"
        return ""

    def _trunks(self, pairs: Sequence[TokenPair]) -> list[Trunk]:
        sources: dict[Tokens, dict[Tokens, list[TokenPair]]] = {}
        for pair in pairs:
            source, fed = self.model.read(pair)
            sources.setdefault(source, {}).setdefault(fed, []).append(pair)
        return [_trunk(source, readers) for source, readers in sources.items()]

    def _by_trunks(self, trunks: Sequence[Trunk]) -> dict[TokenPair, RunScore | Refusal]:
        lengths = [max(len(trunk.source), len(trunk.fed)) for trunk in trunks]
        results = in_batches(trunks, lengths, self.limits, self._read_trunks, self._trunk_scores)
        scores: dict[TokenPair, RunScore | Refusal] = {}
        for trunk, result in zip(trunks, results, strict=True):
            scores |= dict.fromkeys(trunk.predicted, result) if isinstance(result, Refusal) else result
        return scores

    @torch.no_grad()
    def _read_trunks(self, trunks: Sequence[Trunk], adapter: bool = True) -> TrunkPass:
        rows = [BatchRow(trunk.source, trunk.fed, (trunk.fed,)) for trunk in trunks]  # scored at every position
        with self.model.loaded.answering(adapter) as (model, lead):
            inputs, before = self.model.inputs(rows, model, lead)
            if any(trunk.branches for trunk in trunks):
                inputs.setdefault("past_key_values", EncoderDecoderCache(DynamicCache(), DynamicCache()))
                inputs["use_cache"] = True
            logits = logits_at(model, inputs, scored_places(rows, before, self.model.loaded.device))
            return TrunkPass(
                logits=logits,
                states=inputs["encoder_outputs"].last_hidden_state,
                mask=inputs["attention_mask"],
                cache=inputs.get("past_key_values"),
                before_source=lead.tokens if lead.embeddings is not None else 0,
                before_start=lead.tokens if lead.cache is not None else 0,
            )

    def _trunk_scores(self, trunks: Sequence[Trunk], read: TrunkPass) -> list[dict[TokenPair, RunScore | Refusal]]:
        """Return for every trunk the scores of its pairs; `read` is the pass over these trunks."""
        starts = np.cumsum([0, *(len(trunk.fed) for trunk in trunks[:-1])]).tolist()
        runs = [
            (start, pair.continuation[:count])
            for start, trunk in zip(starts, trunks, strict=True)
            for pair, count in trunk.predicted.items()
        ]
        places = [np.arange(start, start + len(run)) for start, run in runs]
        begun = iter(scores_at(read.logits, places, [run for _, run in runs]))
        scores: list[dict[TokenPair, RunScore | Refusal]] = [
            {pair: next(begun) for pair in trunk.predicted} for trunk in trunks
        ]
        branches = [(i, row) for i, trunk in enumerate(trunks) for row in trunk.branches]
        for (i, row), result in zip(branches, self._branch_scores(branches, read), strict=True):
            for place, pair in enumerate(trunks[i].branches[row]):
                scores[i][pair] = result if isinstance(result, Refusal) else _joined(scores[i][pair], result[place])
        return scores

    def _branch_scores(
        self, branches: Sequence[tuple[int, BatchRow]], read: TrunkPass
    ) -> Sequence[list[RunScore] | Refusal]:
        """Score the runs of every (index of its trunk, branch), in batches whose cache fits the limits."""
        rows = max(1, min(self.limits.rows, self.limits.tokens // read.mask.shape[1]))
        return in_batches(
            branches,
            [row.scored for _, row in branches],
            BatchLimits(rows, self.limits.tokens),
            lambda batch: self._read_branches(batch, read),
            lambda batch, logits: run_scores([row for _, row in batch], logits),
        )

    @torch.no_grad()
    def _read_branches(self, branches: Sequence[tuple[int, BatchRow]], read: TrunkPass) -> torch.Tensor:
        """Return the logits at the scored positions of the branches, row after row."""
        assert read.cache is not None
        device = self.model.loaded.device
        shared = min(len(row.fed) - row.scored for _, row in branches)  # with their trunks
        rows = [replace(row, fed=row.fed[shared:]) for _, row in branches]
        index = torch.tensor([i for i, _ in branches], device=device)
        width = read.before_source + max(len(row.source) for row in rows)
        cache = EncoderDecoderCache(
            _selected(read.cache.self_attention_cache, index, read.before_start + shared),
            _selected(read.cache.cross_attention_cache, index, width),
        )
        ids, _ = right_padded([row.fed for row in rows], self.model.tokenizer.pad, device)
        inputs = {
            "encoder_outputs": BaseModelOutput(last_hidden_state=read.states[:, :width].index_select(0, index)),
            "attention_mask": read.mask[:, :width].index_select(0, index),
            "decoder_input_ids": ids,
            "past_key_values": cache,
            "use_cache": True,
        }
        with self.model.loaded.answering(True) as (model, _):
            return logits_at(model, inputs, scored_places(rows, 0, device))


def _trunk(source: Tokens, readers: dict[Tokens, list[TokenPair]]) -> Trunk:
    """Plan one source; `readers`: tokens that the decoder reads -> their pairs."""
    longest = max(readers, key=len)
    predicted: dict[TokenPair, int] = {}
    branches: dict[BatchRow, tuple[TokenPair, ...]] = {}
    for fed, pairs in readers.items():
        shared = prefix_length(fed, longest)
        predicted |= dict.fromkeys(pairs, shared)
        if shared < len(fed):
            branches[BatchRow(source, fed, tuple(pair.continuation[shared:] for pair in pairs))] = tuple(pairs)
    return Trunk(source=source, fed=longest, predicted=predicted, branches=branches)


def _selected(cache: DynamicCache, index: torch.Tensor, length: int) -> DynamicCache:
    """Return a cache of the rows at `index` with their first `length` positions."""
    part, layers = copy.copy(cache), [cast(DynamicLayer, copy.copy(layer)) for layer in cache.layers]
    for layer in layers:
        assert layer.keys is not None and layer.values is not None
        layer.keys = layer.keys[:, :, :length].index_select(0, index)
        layer.values = layer.values[:, :, :length].index_select(0, index)
    part.layers = [*layers]
    return part


def _joined(begun: RunScore | Refusal, rest: RunScore) -> RunScore | Refusal:
    """Add the scores of a run's beginning and of its rest, which two rows predict."""
    if isinstance(begun, Refusal):
        return begun
    logprob = None if begun.logprob is None or rest.logprob is None else begun.logprob + rest.logprob
    return RunScore(logprob=logprob, greedy=begun.greedy and rest.greedy)
