"""Score pairs with a decoder-only model that reads every shared prefix once.

Long common prefixes (headers) are cached as keys and values; the branches after them are packed into rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import DynamicCache, PreTrainedModel

from evalharness.checkpoints.load import VirtualPrefix
from evalharness.engines.hf.batches import TOO_LARGE, BatchLimits, Refusal, in_planned_batches
from evalharness.engines.hf.causal import Causal
from evalharness.engines.hf.loop_passes import passes_of
from evalharness.engines.hf.model_adapter import last_feed_forward, logits_at
from evalharness.engines.hf.packed_rows import PackedRow, States, attention_mask, cache_of, even_rows, packed_row
from evalharness.engines.hf.pair_scores import NONFINITE, PlainPairScorer, RunScore, Scores, scores_at
from evalharness.engines.hf.ragged_cache import keys_and_values
from evalharness.engines.hf.rows import Tokens
from evalharness.engines.hf.tokenizer_adapter import TokenPair
from evalharness.engines.hf.trie import Branch, HeaderGroup, groups

ROW_TOKENS = 512  # tokens of a row on a CPU, where longer ones are slower
KEPT_TOKENS = 4096  # tokens of headers whose keys and values stay in memory between blocks
Result = TypeVar("Result")


class ReadHeader(NamedTuple):
    """A header (the common beginning of several branches) that the model has read.

    `tokens`: the header. `states`: its keys and values, with those of the virtual tokens before it. `parts`: the
    lengths at which it was continued, one for each pass. `planned`: the length of its group's header; the header is
    shorter if memory did not suffice.
    """

    planned: int
    tokens: Tokens
    parts: tuple[int, ...]
    states: States


class BranchLogits(NamedTuple):
    """The output of one pass: logits (n, vocabulary) at n places of its row."""

    row: PackedRow
    places: NDArray[np.int64]
    logits: torch.Tensor

    def at(self, branch: int, last: int) -> NDArray[np.int64]:
        """Return the rows of the logits at a branch's `last` last places."""
        return np.searchsorted(self.places, self.row.paths[branch][-last:])


