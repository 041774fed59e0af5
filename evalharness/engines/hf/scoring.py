"""Rank and Score requests to log-probabilities: batches of rows, the head computed only where something is scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from evalharness.checkpoints.load import LoadedModel
from evalharness.engines.hf.architectures import asker_of
from evalharness.engines.hf.batches import Refused, answered, plan
from evalharness.engines.hf.batching import Row, Tokens
from evalharness.engines.hf.tokenizer_adapter import Pair, Texts, Untokenizable
from evalharness.records.requests import Failure, Rank, Ranking, Score, Scoring

CHUNK = 1 << 22  # float32 values of the softmax held at a time
NONFINITE = "non-finite logits"


@dataclass(frozen=True, slots=True)
class Found:
    """Of one continuation: summed log-probability (nats) and whether every token is the most likely one. None: the
    logits were not finite.
    """

    logprob: float | None
    greedy: bool


Scores = Mapping[Pair, Found | Refused]


class Scorer:
    """Scores with one loaded model. `bounds` are the rows, and the rows × length, of a batch."""

    def __init__(
        self,
        loaded: LoadedModel,
        texts: Texts,
        window: int | None,
        bounds: tuple[int, int],
        recover: Callable[[], None],
    ) -> None:
        self.texts, self.window, self.bounds, self.recover = texts, window, bounds, recover
        self.loaded, self.asker = loaded, asker_of(loaded, texts, window)

    def rank(self, requests: Sequence[Rank]) -> Iterator[Ranking | Failure]:
        """An answer per request, in order. Pairs that read the same tokens share a row."""
        pairs: list[tuple[Pair, ...] | str] = [self._pairs(request) for request in requests]
        scores = self._scored(pair for asked in pairs if isinstance(asked, tuple) for pair in asked)
        for request, asked in zip(requests, pairs, strict=True):
            yield Failure(request.id, asked) if isinstance(asked, str) else _ranking(request, asked, scores)

    def score(self, requests: Sequence[Score]) -> Iterator[Scoring | Failure]:
        """An answer per request, in order: the sum over the text's pieces, as lm-eval's `loglikelihood_rolling` cuts
        them.
        """
        pieces: list[tuple[Pair, ...] | str] = [self._pieces(request) for request in requests]
        scores = self._scored(piece for asked in pieces if isinstance(asked, tuple) for piece in asked)
        for request, asked in zip(requests, pieces, strict=True):
            yield Failure(request.id, asked) if isinstance(asked, str) else _scoring(request, asked, scores)

    def _scored(self, pairs: Iterable[Pair]) -> Scores:
        """What was found of every pair; those that read the same tokens share a row."""
        runs: dict[tuple[Tokens, Tokens], dict[Tokens, Pair]] = {}
        for pair in pairs:
            runs.setdefault(self.asker.read(pair), {})[pair.continuation] = pair
        rows = [Row(source, fed, tuple(wanted)) for (source, fed), wanted in runs.items()]
        scores: dict[Pair, Found | Refused] = {}
        for batch in plan([self.asker.size(row) for row in rows], *self.bounds):
            for index, found in answered(batch, lambda some: self._score([rows[i] for i in some]), self.recover):
                for j, pair in enumerate(runs[rows[index].source, rows[index].fed].values()):
                    scores[pair] = found if isinstance(found, Refused) else found[j]
        return scores

    def last_logits(self, prompts: Sequence[str], adapter: bool) -> NDArray[np.float64]:
        """Logits after each prompt, (n, vocabulary), by the pass that scores."""
        rows = [self.asker.row(self.texts.prompt(prompt)) for prompt in prompts]
        found: dict[int, NDArray[np.float64]] = {}
        for batch in plan([self.asker.size(row) for row in rows], *self.bounds):
            logits = self.asker.logits([rows[i] for i in batch], adapter)
            found.update(zip(batch, logits.double().cpu().numpy(), strict=True))
        return np.stack([found[i] for i in range(len(rows))])

    def _pairs(self, request: Rank) -> tuple[Pair, ...] | str:
        """The request's pairs as tokens, or why it cannot be asked."""
        try:
            pairs = tuple(self.texts.pair(context, continuation) for context, continuation in request.pairs)
        except Untokenizable as error:
            return str(error)
        return max((self.asker.too_long(pair) for pair in pairs), key=len, default="") or pairs

    def _pieces(self, request: Score) -> tuple[Pair, ...] | str:
        """The text in pieces that the window holds beside the virtual tokens, or why it cannot be scored."""
        room = self.asker.room
        if room < 1:
            return f"{self.loaded.lead.tokens} virtual tokens leave no room for text in the window of {self.window}"
        try:
            return self.texts.pieces(request.text, room)
        except Untokenizable as error:
            return str(error)

    @torch.no_grad()
    def _score(self, rows: Sequence[Row]) -> list[list[Found]]:
        """A score for every run of every row."""
        logits = self.asker.logits(rows, adapter=True)
        starts = np.cumsum([0, *(row.scored for row in rows[:-1])]).tolist()
        runs = [(b, run) for b, row in enumerate(rows) for run in row.runs]
        at = [starts[b] + rows[b].scored - len(run) + k for b, run in runs for k in range(len(run))]
        tokens = [token for _, run in runs for token in run]
        logprobs, greedy = _log_softmax(
            logits, torch.tensor(at, device=logits.device), torch.tensor(tokens, device=logits.device)
        )
        scores: list[list[Found]] = [[] for _ in rows]
        done = 0
        for b, run in runs:
            total = float(np.sum(logprobs[done : done + len(run)]))
            scores[b].append(Found(total if np.isfinite(total) else None, bool(greedy[done : done + len(run)].all())))
            done += len(run)
        return scores


