"""Profile requests to what a model expects at every token of a text: log-probabilities of the likeliest tokens, or of
those asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from evalharness.checkpoints.load import LoadedModel
from evalharness.engines.hf.architectures import asker_of
from evalharness.engines.hf.batches import Refused, answered, plan
from evalharness.engines.hf.batching import Row, Tokens
from evalharness.engines.hf.scoring import CHUNK, NONFINITE
from evalharness.engines.hf.tokenizer_adapter import Pair, Texts, Untokenizable
from evalharness.records.requests import Failure, Profile, Profiling

PLACES = 9  # decimals kept of a log-probability
LEAST = -1e4  # the log-probability that stands for that of a token which cannot come: JSON has no infinity
BEYOND = "a token is asked for that is beyond this model's vocabulary"


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a text: what is read, and which tokens are asked for at each place, or else how many of the likeliest."""

    row: Row
    top_k: int
    at: tuple[Tokens, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found at the places of one piece, each a list over them."""

    logprobs: list[float]
    argmax: list[int]
    ids: list[list[int]]
    top: list[list[float]]
    rest: list[float | None]


class Profiler:
    """Profiles with one loaded model. `bounds` are the rows, and the rows × length, of a batch."""

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

    def profile(self, requests: Sequence[Profile]) -> Iterator[Profiling | Failure]:
        """An answer per request, in order."""
        pieces = [self._pieces(request) for request in requests]
        flat = [piece for asked in pieces if not isinstance(asked, str) for piece in asked]
        seen: dict[int, Seen | Refused] = {}
        for batch in plan([self.asker.size(piece.row) for piece in flat], *self.bounds):
            seen.update(answered(batch, lambda some: self._look([flat[i] for i in some]), self.recover))
        done = 0
        for request, asked in zip(requests, pieces, strict=True):
            if isinstance(asked, str):
                yield Failure(request.id, asked)
                continue
            yield _profiling(request, asked, [seen[done + i] for i in range(len(asked))])
            done += len(asked)

    def _pieces(self, request: Profile) -> list[Piece] | str:
        """The text in pieces, or why it cannot be asked. Special tokens are no part of it."""
        try:
            pairs = self._pairs(request)
        except Untokenizable as error:
            return str(error)
        total = sum(len(pair.continuation) for pair in pairs)
        if request.at and len(request.at) != total:
            return f"the text is {total} tokens here, and {len(request.at)} where it was asked for"
        found, done = [], 0
        for pair in pairs:
            if long := self.asker.too_long(pair):
                return long
            end = done + len(pair.continuation)
            found.append(Piece(Row(*self.asker.read(pair), (pair.continuation,)), request.top_k, request.at[done:end]))
            done = end
        return found

    def _pairs(self, request: Profile) -> tuple[Pair, ...]:
        if request.context:
            return (self.texts.pair(request.context, request.text),)
        room = min(self.asker.room, self.asker.room if request.room is None else request.room)
        if room < 1:
            raise Untokenizable(
                f"{self.loaded.lead.tokens} virtual tokens leave no room for text in the window of {self.window}"
            )
        return self.texts.pieces(request.text, room, special=False)

    @torch.no_grad()
    def _look(self, pieces: Sequence[Piece]) -> list[Seen | Refused]:
        logits = self.asker.logits([piece.row for piece in pieces], adapter=True)
        parts = logits.split([piece.row.scored for piece in pieces])
        return [_seen(piece, part) for piece, part in zip(pieces, parts, strict=True)]


def _seen(piece: Piece, logits: torch.Tensor) -> Seen | Refused:
    """`logits`: (places, vocabulary). The softmax is taken in float64, a few places at a time."""
    found, done = Seen([], [], [], [], []), 0
    if any(token >= logits.shape[1] for tokens in piece.at for token in tokens):
        return Refused(BEYOND)
    for part in logits.split(max(1, CHUNK // logits.shape[1])):
        if bool((part.isnan() | part.isposinf()).any()):
            return Refused(NONFINITE)
        end = done + len(part)
        logprobs = torch.log_softmax(part.double(), dim=-1)  # (some places, vocabulary)
        own = torch.tensor(piece.row.runs[0][done:end], device=part.device)
        if piece.at:
            ids = torch.tensor(piece.at[done:end], device=part.device)
        else:
            ids = logprobs.topk(min(piece.top_k, logprobs.shape[1]), dim=-1).indices
            found.ids.extend(ids.tolist())
        found.logprobs.extend(_kept(value) for value in logprobs.gather(1, own.unsqueeze(1))[:, 0].tolist())
        found.argmax.extend(part.argmax(-1).tolist())
        found.top.extend([_kept(value) for value in row] for row in logprobs.gather(1, ids).tolist())
        rest = (
            logprobs.scatter(1, ids, -torch.inf).logsumexp(-1).tolist()
            if ids.shape[1] < logprobs.shape[1]
            else [None] * len(part)
        )
        found.rest.extend(None if value is None else _kept(value) for value in rest)
        done = end
    return found


def _kept(value: float) -> float:
    return max(round(value, PLACES), LEAST)


def _profiling(request: Profile, pieces: Sequence[Piece], seen: Sequence[Seen | Refused]) -> Profiling | Failure:
    if refused := next((part.reason for part in seen if isinstance(part, Refused)), None):
        return Failure(request.id, refused)
    parts = [part for part in seen if isinstance(part, Seen)]
    return Profiling(
        request_id=request.id,
        tokens=tuple(token for piece in pieces for token in piece.row.runs[0]),
        logprobs=tuple(value for part in parts for value in part.logprobs),
        argmax=tuple(token for part in parts for token in part.argmax),
        ids=tuple(tuple(ids) for part in parts for ids in part.ids),
        top=tuple(tuple(top) for part in parts for top in part.top),
        rest=tuple(value for part in parts for value in part.rest),
    )
