"""Measure how far two answers to one request are apart: in log-probabilities, in the tokens counted, in the text."""

from __future__ import annotations

import math

from evalharness.records.requests import Failure, Generation, Profiling, Ranking, Response, Scoring


def logprobs_of(answer: Response | Failure) -> tuple[float, ...]:
    """The log-probabilities that an answer states, in nats; () for a Generation and a Failure."""
    if isinstance(answer, Scoring):
        return (answer.logprob,)
    return answer.logprobs if isinstance(answer, Ranking | Profiling) else ()


def tokens_of(answer: Response | Failure) -> tuple[int, ...]:
    """The tokens of which these log-probabilities are: how many, and of a Profiling which."""
    if isinstance(answer, Scoring):
        return (answer.tokens,)
    return answer.tokens if isinstance(answer, Ranking | Profiling) else ()


def distance(one: Response | Failure, other: Response | Failure) -> float:
    """The largest difference of two answers' log-probabilities, in nats, 0 where neither has any; infinite where they
    are not of one type, or not of the same tokens.
    """
    if type(one) is not type(other) or tokens_of(one) != tokens_of(other):
        return math.inf
    pairs = zip(logprobs_of(one), logprobs_of(other), strict=True)
    return max((abs(here - there) for here, there in pairs), default=0.0)


def same_text(one: Response | Failure, other: Response | Failure) -> bool:
    """Whether two Generations end alike, with the same text."""
    if not (isinstance(one, Generation) and isinstance(other, Generation)):
        return False
    return (one.text, one.finish_reason) == (other.text, other.finish_reason)
