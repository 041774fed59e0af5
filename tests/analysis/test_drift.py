"""How far two models' predictions are apart, from profiles written by hand: against scipy, and where there is nothing
to compare.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import entropy

from evalharness.analysis.drift import (
    OTHER_TOKENS,
    OTHER_VOCABULARY,
    TOP_K,
    divergence,
    drift_of,
    follow_ups,
    neutral_texts,
    own_outputs,
    rank_drifts,
)
from evalharness.records.comparison import Estimate
from evalharness.records.requests import Failure, Profile, Profiling
from evalharness.records.results import Drift

HOW = 0.9
VOCABULARY = 20


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def profile(logits, tokens, top_k=VOCABULARY, at=None):
    """A model of VOCABULARY tokens that expects softmax(logits) at each place."""
    p = np.log(softmax(logits))
    ids = np.argsort(-p, axis=1)[:, :top_k] if at is None else np.array(at)
    top = np.take_along_axis(p, ids, axis=1)
    rest = [
        float(np.log(value)) if ids.shape[1] < VOCABULARY else None
        for value in np.maximum(1 - np.exp(top).sum(1), 1e-300)
    ]
    own = p[np.arange(len(tokens)), list(tokens)]
    named = tuple(map(tuple, ids.tolist())) if at is None else ()
    return Profiling(
        request_id="id",
        tokens=tuple(tokens),
        logprobs=tuple(own),
        argmax=tuple(p.argmax(1).tolist()),
        ids=named,
        top=tuple(map(tuple, top.tolist())),
        rest=tuple(rest),
    )


def corpus(scale, top_k=VOCABULARY, texts=30, seed=0):
    """Profiles of a base and of a model whose logits are the base's, plus `scale` times noise; and both models'
    logits.
    """
    rng = np.random.default_rng(seed)
    base, other, logits = [], [], []
    for _ in range(texts):
        length = int(rng.integers(3, 15))
        ours, noise, tokens = (
            rng.normal(size=(length, VOCABULARY)) * 2,
            rng.normal(size=(length, VOCABULARY)),
            rng.integers(0, VOCABULARY, length),
        )
        base.append(profile(ours, tokens.tolist(), top_k))
        other.append(profile(ours + scale * noise, tokens.tolist(), at=base[-1].ids))
        logits.append((ours, ours + scale * noise))
    return base, other, logits


TEXTS = neutral_texts([f"text {i}" for i in range(30)], 50)


def test_against_scipy_over_all_tokens():
    base, other, logits = corpus(0.5)
    found = drift_of(TEXTS, "candidate", base, other, HOW)
    expected = np.concatenate([entropy(softmax(p), softmax(q), axis=1) for p, q in logits])
    assert found.kl.value == pytest.approx(expected.mean(), rel=1e-9)
    assert found.kl.low < found.kl.value < found.kl.high and found.exact and found.rest == 0
    assert (found.n, found.tokens, found.failed) == (30, len(expected), 0)
    ours, theirs = (np.concatenate([each.logprobs for each in of]) for of in (base, other))
    assert found.base_cross_entropy == pytest.approx(-ours.mean())
    assert found.cross_entropy_change.value == pytest.approx((ours - theirs).mean())
    alike = np.concatenate([p.argmax(1) == q.argmax(1) for p, q in logits])
    assert (
        found.agreement.value == pytest.approx(alike.mean())
        and found.agreement.low < alike.mean() < found.agreement.high
    )


@pytest.mark.parametrize("top_k", [1, 4, 12])
def test_fewer_tokens_give_a_lower_bound(top_k):
    base, other, logits = corpus(1.0, top_k)
    whole = [entropy(softmax(p), softmax(q), axis=1) for p, q in logits]
    for b, o, full in zip(base, other, whole, strict=True):
        assert (divergence(b, o) <= full + 1e-12).all()
    found = drift_of(TEXTS, "candidate", base, other, HOW)
    assert 0 < found.kl.value < np.concatenate(whole).mean() and not found.exact
    left = np.concatenate([1 - np.sort(softmax(p))[:, ::-1][:, :top_k].sum(1) for p, _ in logits])
    assert found.rest == pytest.approx(left.mean())


def test_the_same_model_has_not_moved():
    base, _, _ = corpus(0.0, 6)
    found = drift_of(TEXTS, "candidate", base, base, HOW)
    assert found.kl == Estimate(value=0.0, low=0.0, high=0.0) and found.cross_entropy_change == Estimate(
        value=0.0, low=0.0, high=0.0
    )
    assert found.agreement.value == found.agreement.high == 1 and 0.85 < found.agreement.low < 1


def test_more_noise_is_more_drift():
    found = [drift_of(TEXTS, str(scale), *corpus(scale, 6)[:2], HOW) for scale in (0.0, 0.01, 0.1, 0.3, 1.0, 3.0)]
    values = [drift.kl.value for drift in found]
    assert values == sorted(values) and len(set(values)) == len(values)
    assert [drift.agreement.value for drift in found] == sorted(
        (drift.agreement.value for drift in found), reverse=True
    )


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    """DriftTexts drawn from one law; its KL taken over many more of them."""
    truth = drift_of(TEXTS, "", *corpus(0.5, 8, 4000, seed=99)[:2], HOW)
    names = ("kl", "agreement", "cross_entropy_change")
    hits = dict.fromkeys(names, 0)
    for seed in range(300):
        found = drift_of(TEXTS, "", *corpus(0.5, 8, seed=seed + 1000)[:2], HOW)
        for name in names:
            estimate = getattr(found, name)
            hits[name] += estimate.low <= getattr(truth, name).value <= estimate.high
    assert all(0.86 <= hits[name] / 300 <= 0.98 for name in names), hits


def test_what_is_asked_of_another_model():
    texts = neutral_texts(["a", "b", "a"], 9)
    assert texts.requests == (
        Profile(text="a", top_k=TOP_K, piece_limit=9),
        Profile(text="b", top_k=TOP_K, piece_limit=9),
    )
    ids = ((1, 2), (3, 4))
    answers = {
        texts.requests[0].id: Profiling(
            request_id="", tokens=(1, 2), logprobs=(0.0, 0.0), argmax=(1, 2), ids=ids, top=(), rest=()
        ),
        texts.requests[1].id: Failure(request_id="", reason="deaf"),
    }
    assert follow_ups(texts, answers) == [Profile(text="a", top_k=0, piece_limit=9, at=ids), None]
    own = own_outputs([("q", "a"), ("q", "a"), ("p", "a")])
    assert (
        own.requests == (Profile(text="a", top_k=TOP_K, context="q"), Profile(text="a", top_k=TOP_K, context="p"))
        and own.digest != texts.digest
    )
    assert (
        len({request.id for request in (*texts.requests, *own.requests, *filter(None, follow_ups(texts, answers)))})
        == 5
    )


def test_what_has_no_answer_is_left_out_and_counted():
    base, other, _ = corpus(0.5)
    whole = drift_of(TEXTS, "candidate", base[2:], other[2:], HOW)
    found = drift_of(
        TEXTS, "candidate", [None, *base[1:]], [*other[:1], Failure(request_id="", reason="deaf"), *other[2:]], HOW
    )
    assert found == replace(whole, failed=2)
    nothing = drift_of(TEXTS, "candidate", base, [Failure(request_id="", reason="deaf")] * 30, HOW)
    assert nothing.kl is None and nothing.reason == "deaf" and nothing.failed == 30
    single = drift_of(TEXTS, "candidate", base[:1], other[:1], HOW)
    assert single.kl.value > 0 and single.kl.low is None


def test_other_tokens_and_other_vocabularies_are_not_compared():
    base, other, _ = corpus(0.5, 6)
    moved = replace(other[0], tokens=(*other[0].tokens[:-1], 999))
    assert drift_of(TEXTS, "candidate", base, [moved, *other[1:]], HOW).reason == OTHER_TOKENS
    small = replace(other[0], rest=(None,) * len(other[0].tokens))
    found = drift_of(TEXTS, "candidate", base, [small, *other[1:]], HOW)
    assert found.reason == OTHER_VOCABULARY and found.kl is None


def test_ranks():
    def drift(model, text, kl):
        return Drift(
            model=model,
            text=text,
            digest="",
            top_k=TOP_K,
            ci_level=0.9,
            kl=None if kl is None else Estimate(value=kl),
            reason="" if kl is not None else "why",
        )

    given = [
        drift(name, "neutral", kl) for name, kl in (("a", 0.1), ("b", 0.5), ("c", 0.5), ("placebo", 0.0), ("d", None))
    ]
    found = rank_drifts([*given, drift("a", "own outputs", 2.0)], ["a", "b", "c", "d"])
    expected = [("b", 1), ("c", 1), ("a", 3), ("placebo", None), ("d", None), ("a", 1)]
    assert [(each.model, each.rank) for each in found] == expected and found[-1].text == "own outputs"
