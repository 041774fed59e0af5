"""Answer Rank and Score requests with log-probabilities: rows in batches, the head computed only where something is
scored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from evalharness.engines.hf.batches import BatchLimits, Refusal, in_batches, rows_in_batches
from evalharness.engines.hf.model_adapter import ModelAdapter
from evalharness.engines.hf.rows import BatchRow, Tokens
from evalharness.engines.hf.tokenizer_adapter import TokenPair, Untokenizable
from evalharness.records.requests import Failure, Rank, Ranking, Score, Scoring

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
RankOrScore = TypeVar("RankOrScore", Rank, Score)
Answer = TypeVar("Answer", Ranking, Scoring)


class Scorer:
    """Scores with one loaded model."""

    def __init__(self, model: ModelAdapter, limits: BatchLimits) -> None:
        self.model, self.limits = model, limits

    def rank(self, requests: Sequence[Rank]) -> Iterator[Ranking | Failure]:
        """An answer per request, in order."""
        return self._answers(requests, self._pairs, _ranking)

    def score(self, requests: Sequence[Score]) -> Iterator[Scoring | Failure]:
        """An answer per request, in order: the sum over the text's pieces, as lm-eval's `loglikelihood_rolling` cuts
        them.
        """
        return self._answers(requests, self._pieces, _scoring)

    def last_logits(self, prompts: Sequence[str], adapter: bool) -> NDArray[np.float64]:
        """Logits after each prompt, (n, vocabulary), by the pass that scores."""
        rows = [self.model.row(self.model.tokenizer.prompt(prompt)) for prompt in prompts]
        lengths = [self.model.size(row) for row in rows]
        return rows_in_batches(lengths, self.limits, lambda batch: self.model.logits([rows[i] for i in batch], adapter))

    def _answers(
        self,
        requests: Sequence[RankOrScore],
        tokenise: Callable[[RankOrScore], Sequence[TokenPair] | str],
        answer: Callable[[RankOrScore, Sequence[TokenPair], Scores], Answer | Failure],
    ) -> Iterator[Answer | Failure]:
        """Answers made of the scores of every request's pairs; pairs that read the same tokens share a row."""
        pairs = [tokenise(request) for request in requests]
        runs: dict[tuple[Tokens, Tokens], dict[Tokens, TokenPair]] = {}
        for pair in (pair for of_request in pairs if not isinstance(of_request, str) for pair in of_request):
            runs.setdefault(self.model.read(pair), {})[pair.continuation] = pair
        rows = [BatchRow(source, fed, tuple(continuations)) for (source, fed), continuations in runs.items()]
        lengths = [self.model.size(row) for row in rows]
        results = in_batches(rows, lengths, self.limits, self.model.logits, _run_scores)
        scores: dict[TokenPair, RunScore | Refusal] = {}
        for of_row, result in zip(runs.values(), results, strict=True):
            for place, pair in enumerate(of_row.values()):
                scores[pair] = result if isinstance(result, Refusal) else result[place]
        for request, of_request in zip(requests, pairs, strict=True):
            if isinstance(of_request, str):
                yield Failure(request_id=request.id, reason=of_request)
            else:
                yield answer(request, of_request, scores)

    def _pairs(self, request: Rank) -> Sequence[TokenPair] | str:
        """The request's pairs as tokens, or why it cannot be asked."""
        try:
            pairs = [self.model.tokenizer.pair(context, continuation) for context, continuation in request.pairs]
        except Untokenizable as error:
            return str(error)
        return max((self.model.too_long(pair) for pair in pairs), key=len, default="") or pairs

    def _pieces(self, request: Score) -> Sequence[TokenPair] | str:
        """The text in pieces that the window holds beside the virtual tokens, or why it cannot be scored."""
        try:
            return self.model.pieces(request.text)
        except Untokenizable as error:
            return str(error)


@torch.no_grad()
def _run_scores(rows: Sequence[BatchRow], logits: torch.Tensor) -> list[list[RunScore]]:
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


def _all_scored(pairs: Sequence[TokenPair], scores: Scores) -> list[tuple[float, bool]] | str:
    """Log-probability and greediness in order, or why there is none of one of them."""
    of_pairs = [scores[pair] for pair in pairs]
    if refusal := next((score for score in of_pairs if isinstance(score, Refusal)), None):
        return refusal.reason
    finite = [
        (score.logprob, score.greedy) for score in of_pairs if isinstance(score, RunScore) and score.logprob is not None
    ]
    return finite if len(finite) == len(pairs) else NONFINITE


def _ranking(request: Rank, pairs: Sequence[TokenPair], scores: Scores) -> Ranking | Failure:
    scored = _all_scored(pairs, scores)
    if isinstance(scored, str):
        return Failure(request_id=request.id, reason=scored)
    return Ranking(
        request_id=request.id,
        logprobs=tuple(logprob for logprob, _ in scored),
        tokens=tuple(len(pair.continuation) for pair in pairs),
        greedy=tuple(greedy for _, greedy in scored),
    )


def _scoring(request: Score, pieces: Sequence[TokenPair], scores: Scores) -> Scoring | Failure:
    scored = _all_scored(pieces, scores)
    if isinstance(scored, str):
        return Failure(request_id=request.id, reason=scored)
    total = math.fsum(logprob for logprob, _ in scored)
    return Scoring(request_id=request.id, logprob=total, tokens=sum(len(piece.continuation) for piece in pieces))
