"""Request from vLLM, at every token of pieces of text, the likeliest tokens or named ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from evalharness.engines.hf.batches import Refusal
from evalharness.engines.hf.pair_scores import NONFINITE
from evalharness.engines.hf.profiles import BEYOND, LEAST, PieceProfile, TextPiece, stored_logprob
from evalharness.engines.vllm.calls import PLAIN, AnsweredCall, Ask, Call, TokenLogprob
from evalharness.engines.vllm.scores import MISSING

FIRST_RUNNER = (
    "vLLM's first model runner has no log-probabilities of certain tokens of a prompt; its second one, which needs "
    "Triton, has (VLLM_USE_V2_MODEL_RUNNER=1)"
)
LEAST_REST = 2.0**-24  # least probability of all other tokens that float32 log-probabilities can tell from 0


class VllmProfiler:
    """Profiles pieces of text with vLLM. `ask`: the function that calls vLLM. `vocabulary`: the number of tokens.
    `certain`: whether this vLLM returns the log-probabilities of requested tokens at the places of a prompt.
    """

    def __init__(self, ask: Ask, vocabulary: int, certain: bool) -> None:
        self._ask, self._certain, self._vocabulary = ask, certain, vocabulary

    def of_pieces(self, pieces: Sequence[TextPiece]) -> list[PieceProfile | Refusal]:
        """Return the model's predictions in pieces of text, in order, by one call."""
        refused = [self._refusal(piece) for piece in pieces]
        answerable = [piece for piece, refusal in zip(pieces, refused, strict=True) if refusal is None]
        answers = iter(self._ask([_call(piece) for piece in answerable]) if answerable else ())
        return [
            refusal or _profile(piece, next(answers), self._vocabulary)
            for piece, refusal in zip(pieces, refused, strict=True)
        ]

    def _refusal(self, piece: TextPiece) -> Refusal | None:
        if piece.at and not self._certain:
            return Refusal(reason=FIRST_RUNNER)
        beyond = any(token >= self._vocabulary for tokens in piece.at for token in tokens)
        return Refusal(reason=BEYOND) if beyond else None


def _call(piece: TextPiece) -> Call:
    (run,) = piece.row.runs
    top = {"prompt_logprobs": max(1, 0 if piece.at else piece.top_k)}
    certain = {
        "prompt_logprob_token_ids": [list(tokens) for tokens in piece.at],
        "prompt_logprob_start": len(piece.row.fed) - len(run),
    }
    sampling = {**PLAIN, "max_tokens": 1, **top, **(certain if piece.at else {})}
    return Call(tokens=(*piece.row.fed, run[-1]), sampling=sampling)


def _profile(piece: TextPiece, answer: AnsweredCall, vocabulary: int) -> PieceProfile | Refusal:
    (run,) = piece.row.runs
    places = answer.prompt_logprobs
    certain = [tuple(map(float, row)) for row in _certain(answer)]
    if places is None or len(places) != len(piece.row.fed) + 1 or (piece.at and len(certain) != len(run)):
        return Refusal(reason=MISSING)
    profile = PieceProfile()
    for i, token in enumerate(run):
        place = places[len(places) - len(run) + i]
        if place is None or token not in place:
            return Refusal(reason=MISSING)
        likeliest = sorted(place, key=lambda each: _rank(place[each]))[: max(1, piece.top_k)]
        values = certain[i][: len(piece.at[i])] if piece.at else tuple(place[each].logprob for each in likeliest)
        if any(math.isnan(value) or value == math.inf for value in (place[token].logprob, *values)):
            return Refusal(reason=NONFINITE)
        profile.logprobs.append(stored_logprob(place[token].logprob))
        profile.argmax.append(likeliest[0])
        if not piece.at:
            profile.ids.append(likeliest)
        profile.top.append([stored_logprob(value) for value in values])
        profile.rest.append(_rest(values) if len(values) < vocabulary else None)
    return profile


def _certain(answer: AnsweredCall) -> Sequence[Iterable[float]]:
    return () if answer.prompt_token_id_logprobs is None else answer.prompt_token_id_logprobs


def _rank(entry: TokenLogprob) -> float:
    return math.inf if entry.rank is None else entry.rank


def _rest(values: Sequence[float]) -> float:
    """Return the log-probability of all other tokens together."""
    others = 1.0 - math.fsum(math.exp(value) for value in values)
    return stored_logprob(max(math.log(max(others, LEAST_REST)), LEAST))
