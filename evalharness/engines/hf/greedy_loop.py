"""Decode greedily over a ragged cache, whose rows have different lengths: rows that end leave, waiting rows replace
them.

Prompts are read by passes of their own, few at a time, longest first; their common beginning is read once. Then every
pass feeds each running row its last token and appends the likeliest next one. When a row ends, the last rows move to
the free places, and as soon as enough places are free the next prompts are read. Which rows share a pass depends only
on the prompts of the call.
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
from evalharness.engines.hf.trie import prefix_length

PREFILL = 1024  # tokens of a pass that reads prompts: larger ones are no faster on a CPU
HEADER = 16  # least length of a common beginning of all prompts that is worth a pass of its own
RESERVED = 64  # new tokens for which the cache has space at once


class GreedyLoop:
    """Decodes with one decoder-only model. `position_bytes`: the bytes of one position of one row in the cache."""

    def __init__(self, model: ModelAdapter, limits: BatchLimits, endings: Endings, positioned: bool) -> None:
        self.model, self.limits, self.endings, self.positioned = model, limits, endings, positioned
        self.position_bytes = 0

    def rows(self, prompts: Sequence[TokenPrompt]) -> list[DecodedRow | Refusal]:
        """Return the new tokens of every prompt, or why there are none.

        If memory does not suffice or the model fails, unfinished rows start again with half as many at a time, so that
        a row that cannot be answered does not make others fail.
        """
        header = self._header(prompts)
        results: dict[int, DecodedRow | Refusal] = {}
        most = places = self._places(prompts)
        while len(results) < len(prompts):
            waiting = self._waiting(prompts, header, results)
            try:
                for row in self._decode(waiting, prompts[0].tokens[:header], places):
                    results[row.index] = DecodedRow(new=row.new, finite=row.finite)
            except (MemoryError, RuntimeError, IndexError) as error:  # the exceptions of torch
                refusal = refusal_of(error)
            else:
                break
            free_memory()  # only here: the error's frames no longer hold tensors
            if places > 1:
                places = (places + 1) // 2
            else:
                first = next(row for row in waiting if row.index not in results)  # the only row that was running
                results[first.index] = refusal
                places = 1 if refusal.reason == TOO_LARGE else most
        return [results[index] for index in range(len(prompts))]

    @torch.no_grad()
    def next_logits(self, prompts: Sequence[Tokens], adapter: bool) -> NDArray[np.float64]:
        """Return the logits after each prompt, (n, vocabulary): the last token is read like a new one, the others like
        a prompt.
        """

        def ask(batch: list[int]) -> torch.Tensor:
            with self.model.loaded.answering(adapter) as (model, lead):
                passes = passes_of(model, lead, (), self.positioned)
                return passes.last_logits([prompts[i] for i in batch])

        return rows_in_batches([len(prompt) for prompt in prompts], self.limits, ask)

    def _header(self, prompts: Sequence[TokenPrompt]) -> int:
        """Return the length of the prompts' common beginning; 0 if rows are read alone, or if it is too short."""
        if self.limits.rows == 1 or len(prompts) < 2:
            return 0
        first, last = min(prompt.tokens for prompt in prompts), max(prompt.tokens for prompt in prompts)
        length = min(prefix_length(first, last), min(len(prompt.tokens) for prompt in prompts) - 1)
        return length if length >= HEADER else 0

    def _places(self, prompts: Sequence[TokenPrompt]) -> int:
        """Return how many rows are decoded together, so that the cache fits a part of the memory."""
        device, lead = self.model.loaded.device, self.model.loaded.lead.tokens
        longest = max(len(prompt.tokens) + prompt.request.max_tokens for prompt in prompts)
        row = self.position_bytes * (lead + longest)
        return max(1, min(self.limits.rows, _memory(device) // max(1, row)))

    def _waiting(
        self, prompts: Sequence[TokenPrompt], header: int, results: dict[int, DecodedRow | Refusal]
    ) -> list[LoopRow]:
        """Return the rows that have no result, longest prompt first."""
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
        """Decode the rows and yield each when it ends."""
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
                yield from (row for row in running if row.is_done)
                running = _move_up(cache, running)

    def _read(
        self, passes: Passes, cache: RaggedCache, rows: Sequence[LoopRow], first: int, drafting: Drafting
    ) -> None:
        """Read the prompts of rows into the places from `first` on, and go on with their drafts while these are long
        enough.
        """
        for row in rows:
            drafting.begin(row)
        proposals = [drafting.proposed(row) for row in rows]
        positions = max(len(row.tokens) + min(RESERVED, row.prompt.request.max_tokens) for row in rows)
        cache.reserve(passes.prefix.tokens + positions)
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
        """Append to each row the likeliest token after its last one and after each of its drafted tokens that agrees.
        Return the appended tokens.

        If rounding might make a draft decide, the row waits for a pass without one. `logits`: (tokens fed, vocabulary).
        `read`: whether the first token of each row belongs to a prompt.
        """
        best, tokens = logits.max(-1)  # NaN where any is
        finite = best.isfinite().tolist()
        close = ties(logits) if any(proposals) else [False] * len(logits)
        starts = list(itertools.accumulate((1 + len(proposed) for proposed in proposals), initial=0))
        early = [at for at, row in zip(starts, rows, strict=False) if len(row.new) < row.least]
        if early and self.endings.ends:
            logits[torch.tensor(early)[:, None], torch.tensor(sorted(self.endings.ends))] = -torch.inf
            tokens = logits.argmax(-1)
        outputs = []
        for at, row, proposed in zip(starts, rows, proposals, strict=False):
            before = len(row.new)
            for k, token in enumerate(tokens[at : at + 1 + len(proposed)].tolist()):
                if close[at + k] and proposed and not (read and k == 0):
                    break
                row.new.append(token)
                row.finite = finite[at + k]
                row.is_done = not row.finite or self.endings.ended(row.prompt.request, row.new)
                if row.is_done or token != (*proposed, None)[k]:
                    break
            outputs.append(row.new[before:])
        return outputs


def _memory(device: torch.device) -> int:
    """Return the bytes that a cache may take: a quarter of all the device's memory, so that plans stay the same."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1] // 4
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4


def _next_rows(waiting: Sequence[LoopRow], places: int, running: int) -> list[LoopRow]:
    """Return the rows to read next, from the end of `waiting`; none while only few places are free, because the running
    rows then go on faster.
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
    """Return the logits after the last token of every row, and after each of its proposed tokens."""
    lengths = [passes.prefix.tokens + len(row.tokens) + len(row.new) - 1 for row in rows]
    drafted = proposals or [()] * len(rows)
    fed = [[row.new[-1], *proposed] for row, proposed in zip(rows, drafted, strict=True)]
    return passes.step(fed, cache, lengths, places)


def _move_up(cache: RaggedCache, rows: Sequence[LoopRow]) -> list[LoopRow]:
    """Return the rows that go on; the last ones move to the places of those that ended."""
    for place, row in enumerate(rows):
        if not row.finite:
            cache.clear(place)
    going = [place for place, row in enumerate(rows) if not row.is_done]
    moved = [place for place in going if place >= len(going)]
    free = sorted(set(range(len(going))) - set(going))
    cache.move(moved, free)
    order = dict(zip(free, moved, strict=True))
    return [rows[order.get(place, place)] for place in range(len(going))]
