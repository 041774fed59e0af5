"""Measure how far two models' next-token predictions are apart on texts: an early warning, which decides nothing.

At each token the base names its likeliest tokens, and the other model scores those, so the two models need not be in
memory together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalharness import fingerprint
from evalharness.records.comparison import Estimate
from evalharness.records.requests import Failure, Profile, Profiling, Response
from evalharness.records.results import Drift
from evalharness.stats import proportion
from evalharness.stats.gaffke import WeightedMean

Floats = NDArray[np.float64]
Answers = Sequence[Response | Failure | None]

TOP_K = 64
NEUTRAL, OWN, INPUTS = "neutral", "own outputs", "inputs of "  # and the target's name
OTHER_TOKENS = "its tokenizer is not the base's, so there are no tokens at which to compare what both expect"
OTHER_VOCABULARY = (
    "its vocabulary is smaller than the base's, so there are tokens that the base expects and it does not know"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftTexts:
    """Texts of one kind, with the requests to the base about them.

    `kind`: neutral text, the base's own outputs, or outputs on a target's inputs. `target`: that target (a task that a
    candidate was trained on); "" for other kinds.
    """

    kind: str  # NEUTRAL, OWN, or INPUTS and the target
    requests: tuple[Profile, ...]
    target: str = ""  # of which these are inputs

    @property
    def digest(self) -> str:
        return fingerprint.of_value([(request.context, request.text) for request in self.requests])


def neutral_texts(texts: Sequence[str], piece_limit: int | None) -> DriftTexts:
    """Make the requests for running text, read from its beginning, at most `piece_limit` tokens at a time."""
    return DriftTexts(
        kind=NEUTRAL,
        requests=tuple(Profile(text=text, top_k=TOP_K, piece_limit=piece_limit) for text in dict.fromkeys(texts)),
    )


def own_outputs(pairs: Sequence[tuple[str, str]]) -> DriftTexts:
    """Make the requests for the base's own outputs. `pairs`: (prompt, the base's greedy answer)."""
    return DriftTexts(
        kind=OWN,
        requests=tuple(Profile(text=text, top_k=TOP_K, context=prompt) for prompt, text in dict.fromkeys(pairs)),
    )


def target_inputs(target: str, pairs: Sequence[tuple[str, str]]) -> DriftTexts:
    """Make the requests for the base's outputs on the inputs of a target (the task that a candidate was trained on).
    `pairs`: (prompt, the base's greedy answer).
    """
    return replace(own_outputs(pairs), kind=f"{INPUTS}{target}", target=target)


def follow_ups(texts: DriftTexts, base: Mapping[str, Response | Failure]) -> list[Profile | None]:
    """Make the requests to another model about the tokens that the base named, one for each text; None if the base gave
    no answer.
    """
    answers = (base.get(request.id) for request in texts.requests)
    return [
        replace(request, top_k=0, at=answer.ids) if isinstance(answer, Profiling) else None
        for request, answer in zip(texts.requests, answers, strict=True)
    ]


def divergence(base: Profiling, model: Profiling) -> Floats:
    """Return KL(base ‖ model) at every token, in nats, (tokens,): over the base's likeliest tokens, and all others as
    one.

    Merging outcomes never makes a divergence larger (the log-sum inequality: T. M. Cover and J. A. Thomas, Elements of
    Information Theory, 2006, §2.7), so it is a lower bound, and exact if the base named its whole vocabulary.
    """
    p, q = (
        np.concatenate([np.array(each.top).reshape(len(each.tokens), -1), _rest(each)], axis=1)
        for each in (base, model)
    )
    with np.errstate(invalid="ignore"):
        terms = np.where(p == -np.inf, 0.0, np.exp(p) * (p - q))
    kl: Floats = np.maximum(terms.sum(axis=1), 0.0)  # rounding aside, it is not negative
    return kl


def _rest(profile: Profiling) -> Floats:
    """Return the log-probability of all other tokens, (tokens, 1)."""
    return np.array([-np.inf if value is None else value for value in profile.rest], dtype=np.float64).reshape(-1, 1)


def drift_of(texts: DriftTexts, model: str, base: Answers, other: Answers, level: float) -> Drift:
    """Return the drift of `model` on the texts. `base`, `other`: the two models' answers, in the order of the texts.
    `level`: coverage of the intervals.
    """
    empty = Drift(model=model, text=texts.kind, digest=texts.digest, top_k=TOP_K, ci_level=level)
    pairs = [(b, m) for b, m in zip(base, other, strict=True) if isinstance(b, Profiling) and isinstance(m, Profiling)]
    failed = len(base) - len(pairs)
    if any(b.tokens != m.tokens for b, m in pairs):
        return unavailable(texts, model, level, OTHER_TOKENS)
    if any(theirs is None and ours is not None for b, m in pairs for ours, theirs in zip(b.rest, m.rest, strict=True)):
        return unavailable(texts, model, level, OTHER_VOCABULARY)
    pairs = [(b, m) for b, m in pairs if b.tokens]
    if not pairs:
        reason = next(
            (answer.reason for answer in (*base, *other) if isinstance(answer, Failure)),
            "there is no text of this kind",
        )
        return replace(empty, failed=failed, reason=reason)
    rows = np.array([_row(b, m) for b, m in pairs])  # (texts, 6)
    tokens = rows[:, 0].sum()
    kl = _mean(rows[:, [1, 0]], level)
    return replace(
        empty,
        n=len(pairs),
        tokens=int(tokens),
        failed=failed,
        kl=kl if kl.low is None else replace(kl, low=max(0.0, kl.low)),
        exact=all(value is None for b, _ in pairs for value in b.rest),
        rest=float(rows[:, 5].sum() / tokens),
        agreement=_share(rows[:, 2], rows[:, 0], level),
        base_cross_entropy=float(rows[:, 3].sum() / tokens),
        cross_entropy_change=_mean(rows[:, [4, 0]], level),
    )


def unavailable(texts: DriftTexts, model: str, level: float, reason: str) -> Drift:
    """Return a drift that could not be measured, with the reason."""
    return Drift(model=model, text=texts.kind, digest=texts.digest, top_k=TOP_K, ci_level=level, reason=reason)


def rank_drifts(drifts: Sequence[Drift], candidates: Sequence[str]) -> tuple[Drift, ...]:
    """Sort drifts by kind of text, and rank candidates within each, the largest divergence first; references come last.
    Equal divergences share a rank.
    """
    kinds = list(dict.fromkeys(drift.text for drift in drifts))

    def rank(drift: Drift) -> int | None:
        if drift.kl is None or drift.model not in candidates:
            return None
        others = (
            other.kl.value
            for other in drifts
            if other.kl is not None and other.text == drift.text and other.model in candidates
        )
        return 1 + sum(value > drift.kl.value for value in others)

    with_ranks = [replace(drift, rank=rank(drift)) for drift in drifts]
    return tuple(sorted(with_ranks, key=lambda d: (kinds.index(d.text), d.rank is None, d.rank or 0)))


def _row(base: Profiling, model: Profiling) -> tuple[float, ...]:
    """Return one text's row: the number of tokens, and sums over them of the divergence, the agreement, the base's
    cross-entropy, its change, and the probability of tokens that the base did not name.
    """
    ours, theirs = np.array(base.logprobs), np.array(model.logprobs)
    agree = float(np.sum(np.array(base.argmax) == np.array(model.argmax)))
    sums = (divergence(base, model).sum(), agree, -ours.sum(), (ours - theirs).sum(), np.exp(_rest(base)).sum())
    return (float(len(base.tokens)), *map(float, sums))


def _mean(rows: Floats, level: float) -> Estimate:
    """Return the mean per token with its interval over texts; rows are (sum, tokens)."""
    total = float(rows[:, 1].sum())
    value, shares = float(rows[:, 0].sum()) / total, rows[:, 1] / total
    if len(rows) < 2:
        return Estimate(value=value)
    low, high = WeightedMean.from_unbounded(value, rows[:, 0] / total - value * shares, shares).interval(level)
    return Estimate(value=value, low=low, high=high)


def _share(agreeing: Floats, tokens: Floats, level: float) -> Estimate:
    """Return the share of tokens, with Wilson's interval at their effective number: those of one text depend on each
    other.
    """
    right, total = float(agreeing.sum()), float(tokens.sum())
    value = right / total
    if len(tokens) < 2:
        return Estimate(value=value)
    effect = proportion.design_effect(agreeing, tokens, value * (1 - value)) * proportion.few_units(tokens)
    low, high = proportion.wilson(right / effect, total / effect, level)
    return Estimate(value=value, low=float(low), high=float(high))
