"""Answer Profile requests: predict at every token of a text the likeliest tokens, or the requested ones.

A profile has the log-probabilities of these tokens, of the text's own tokens, and of all other tokens together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from evalharness.engines.hf.batches import BatchLimits, Refusal, in_batches
from evalharness.engines.hf.model_adapter import ModelAdapter
from evalharness.engines.hf.pair_scores import CHUNK, NONFINITE
from evalharness.engines.hf.rows import BatchRow, Tokens
from evalharness.engines.hf.scoring import PairReader
from evalharness.engines.hf.tokenizer_adapter import TokenPair, Untokenizable
from evalharness.records.requests import Failure, Profile, Profiling

PLACES = 9  # decimals of a stored log-probability
LEAST = -1e4  # the log-probability of an impossible token, because JSON has no infinity
BEYOND = "a token is asked for that is beyond this model's vocabulary"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPiece:
    """One piece of a text to profile.

    `row`: the tokens to read. `at`: the tokens whose log-probabilities are requested at each place; () for those of the
    `top_k` likeliest tokens.
    """

    row: BatchRow
    top_k: int
    at: tuple[Tokens, ...]


@dataclass(slots=True, kw_only=True)
class PieceProfile:
    """A model's predictions at each token of one piece; every list has one entry a token.

    `logprobs`: of the text's own token, in nats. `argmax`: the id of the likeliest token. `ids`: the ids of the `top_k`
    likeliest tokens; empty if tokens were requested. `top`: the log-probabilities of those, or of the requested tokens.
    `rest`: the log-probability of all other tokens together; None if there are no others.
    """

    logprobs: list[float] = field(default_factory=list)
    argmax: list[int] = field(default_factory=list)
    ids: list[list[int]] = field(default_factory=list)
    top: list[list[float]] = field(default_factory=list)
    rest: list[float | None] = field(default_factory=list)


class RowReader(PairReader, Protocol):
    """A model as profiles need it: a PairReader that also says which tokens it reads for a pair."""

    def read(self, pair: TokenPair) -> tuple[Tokens, Tokens]:
        """Return the tokens that encoder and decoder read to predict the continuation."""
        ...


class Profiler:
    """Answers Profile requests with one model. `of_pieces` is a function that computes the model's predictions for
    pieces of text, and returns them in order.
    """

    def __init__(
        self, model: RowReader, of_pieces: Callable[[Sequence[TextPiece]], Iterable[PieceProfile | Refusal]]
    ) -> None:
        self.model, self._of_pieces = model, of_pieces

    def profile(self, requests: Sequence[Profile]) -> Iterator[Profiling | Failure]:
        """Yield an answer per request, in order."""
        pieces = [self._pieces(request) for request in requests]
        flat = [piece for of_request in pieces if not isinstance(of_request, str) for piece in of_request]
        profiles = iter(self._of_pieces(flat))
        for request, of_request in zip(requests, pieces, strict=True):
            if isinstance(of_request, str):
                yield Failure(request_id=request.id, reason=of_request)
            else:
                yield _profiling(request, of_request, [next(profiles) for _ in of_request])

    def _pieces(self, request: Profile) -> list[TextPiece] | str:
        """Split the text into pieces without special tokens, or return why it cannot be profiled."""
        try:
            pairs = self._pairs(request)
        except Untokenizable as error:
            return str(error)
        total = sum(len(pair.continuation) for pair in pairs)
        if request.at and len(request.at) != total:
            return f"the text has {total} tokens here, and the request asks at {len(request.at)} tokens"
        pieces, start = [], 0
        for pair in pairs:
            if long := self.model.too_long(pair):
                return long
            end = start + len(pair.continuation)
            row = BatchRow(*self.model.read(pair), (pair.continuation,))
            pieces.append(TextPiece(row=row, top_k=request.top_k, at=request.at[start:end]))
            start = end
        return pieces

    def _pairs(self, request: Profile) -> tuple[TokenPair, ...]:
        if request.context:
            return (self.model.tokenizer.pair(request.context, request.text),)
        return self.model.pieces(request.text, request.piece_limit, special=False)


def in_forward_passes(
    model: ModelAdapter, limits: BatchLimits, pieces: Sequence[TextPiece]
) -> Sequence[PieceProfile | Refusal]:
    """Run pieces of text through a loaded model in batches, and return its predictions for each, in order. A Refusal is
    the reason why a piece has none.
    """

    def forward(some: Sequence[TextPiece]) -> torch.Tensor:
        return model.logits([piece.row for piece in some])

    return in_batches(pieces, [model.size(piece.row) for piece in pieces], limits, forward, _profiles)


@torch.no_grad()
def _profiles(pieces: Sequence[TextPiece], logits: torch.Tensor) -> list[PieceProfile | Refusal]:
    """Split `logits`, (places of all pieces, vocabulary), and profile each piece."""
    parts = torch.split(logits, [piece.row.scored for piece in pieces])
    return [_profile(piece, part) for piece, part in zip(pieces, parts, strict=True)]


def _profile(piece: TextPiece, logits: torch.Tensor) -> PieceProfile | Refusal:
    """Profile one piece from its `logits`, (places, vocabulary). The softmax is in float64, a few places at a time."""
    profile, start = PieceProfile(), 0
    if any(token >= logits.shape[1] for tokens in piece.at for token in tokens):
        return Refusal(reason=BEYOND)
    for part in torch.split(logits, max(1, CHUNK // logits.shape[1])):
        if bool((part.isnan() | part.isposinf()).any()):
            return Refusal(reason=NONFINITE)
        end = start + len(part)
        logprobs = torch.log_softmax(part.double(), dim=-1)  # (some places, vocabulary)
        own = torch.tensor(piece.row.runs[0][start:end], device=part.device)
        if piece.at:
            ids = torch.tensor(piece.at[start:end], device=part.device)
        else:
            ids = logprobs.topk(min(piece.top_k, logprobs.shape[1]), dim=-1).indices
            profile.ids.extend(ids.tolist())
        profile.logprobs.extend(stored_logprob(value) for value in logprobs.gather(1, own.unsqueeze(1))[:, 0].tolist())
        profile.argmax.extend(part.argmax(-1).tolist())
        profile.top.extend([stored_logprob(value) for value in row] for row in logprobs.gather(1, ids).tolist())
        if ids.shape[1] < logprobs.shape[1]:
            others = logprobs.scatter(1, ids, -torch.inf).logsumexp(-1)
            profile.rest.extend(stored_logprob(value) for value in others.tolist())
        else:
            profile.rest.extend([None] * len(part))
        start = end
    return profile


def stored_logprob(value: float) -> float:
    """Round a log-probability as it is stored."""
    return max(round(value, PLACES), LEAST)


def _profiling(
    request: Profile, pieces: Sequence[TextPiece], profiles: Sequence[PieceProfile | Refusal]
) -> Profiling | Failure:
    if refusal := next((part for part in profiles if isinstance(part, Refusal)), None):
        return Failure(request_id=request.id, reason=refusal.reason)
    parts = [part for part in profiles if isinstance(part, PieceProfile)]
    return Profiling(
        request_id=request.id,
        tokens=tuple(token for piece in pieces for token in piece.row.runs[0]),
        logprobs=tuple(value for part in parts for value in part.logprobs),
        argmax=tuple(token for part in parts for token in part.argmax),
        ids=tuple(tuple(ids) for part in parts for ids in part.ids),
        top=tuple(tuple(top) for part in parts for top in part.top),
        rest=tuple(value for part in parts for value in part.rest),
    )
