"""Compare two answers to one request: log-probabilities, tokens and text."""

from __future__ import annotations

import math

from evalharness.records.requests import Failure, Generation, Profiling, Ranking, Response, Scoring


def logprobs_of(answer: Response | Failure) -> tuple[float, ...]:
    """Return an answer's log-probabilities in nats; () for a Generation and a Failure."""
    if isinstance(answer, Scoring):
        return (answer.logprob,)
    return answer.logprobs if isinstance(answer, Ranking | Profiling) else ()


def tokens_of(answer: Response | Failure) -> tuple[int, ...]:
    """Return the token counts of an answer's log-probabilities; of a Profiling the token ids."""
    if isinstance(answer, Scoring):
        return (answer.tokens,)
    return answer.tokens if isinstance(answer, Ranking | Profiling) else ()


def distance(one: Response | Failure, other: Response | Failure) -> float:
    """Return the largest difference of two answers' log-probabilities in nats: 0 if neither has any, infinite for
    answers of different types or tokens.
    """
    if type(one) is not type(other) or tokens_of(one) != tokens_of(other):
        return math.inf
    pairs = zip(logprobs_of(one), logprobs_of(other), strict=True)
    return max((abs(here - there) for here, there in pairs), default=0.0)


def same_text(one: Response | Failure, other: Response | Failure) -> bool:
    """Return whether two Generations have the same text and the same finish reason."""
    if not (isinstance(one, Generation) and isinstance(other, Generation)):
        return False
    return (one.text, one.finish_reason) == (other.text, other.finish_reason)