class PackedPairScorer:
    """Scores pairs by packed rows of branches. Sequences longer than `reach` tokens are scored as plain rows, because
    not every layer of the model sees them whole. None: no limit.
    """

    def __init__(self, model: Causal, limits: BatchLimits, reach: int | None = None) -> None:
        self.model, self.plain, self.reach = model, PlainPairScorer(model, limits), reach
        self.budget = min(limits.tokens, ROW_TOKENS) if model.loaded.device.type == "cpu" else limits.tokens
        self.plain_because = ""
        self.trims = True  # the last layer's feed-forward part is computed only at scored places
        self._headers: dict[tuple[Tokens, tuple[int, ...]], States] = {}

    def scores(self, pairs: Sequence[TokenPair]) -> Scores:
        """Return a score for every pair, or why there is none."""
        far = [pair for pair in pairs if not self.in_reach(pair.fed)]
        scores: dict[TokenPair, RunScore | Refusal] = {**self.plain.scores(far)} if far else {}
        by_fed: dict[Tokens, list[TokenPair]] = {}
        for pair in pairs:
            if pair not in scores:
                by_fed.setdefault(pair.fed, []).append(pair)
        scored = {fed: max(len(pair.continuation) for pair in some) for fed, some in by_fed.items()}
        branches = [Branch(fed, len(fed) - scored[fed]) for fed in sorted(by_fed)]

        def read(some: Sequence[Branch], output: BranchLogits) -> list[list[RunScore]]:
            runs = [(i, pair.continuation) for i, branch in enumerate(some) for pair in by_fed[branch.fed]]
            places = [output.at(i, len(run)) for i, run in runs]
            scored = scores_at(output.logits, places, [run for _, run in runs])
            _refuse_spoiled(some, any(score.logprob is None for score in scored))
            results = iter(scored)
            return [[next(results) for _ in by_fed[branch.fed]] for branch in some]

        for branch, result in zip(branches, self._results(branches, True, read), strict=True):
            for place, pair in enumerate(by_fed[branch.fed]):
                scores[pair] = result if isinstance(result, Refusal) else result[place]
        return scores

    def last_logits(self, prompts: Sequence[Tokens], adapter: bool) -> NDArray[np.float64]:
        """Return the logits after each prompt, (n, vocabulary)."""
        if not all(map(self.in_reach, prompts)):
            return self.plain.last_logits(prompts, adapter)
        branches = [Branch(prompt, len(prompt) - 1) for prompt in sorted(set(prompts))]

        def read(some: Sequence[Branch], output: BranchLogits) -> list[NDArray[np.float64]]:
            _refuse_spoiled(some, bool((output.logits.isnan() | output.logits.isposinf()).any()))
            return [output.logits[output.at(i, 1)[0]].double().cpu().numpy() for i in range(len(some))]

        logits: dict[Tokens, NDArray[np.float64]] = {}
        for branch, result in zip(branches, self._results(branches, adapter, read), strict=True):
            if isinstance(result, Refusal):
                raise MemoryError(TOO_LARGE) if result.reason == TOO_LARGE else RuntimeError(result.reason)
            logits[branch.fed] = result
        return np.stack([logits[prompt] for prompt in prompts])

    def in_reach(self, tokens: Tokens) -> bool:
        """Return whether every layer sees the whole sequence with the virtual tokens."""
        return self.reach is None or self.model.loaded.lead.tokens + len(tokens) <= self.reach

    @torch.no_grad()
    def _results(
        self,
        branches: Sequence[Branch],
        adapter: bool,
        read: Callable[[Sequence[Branch], BranchLogits], Sequence[Result]],
    ) -> list[Result | Refusal]:
        """Return what `read` makes of the logits of every branch; branches are sorted."""
        results: dict[int, Result | Refusal] = {}
        with self.model.loaded.answering(adapter) as (model, lead):
            headers = [ReadHeader(0, (), (), self._lead_states(model, lead))]
            for group in groups(branches, self.budget):
                while headers[-1].planned > group.above:
                    headers.pop()
                if group.header:
                    headers.append(self._continued(headers[-1], group, model, lead, keep=adapter))
                ask = partial(self._forward, header=headers[-1], model=model, lead=lead)
                results |= in_planned_batches(branches, group.rows, ask, read)
        return [results[i] for i in range(len(branches))]

    def _forward(
        self, branches: Sequence[Branch], header: ReadHeader, model: PreTrainedModel, lead: VirtualPrefix
    ) -> BranchLogits:
        """Run one pass over the row of these branches."""
        alone = None if header.states else even_rows(branches)
        row = alone or packed_row(branches, len(header.tokens))
        scored = [path[branch.first - len(branch.fed) :] for branch, path in zip(branches, row.paths, strict=True)]
        places = np.unique(np.concatenate(scored))
        inputs = self._inputs(row.tokens, row.positions, header.states, lead)
        if row.visible is not None:
            before = lead.tokens + len(header.tokens)
            inputs["attention_mask"] = attention_mask(row.visible, before, model)
        width, at = len(row.tokens[0]), torch.from_numpy(places).to(self.model.loaded.device)
        last = last_feed_forward(model) if self.trims and 2 * len(places) <= width * len(row.tokens) else None
        return BranchLogits(row, places, logits_at(model, inputs, (at // width, at % width), last))

    def _continued(
        self, parent: ReadHeader, group: HeaderGroup, model: PreTrainedModel, lead: VirtualPrefix, keep: bool
    ) -> ReadHeader:
        """Read the group's header in one pass after its parent's; return the parent's if memory does not suffice."""
        parts = (*parent.parts, len(group.header))
        states = self._headers.get((group.header, parts)) if keep else None
        if states is None:
            begin = len(parent.tokens)
            inputs = self._inputs([group.header[begin:]], [range(begin, len(group.header))], parent.states, lead)
            try:
                states = self._states(model, inputs)
            except (MemoryError, RuntimeError):
                return parent._replace(planned=len(group.header))
            if keep:
                self._keep((group.header, parts), states)
        return ReadHeader(len(group.header), group.header, parts, states)

    def _keep(self, key: tuple[Tokens, tuple[int, ...]], states: States) -> None:
        self._headers[key] = states
        while len(self._headers) > 1 and sum(len(tokens) for tokens, _ in self._headers) > KEPT_TOKENS:
            del self._headers[next(iter(self._headers))]

    def _lead_states(self, model: PreTrainedModel, lead: VirtualPrefix) -> States:
        """Return the states of the virtual tokens; () if there are none."""
        cache = passes_of(model, lead, (), self.model.positioned).prefix.cache or ()
        return tuple((keys[None], values[None]) for keys, values in cache)

    def _inputs(
        self, tokens: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], states: States, lead: VirtualPrefix
    ) -> dict[str, Any]:
        device = self.model.loaded.device
        inputs: dict[str, Any] = {
            "input_ids": torch.tensor(tokens, device=device),
            "position_ids": torch.tensor(positions, device=device) + lead.tokens,
            "use_cache": bool(states),
        }
        return {**inputs, "past_key_values": cache_of(states)} if states else inputs

    def _states(self, model: PreTrainedModel, inputs: dict[str, Any]) -> States:
        """Run one pass and return all keys and values in its cache; the head computes only one place."""
        inputs = {"past_key_values": DynamicCache(), **inputs, "use_cache": True}
        none = torch.zeros(1, dtype=torch.long, device=self.model.loaded.device)
        logits_at(model, inputs, (none, none), last_feed_forward(model) if self.trims else None)
        return tuple(keys_and_values(inputs["past_key_values"]))


def _refuse_spoiled(branches: Sequence[Branch], spoiled: bool) -> None:
    """Raise RuntimeError, so that the branches are read one by one, if one of several may have spoiled the others: a
    hidden token has weight 0 in a row, and 0 times NaN is NaN.
    """
    if spoiled and len(branches) > 1:
        raise RuntimeError(NONFINITE)
