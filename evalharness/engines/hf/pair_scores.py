"""Score pairs of context and continuation: rows in batches, the head computed only where something is scored."""

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

CHUNK = 1 << 22  # float32 values of the softmax held at a time
NONFINITE = "non-finite logits"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScore:
    """Of one continuation: summed log-probability (nats) and whether every token is the most likely one. None: the
    logits were not finite.
    """

    logprob: float | None
    greedy: bool


Scores = Mapping[TokenPair, RunScore | Refusal]


class PairScorer(Protocol):
    """Runs the forward passes by which pairs are scored, with one loaded model."""

    def scores(self, pairs: Sequence[TokenPair]) -> Scores:
        """A score for every pair, or why there is none. Which rows share a pass depends on `pairs` alone."""
        ...

    def last_logits(self, prompts: Sequence[Tokens], adapter: bool) -> NDArray[np.float64]:
        """Logits after each prompt, (n, vocabulary), by the passes that score. Raises MemoryError for one alone."""
        ...


class PlainPairScorer:
    """Scores by whole rows, padded to the longest of a batch: what every architecture can do."""

    def __init__(self, model: ModelAdapter, limits: BatchLimits) -> None:
        self.model, self.limits = model, limits

    def scores(self, pairs: Sequence[TokenPair]) -> Scores:
        """A score for every pair; pairs that read the same tokens share a row."""
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
        """Logits after each prompt, (n, vocabulary)."""
        rows = [self.model.row(prompt) for prompt in prompts]
        lengths = [self.model.size(row) for row in rows]
        return rows_in_batches(lengths, self.limits, lambda batch: self.model.logits([rows[i] for i in batch], adapter))


@torch.no_grad()
def run_scores(rows: Sequence[BatchRow], logits: torch.Tensor) -> list[list[RunScore]]:
    """A score for every run of every row. `logits`: (scored positions of all rows, vocabulary)."""
    starts = np.cumsum([0, *(row.scored for row in rows[:-1])]).tolist()
    runs = [(b, run) for b, row in enumerate(rows) for run in row.runs]
    at = [starts[b] + rows[b].scored - len(run) + k for b, run in runs for k in range(len(run))]
    tokens = [token for _, run in runs for token in run]
    logprobs, greedy = _log_softmax(
        logits, torch.tensor(at, device=logits.device), torch.tensor(tokens, device=logits.device)
    )
    scores: list[list[RunScore]] = [[] for _ in rows]
    done = 0
    for b, run in runs:
        total = float(np.sum(logprobs[done : done + len(run)]))
        is_greedy = bool(greedy[done : done + len(run)].all())
        scores[b].append(RunScore(logprob=total if np.isfinite(total) else None, greedy=is_greedy))
        done += len(run)
    return scores


def _log_softmax(
    logits: torch.Tensor, at: torch.Tensor, tokens: torch.Tensor
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Log-probability of tokens[i] in row at[i] of the logits, and whether it is that row's most likely token. NaN for
    rows with NaN or +inf.
    """
    norms, best = [], []
    for part in torch.split(logits, max(1, CHUNK // logits.shape[1])):
        part = part.float()
        norms.append(torch.logsumexp(part, dim=-1).masked_fill((part.isnan() | part.isposinf()).any(-1), torch.nan))
        best.append(part.argmax(-1))
    logprobs = logits[at, tokens].double() - torch.cat(norms)[at].double()
    return logprobs.cpu().numpy(), (torch.cat(best)[at] == tokens).cpu().numpy()