def _log_softmax(
    logits: torch.Tensor, at: torch.Tensor, tokens: torch.Tensor
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Log-probability of tokens[i] in row at[i] of the logits, and whether it is that row's most likely token. NaN for
    rows with NaN or +inf.
    """
    norms, best = [], []
    for part in logits.split(max(1, CHUNK // logits.shape[1])):
        part = part.float()
        norms.append(torch.logsumexp(part, dim=-1).masked_fill((part.isnan() | part.isposinf()).any(-1), torch.nan))
        best.append(part.argmax(-1))
    found = logits[at, tokens].double() - torch.cat(norms)[at].double()
    return found.cpu().numpy(), (torch.cat(best)[at] == tokens).cpu().numpy()


def _logprobs(asked: Sequence[Pair], scores: Scores) -> list[float] | str:
    """Log-probabilities in order, or why there is none of one of them."""
    found = [scores[pair] for pair in asked]
    refused = next((score.reason for score in found if isinstance(score, Refused)), None)
    logprobs = [score.logprob for score in found if isinstance(score, Found) and score.logprob is not None]
    return logprobs if len(logprobs) == len(asked) else refused or NONFINITE


def _ranking(request: Rank, pairs: Sequence[Pair], scores: Scores) -> Ranking | Failure:
    logprobs = _logprobs(pairs, scores)
    if isinstance(logprobs, str):
        return Failure(request.id, logprobs)
    return Ranking(
        request_id=request.id,
        logprobs=tuple(logprobs),
        tokens=tuple(len(pair.continuation) for pair in pairs),
        greedy=tuple(score.greedy for score in (scores[pair] for pair in pairs) if isinstance(score, Found)),
    )


def _scoring(request: Score, pieces: Sequence[Pair], scores: Scores) -> Scoring | Failure:
    logprobs = _logprobs(pieces, scores)
    if isinstance(logprobs, str):
        return Failure(request.id, logprobs)
    return Scoring(request.id, math.fsum(logprobs), sum(len(piece.continuation) for piece in pieces))
