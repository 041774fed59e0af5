"""Score pairs of context and continuation in batches; the model's head is computed only at scored places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from evalharness.engines.hf.batches import BatchLimits, Refusal, in_batches, rows_in_batches
from evalharness.engines.hf.model_adapter import ModelAdapter
from evalharness.engines.hf.rows import BatchRow, Tokens
from evalharness.engines.hf.tokenizer_adapter import TokenPair

CHUNK = 1 << 22  # float32 values of the softmax in memory at a time
NONFINITE = "non-finite logits"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScore:
    """The score of one continuation.

    `logprob`: its summed log-probability in nats, None if the logits were not finite. `greedy`: whether every token is
    the most likely one.
    """

    logprob: float | None
    greedy: bool


Scores = Mapping[TokenPair, RunScore | Refusal]


class PairScorer(Protocol):
    """Scores pairs of context and continuation by forward passes of one loaded model. `plain_because`: why pairs do not
    share the reading of common prefixes although the engine could do that; "" if they do, or if the settings forbid it.
    """

    plain_because: str

    def scores(self, pairs: Sequence[TokenPair]) -> Scores:
        """Return a score for every pair, or why there is none. Which rows share a pass depends on `pairs` alone."""
        ...

    def last_logits(self, prompts: Sequence[Tokens], adapter: bool) -> NDArray[np.float64]:
        """Return the logits after each prompt, (n, vocabulary), by the passes that score. Raises MemoryError if memory
        does not suffice for a single prompt.
        """
        ...


class PlainPairScorer:
    """Scores by whole rows, padded to the longest of a batch, which every architecture supports."""

    def __init__(self, model: ModelAdapter, limits: BatchLimits, plain_because: str = "") -> None:
        self.model, self.limits, self.plain_because = model, limits, plain_because

    def scores(self, pairs: Sequence[TokenPair]) -> Scores:
        """Return a score for every pair; pairs that read the same tokens share a row."""
        runs: dict[tuple[Tokens, Tokens], dict[Tokens, TokenPair]] = {}
        for pair in pairs:
            runs.setdefault(self.model.read(pair), {})[pair.continuation] = pair
        rows = [BatchRow(source, fed, tuple(continuations)) for (source, fed), continuations in runs.items()]
        lengths = [self.model.size(row) for row in rows]
        results = in_batches(rows, lengths, self.limits, self.model.logits, run_scores)
        scores: dict[TokenPair, RunScore | Refusal] = {}
        for of_row, result in zip(runs.values(), results, strict=True):
            for place, pair in enumerate(of_row.values()):
                scores[pair] = result if isinstance(result, Refusal) else result[place]
        return scores

    def last_logits(self, prompts: Sequence[Tokens], adapter: bool) -> NDArray[np.float64]:
        """Return the logits after each prompt, (n, vocabulary)."""
        rows = [self.model.row(prompt) for prompt in prompts]
        lengths = [self.model.size(row) for row in rows]
        return rows_in_batches(lengths, self.limits, lambda batch: self.model.logits([rows[i] for i in batch], adapter))


def run_scores(rows: Sequence[BatchRow], logits: torch.Tensor) -> list[list[RunScore]]:
    """Return a score for every run of every row. `logits`: (scored positions of all rows, vocabulary)."""
    ends = np.cumsum([row.scored for row in rows])
    runs = [(end, run) for end, row in zip(ends, rows, strict=True) for run in row.runs]
    scores = iter(scores_at(logits, [np.arange(end - len(run), end) for end, run in runs], [run for _, run in runs]))
    return [[next(scores) for _ in row.runs] for row in rows]


@torch.no_grad()
def scores_at(logits: torch.Tensor, places: Sequence[NDArray[np.int64]], runs: Sequence[Tokens]) -> list[RunScore]:
    """Return a score for every run; its token k is predicted by row places[…][k] of `logits`, (rows, vocabulary)."""
    at = torch.from_numpy(np.concatenate(places)).to(logits.device)
    tokens = torch.tensor([token for run in runs for token in run], device=logits.device)
    logprobs, greedy = _log_softmax(logits, at, tokens)
    starts = np.cumsum([0, *(len(run) for run in runs[:-1])])
    totals, all_greedy = np.add.reduceat(logprobs, starts), np.logical_and.reduceat(greedy, starts)
    return [
        RunScore(logprob=float(total) if np.isfinite(total) else None, greedy=bool(is_greedy))
        for total, is_greedy in zip(totals, all_greedy, strict=True)
    ]


def _log_softmax(
    logits: torch.Tensor, at: torch.Tensor, tokens: torch.Tensor
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the log-probability of tokens[i] in row at[i] of the logits, not finite for rows with NaN or +inf, and
    whether it is that row's most likely token.
    """
    norms, best = [], []
    for part in torch.split(logits, max(1, CHUNK // logits.shape[1])):
        part = part.float()
        norms.append(torch.logsumexp(part, dim=-1))  # NaN or +inf where the row has one
        best.append(part.argmax(-1))
    norm = torch.cat(norms)
    norm = norm.masked_fill(~norm.isfinite(), torch.nan)
    logprobs = logits[at, tokens].double() - norm[at].double()
    return logprobs.cpu().numpy(), (torch.cat(best)[at] == tokens).cpu().numpy()
