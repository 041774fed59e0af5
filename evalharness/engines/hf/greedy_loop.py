"""Decode greedily row by row of a ragged cache: rows that end leave, and rows that wait take their places.

Prompts are read by passes of their own, few at a time, longest first; what all of them begin with is read once. Then
every pass feeds each running row its last token, and the likeliest next one is appended. A row that ends gives its
place up, the rows behind it move up, and as soon as enough places are free the next prompts are read. Which rows share
a pass hangs on the prompts that are given together, and on nothing else.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from evalharness.engines.hf.batches import TOO_LARGE, BatchLimits, Refusal, free_memory, refusal_of, rows_in_batches
from evalharness.engines.hf.drafts import WORTH, Drafting, LoopRow, ties
from evalharness.engines.hf.endings import DecodedRow, Endings, TokenPrompt
from evalharness.engines.hf.loop_passes import Passes, passes_of
from evalharness.engines.hf.model_adapter import ModelAdapter
from evalharness.engines.hf.ragged_cache import RaggedCache
from evalharness.engines.hf.rows import Tokens
from evalharness.engines.hf.trie import common

PREFILL = 1024  # tokens of a pass that reads prompts: larger ones are no faster on a CPU
HEADER = 16  # tokens that all prompts begin with, from which on it pays to read them apart
ROOM = 64  # new tokens for which the cache has room at once


class GreedyLoop:
    """Decodes with one decoder-only model. `position_bytes`: what a position of a row takes in the cache."""

    def __init__(self, model: ModelAdapter, limits: BatchLimits, endings: Endings, positioned: bool) -> None:
        self.model, self.limits, self.endings, self.positioned = model, limits, endings, positioned
        self.position_bytes = 0

    def rows(self, prompts: Sequence[TokenPrompt]) -> list[DecodedRow | Refusal]:
        """New tokens for every prompt, or why there are none. Where memory does not suffice or the model fails, what is
        unfinished is begun again in half as many places, so that a row that cannot be answered costs no other its
        answer.
        """
        header = self._header(prompts)
        results: dict[int, DecodedRow | Refusal] = {}
        most = places = self._places(prompts)
        while len(results) < len(prompts):
            waiting = self._waiting(prompts, header, results)
            try:
                for row in self._decode(waiting, prompts[0].tokens[:header], places):
                    results[row.index] = DecodedRow(new=row.new, finite=row.finite)
            except (MemoryError, RuntimeError, IndexError) as error:  # what torch raises
                refusal = refusal_of(error)
            else:
                break
            free_memory()  # the error's frames, and the tensors that they held, are gone by now
            if places > 1:
                places = (places + 1) // 2
            else:
                first = next(row for row in waiting if row.index not in results)  # the only one that was running
                results[first.index] = refusal
                places = 1 if refusal.reason == TOO_LARGE else most
        return [results[index] for index in range(len(prompts))]

    @torch.no_grad()
    def next_logits(self, prompts: Sequence[Tokens], adapter: bool) -> NDArray[np.float64]:
        """Logits after each prompt, (n, vocabulary): all but its last token are read as prompts are, the last as a new
        token is.
        """

        def ask(batch: list[int]) -> torch.Tensor:
            with self.model.loaded.answering(adapter) as (model, lead):
                passes = passes_of(model, lead, (), self.positioned)
                return passes.last_logits([prompts[i] for i in batch])

        return rows_in_batches([len(prompt) for prompt in prompts], self.limits, ask)

    def _header(self, prompts: Sequence[TokenPrompt]) -> int:
        """How many tokens all prompts begin with; 0 where each is to be read alone, or where it would not pay."""
        if self.limits.rows == 1 or len(prompts) < 2:
            return 0
        first, last = min(prompt.tokens for prompt in prompts), max(prompt.tokens for prompt in prompts)
        length = min(common(first, last), min(len(prompt.tokens) for prompt in prompts) - 1)
        return length if length >= HEADER else 0

    def _places(self, prompts: Sequence[TokenPrompt]) -> int:
        """How many rows are decoded together: the cache must fit a part of the memory."""
        device, lead = self.model.loaded.device, self.model.loaded.lead.tokens
        longest = max(len(prompt.tokens) + prompt.request.max_tokens for prompt in prompts)
        row = self.position_bytes * (lead + longest)
        return max(1, min(self.limits.rows, _memory(device) // max(1, row)))

    def _waiting(
        self, prompts: Sequence[TokenPrompt], header: int, results: dict[int, DecodedRow | Refusal]
    ) -> list[LoopRow]:
        """The rows that have no result, longest prompt first."""
        order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i].tokens), i))
        return [
            LoopRow(
                index=i,
                prompt=prompts[i],
                tokens=prompts[i].tokens[header:],
                least=self.endings.least_new(len(prompts[i].tokens), prompts[i].request.max_tokens),
            )
            for i in order
            if i not in results
        ]

    @torch.no_grad()
    def _decode(self, rows: Sequence[LoopRow], header: Tokens, places: int) -> Iterator[LoopRow]:
        """Yield the rows as they end."""
        waiting, running, cache = list(rows[::-1]), list[LoopRow](), RaggedCache(places)
        drafting = Drafting(self.model.tokenizer)
        with self.model.loaded.answering(True) as (model, lead):
            passes = passes_of(model, lead, header, self.positioned)
            while waiting or running:
                coming = _next_rows(waiting, places, len(running))
                if coming:
                    del waiting[-len(coming) :]
                    self._read(passes, cache, coming, len(running), drafting)
                    running += coming
                else:
                    self._write(running, [()] * len(running), _go_on(passes, cache, running))
                yield from (row for row in running if row.done)
                running = _move_up(cache, running)

    def _read(
        self, passes: Passes, cache: RaggedCache, rows: Sequence[LoopRow], first: int, drafting: Drafting
    ) -> None:
        """Read the prompts of rows, which get the places from `first` on, and go on with their drafts as far as that
        pays.
        """
        for row in rows:
            drafting.begin(row)
        proposals = [drafting.proposed(row) for row in rows]
        room = max(len(row.tokens) + min(ROOM, row.prompt.request.max_tokens) for row in rows)
        cache.reserve(passes.prefix.tokens + room)
        fed = [row.tokens + proposed for row, proposed in zip(rows, proposals, strict=True)]
        logits, filled = passes.prefill(fed, [1 + len(proposed) for proposed in proposals])
        cache.fill(first, filled)
        drafting.settle(rows, proposals, self._write(rows, proposals, logits, read=True))
        while True:
            places = [i for i, row in enumerate(rows) if drafting.proposed(row)]
            some = [rows[i] for i in places]
            proposals = [drafting.proposed(row) for row in some]
            if sum(map(len, proposals)) < WORTH:
                return
            logits = _go_on(passes, cache, some, proposals, [first + i for i in places])
            drafting.settle(some, proposals, self._write(some, proposals, logits))

    def _write(
        self, rows: Sequence[LoopRow], proposals: Sequence[Tokens], logits: torch.Tensor, read: bool = False
    ) -> list[list[int]]:
        """Append to each row the likeliest token after its last one and after each of its drafted tokens, as long as
        these agree; return what was appended. Where rounding might decide otherwise than a pass without a draft, a row
        waits for that. `logits`: (tokens fed, vocabulary); `read`: the first of each row are of a prompt.
        """
        best, tokens = logits.max(-1)  # NaN where any is
        finite = best.isfinite().tolist()
        close = ties(logits) if any(proposals) else [False] * len(logits)
        starts = list(itertools.accumulate((1 + len(proposed) for proposed in proposals), initial=0))
        early = [at for at, row in zip(starts, rows, strict=False) if len(row.new) < row.least]
        if early and self.endings.ends:
            logits[torch.tensor(early)[:, None], torch.tensor(sorted(self.endings.ends))] = -torch.inf
            tokens = logits.argmax(-1)
        written = []
        for at, row, proposed in zip(starts, rows, proposals, strict=False):
            before = len(row.new)
            for k, token in enumerate(tokens[at : at + 1 + len(proposed)].tolist()):
                if close[at + k] and proposed and not (read and k == 0):
                    break
                row.new.append(token)
                row.finite = finite[at + k]
                row.done = not row.finite or self.endings.ended(row.prompt.request, row.new)
                if row.done or token != (*proposed, None)[k]:
                    break
            written.append(row.new[before:])
        return written


def _memory(device: torch.device) -> int:
    """Bytes that a cache may take: a quarter of what the device has, whoever uses it, so that plans stay the same."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1] // 4
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4


