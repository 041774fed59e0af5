"""Answer Rank and Score requests from the scores of pairs of tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Protocol, TypeVar

from evalharness.engines.hf.batches import Refusal
from evalharness.engines.hf.pair_scores import NONFINITE, PairScorer, RunScore, Scores
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, TokenPair, Untokenizable
from evalharness.records.requests import Failure, Rank, Ranking, Score, Scoring

RankOrScore = TypeVar("RankOrScore", Rank, Score)
Answer = TypeVar("Answer", Ranking, Scoring)


class PairReader(Protocol):
    """The parts of a model that scoring needs: its tokenizer and its window."""

    @property
    def tokenizer(self) -> TokenizerAdapter: ...
    def too_long(self, pair: TokenPair) -> str:
        """Return why the pair does not fit the window; "" if it does."""
        ...

    def pieces(self, text: str, limit: int | None = None, special: bool = True) -> tuple[TokenPair, ...]:
        """Split a whole text into pieces that fit the window. Raises Untokenizable."""
        ...


class Scorer:
    """Answers Rank and Score requests with one loaded model. `choose` returns the pair scorer, when the first one is
    needed.
    """

    def __init__(self, model: PairReader, choose: Callable[[], PairScorer]) -> None:
        self.model, self._choose = model, choose

    @cached_property
    def pair_scorer(self) -> PairScorer:
        """Return the scorer that runs the forward passes."""
        return self._choose()

    def rank(self, requests: Sequence[Rank]) -> Iterator[Ranking | Failure]:
        """Yield an answer per request, in order."""
        return self._answers(requests, self._pairs, _ranking)

    def score(self, requests: Sequence[Score]) -> Iterator[Scoring | Failure]:
        """Yield an answer per request, in order: the sum over the text's pieces, split as in lm-eval's
        `loglikelihood_rolling`.
        """
        return self._answers(requests, self._pieces, _scoring)

    def _answers(
        self,
        requests: Sequence[RankOrScore],
        tokenise: Callable[[RankOrScore], Sequence[TokenPair] | str],
        answer: Callable[[RankOrScore, Sequence[TokenPair], Scores], Answer | Failure],
    ) -> Iterator[Answer | Failure]:
        """Split every request into pairs, score each distinct pair once, and yield the answers that `answer` makes of
        the scores.
        """
        pairs = [tokenise(request) for request in requests]
        distinct = dict.fromkeys(pair for of_request in pairs if not isinstance(of_request, str) for pair in of_request)
        scores = self.pair_scorer.scores(list(distinct))
        for request, of_request in zip(requests, pairs, strict=True):
            if isinstance(of_request, str):
                yield Failure(request_id=request.id, reason=of_request)
            else:
                yield answer(request, of_request, scores)

    def _pairs(self, request: Rank) -> Sequence[TokenPair] | str:
        """Return the request's pairs as tokens, or why the model cannot rank them."""
        try:
            pairs = [self.model.tokenizer.pair(context, continuation) for context, continuation in request.pairs]
        except Untokenizable as error:
            return str(error)
        return max((self.model.too_long(pair) for pair in pairs), key=len, default="") or pairs

    def _pieces(self, request: Score) -> Sequence[TokenPair] | str:
        """Split the text into pieces that fit the window with the virtual tokens, or return why it cannot be scored."""
        try:
            return self.model.pieces(request.text)
        except Untokenizable as error:
            return str(error)


def _all_scored(pairs: Sequence[TokenPair], scores: Scores) -> list[tuple[float, bool]] | str:
    """Return log-probability and greediness of every pair, or why one of them has none."""
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