def _next_rows(waiting: Sequence[LoopRow], places: int, running: int) -> list[LoopRow]:
    """The rows to read next, from the end of those that wait; none as long as running rows had better go on, because
    only few places are free.
    """
    if not waiting:
        return []
    longest = max(1, len(waiting[-1].tokens))
    together = min(len(waiting), places, max(1, PREFILL // longest))
    free = places - running
    worth = min(together, max(1, places // 4))
    return list(waiting[: -min(together, free) - 1 : -1]) if free >= worth else []


def _go_on(
    passes: Passes,
    cache: RaggedCache,
    rows: Sequence[LoopRow],
    proposals: Sequence[Tokens] = (),
    places: Sequence[int] | None = None,
) -> torch.Tensor:
    """Logits after the last token of every row, and after each token of its draft that is proposed."""
    lengths = [passes.prefix.tokens + len(row.tokens) + len(row.new) - 1 for row in rows]
    drafted = proposals or [()] * len(rows)
    fed = [[row.new[-1], *proposed] for row, proposed in zip(rows, drafted, strict=True)]
    return passes.step(fed, cache, lengths, places)


def _move_up(cache: RaggedCache, rows: Sequence[LoopRow]) -> list[LoopRow]:
    """The rows that go on, the last ones in the places of those that ended."""
    for place, row in enumerate(rows):
        if not row.finite:
            cache.clear(place)
    going = [place for place, row in enumerate(rows) if not row.done]
    moved = [place for place in going if place >= len(going)]
    free = sorted(set(range(len(going))) - set(going))
    cache.move(moved, free)
    order = dict(zip(free, moved, strict=True))
    return [rows[order.get(place, place)] for place in range(len(going))]
