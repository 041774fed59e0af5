"""Draw paired rows of two models whose true difference is known, for every kind of score.

A world is drawn again and again; its candidate differs from its base by exactly `drop` (of the score, in its natural
unit) in expectation, or, for scores that are no means, at the expectation of the rows. Where that cannot be (fewer
answers change than would have to be lost) it raises ValueError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from evalharness.metrics.base import ratio
from evalharness.metrics.build import build
from evalharness.records.tasks import MetricSpec
from evalharness.stats.enums import MetricKind
from evalharness.stats.pairs import Pairs

Floats = NDArray[np.float64]
World = Callable[[np.random.Generator], Pairs]
POPULATION = 400_000  # rows that stand for the expectation of a corpus score


def mean(sums: Floats) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])


def of_values(
    base: Floats, candidate: Floats, kind: MetricKind, margin: float, sizes: Floats | None = None, chance: float = 0.0
) -> Pairs:
    """Pairs of a mean on a 0-1 scale; `base` and `candidate` are sums over the rows of a unit, (units,)."""
    sizes = np.ones(len(base)) if sizes is None else sizes
    rows = [np.column_stack([values, sizes]) for values in (base, candidate)]
    return Pairs(rows[0], rows[1], sizes, mean, kind, 0.0, 1.0, 1.0, chance, margin)


@dataclass(frozen=True)
class Answers:
    """Right and wrong answers to n questions. `flips`: share of answers that change; `accuracy`: of the base."""

    n: int
    flips: float
    drop: float
    accuracy: float = 0.7
    chance: float = 0.0
    margin: float = 0.02

    def counts(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """(lost, gained, right before and after)."""
        flips = max(self.flips, abs(self.drop))
        gained = min((flips - self.drop) / 2, 1 - self.accuracy)
        lost = min(gained + self.drop, self.accuracy)
        numbers = rng.multinomial(self.n, [lost, gained, self.accuracy - lost, 1 - self.accuracy - gained])
        return int(numbers[0]), int(numbers[1]), int(numbers[2])

    def pairs(self, lost: int, gained: int, unchanged: int) -> Pairs:
        place = np.arange(self.n)
        base = (place < lost + unchanged).astype(float)
        candidate = ((place >= lost) & (place < lost + unchanged + gained)).astype(float)
        return of_values(base, candidate, MetricKind.BINARY, self.margin, chance=self.chance)

    def __call__(self, rng: np.random.Generator) -> Pairs:
        return self.pairs(*self.counts(rng))


def passages(
    units: int, size: float, flips: float, drop: float, together: float, uneven: bool, margin: float = 0.02
) -> World:
    """0/1 answers, several of one passage. `together`: how much the answers of a passage change together, 0-1;
    `uneven`: 1 to 5 × size of them.
    """
    lost = (flips + drop) / 2
    if lost > flips:
        raise ValueError("fewer answers change than are lost")

    def draw(rng: np.random.Generator) -> Pairs:
        sizes = _sizes(rng, units, size) if uneven else np.full(units, int(size))
        unit = np.repeat(np.arange(units), sizes)
        shared = rng.random(len(unit)) < np.sqrt(together)
        luck = np.where(shared, rng.random(units)[unit], rng.random(len(unit)))
        change = np.where(luck < lost, -1.0, np.where(luck < flips, 1.0, 0.0))
        right = (0.5 * rng.random(units)[unit] + 0.5 * rng.random(len(unit)) < 0.6).astype(float)
        base = np.where(change < 0, 1.0, np.where(change > 0, 0.0, right))
        return of_values(
            _sums(unit, base, units), _sums(unit, base + change, units), MetricKind.BINARY, margin, sizes.astype(float)
        )

    return draw


def _sums(unit: NDArray[np.int_], rows: Floats, units: int) -> Floats:
    """Each unit's sum over its rows, (units,)."""
    return np.bincount(unit, rows, units).astype(np.float64)


def _sizes(rng: np.random.Generator, units: int, size: float) -> NDArray[np.int_]:
    """Rows in each unit: many have few, some have up to 5 × size, (units,)."""
    return np.minimum(rng.geometric(1 / size, units), 5 * size).astype(int)


SHAPES = {  # sizes of losses and of gains: Beta's two parameters
    "of any size": ((0.7, 0.7), (0.7, 0.7)),
    "small": ((2, 4), (2, 4)),
    "losses large, gains small": ((4, 2), (2, 4)),
    "losses small, gains large": ((2, 4), (4, 2)),
}


def summaries(n: int, flips: float, drop: float, shape: str, margin: float = 0.02) -> World:
    """Graded scores (ROUGE, F1 of one answer) most of which do not change at all; those that do, by an amount of the
    given shape.
    """
    losses, gains = SHAPES[shape]
    lost = _share_lost(shape, flips, drop)

    def draw(rng: np.random.Generator) -> Pairs:
        luck = rng.random(n)
        down, up = luck < lost, (luck >= lost) & (luck < flips)
        size = np.where(down, rng.beta(*losses, n), np.where(up, rng.beta(*gains, n), 0.0))
        worse = rng.random(n) * (1 - size)
        base = np.where(down, worse + size, worse)
        return of_values(base, np.where(down, worse, worse + size), MetricKind.GRADED, margin)

    return draw


def _share_lost(shape: str, flips: float, drop: float) -> float:
    """The share of scores that must fall for the mean to fall by `drop`."""
    loss, gain = (a / (a + b) for a, b in SHAPES[shape])
    lost = (drop + flips * gain) / (loss + gain)
    if lost > flips:
        raise ValueError("fewer scores change than are lost")
    return lost


def dialogues(
    units: int, size: float, flips: float, drop: float, together: float, shape: str, margin: float = 0.02
) -> World:
    """Graded scores, 1 to 5 × size of one dialogue. `together`: how much those of a dialogue change together, by as
    much and one way, 0-1.
    """
    losses, gains = SHAPES[shape]
    lost = _share_lost(shape, flips, drop)

    def draw(rng: np.random.Generator) -> Pairs:
        sizes = _sizes(rng, units, size)
        unit = np.repeat(np.arange(units), sizes)
        rows = len(unit)
        shared = rng.random(rows) < np.sqrt(together)

        def drawn_by(sample: Callable[[int], Floats]) -> Floats:
            return np.where(shared, sample(units)[unit], sample(rows))

        luck = drawn_by(rng.random)
        less, more = drawn_by(lambda n: rng.beta(*losses, n)), drawn_by(lambda n: rng.beta(*gains, n))
        change = np.where(luck < lost, -less, np.where(luck < flips, more, 0.0))
        base = np.maximum(-change, 0.0) + rng.random(rows) * (1 - np.abs(change))
        return of_values(
            _sums(unit, base, units), _sums(unit, base + change, units), MetricKind.GRADED, margin, sizes.astype(float)
        )

    return draw


def rare(n: int, share: float, size: float, drop: float, margin: float = 0.02, jitter: float = 0.001) -> World:
    """Graded scores that hardly change, but for a `share` of them that collapses by `size` (below 0: rises); the others
    change by as much as makes the true difference −`drop`.
    """
    other = (share * size - drop) / (1 - share)

    def draw(rng: np.random.Generator) -> Pairs:
        base = rng.uniform(0.1, 0.2, n) if size < 0 else rng.uniform(0.8, 0.9, n)
        few = rng.random(n) < share
        candidate = np.where(few, base - size, base + other + jitter * rng.uniform(-1, 1, n))
        return of_values(base, candidate, MetricKind.GRADED, margin)

    return draw


def jittered(n: int, flips: float, spread: float, drop: float = 0.0, margin: float = 0.02) -> World:
    """Graded scores a share `flips` of which changes, by a normal amount with the standard deviation `spread`, as the
    ROUGE of summaries written anew does.
    """

    def draw(rng: np.random.Generator) -> Pairs:
        base = rng.uniform(0.2, 0.5, n)
        change = np.where(rng.random(n) < flips, rng.normal(0.0, spread, n), 0.0)
        return of_values(base, base + change - drop, MetricKind.GRADED, margin)

    return draw


def errors(n: int, flips: float, drop: float, chance: float | None = None, bounded: bool = True) -> World:
    """Graded scores of which less is better, as `summaries` from the other end: word error rates, or, not `bounded`,
    ten times as much without an upper end, as perplexities have none.
    """
    mirrored = summaries(n, flips, drop, "of any size")
    scale = 1.0 if bounded else 10.0

    def draw(rng: np.random.Generator) -> Pairs:
        pairs = mirrored(rng)
        rows = [np.column_stack([scale * (1 - each[:, 0]), each[:, 1]]) for each in (pairs.base, pairs.candidate)]
        high, margin = (1.0 if bounded else np.inf), scale * 0.02
        return replace(pairs, base=rows[0], candidate=rows[1], high=high, sign=-1.0, chance=chance, margin=margin)

    return draw


def rewritten(n: int, spread: float, skew: float, drop: float, margin: float = 0.02) -> World:
    """Graded scores all of which change, by `spread` (a standard deviation). `skew`: 0 normal, below 0 some lose much,
    above 0 some gain much
    (lognormal with that σ: 0.5 has a skewness of 1.75, 1 of 6.2)."""

    def draw(rng: np.random.Generator) -> Pairs:
        z = rng.standard_normal(n)
        if skew:
            square = skew**2
            z = (
                np.sign(skew)
                * (np.exp(abs(skew) * z) - np.exp(square / 2))
                / np.sqrt((np.exp(square) - 1) * np.exp(square))
            )
        base = rng.uniform(0.3, 0.7, n)
        return of_values(base, base - drop + spread * z, MetricKind.GRADED, margin)

    return draw


def confusions(
    n: int, metric: str, shares: tuple[float, ...], flips: float, drop: float, error: float = 0.15, margin: float = 0.02
) -> World:
    """F1 or MCC over classes of the given `shares`; the base errs with probability `error`, a share `flips` of right or
    wrong answers changes.

    `metric`: "mcc", "f1" (binary) or "f1,macro".
    """
    classes = len(shares)
    options = {"classes": classes} | ({"average": "macro"} if metric == "f1,macro" else {})
    scored = build(MetricSpec(id=metric, name=metric.split(",")[0], options=options))
    gold, old, new = np.indices((classes,) * 3)
    right_before, right_after = old == gold, new == gold

    def cells(lost: float) -> Floats:
        """P(gold, base's answer, candidate's answer) where right answers are lost with probability `lost`,
        (classes³).
        """
        mended = min(0.95, max(0.0, (flips - (1 - error) * lost) / error))
        before = np.where(right_before, 1 - error, error / (classes - 1))
        from_right = np.where(right_after, 1 - lost, lost / (classes - 1))
        from_wrong = np.where(right_after, mended, np.where(new == old, 1 - mended, 0.0))
        joint: Floats = np.asarray(shares)[gold] * before * np.where(right_before, from_right, from_wrong)
        return joint

    def miss(lost: float) -> float:
        joint = cells(lost)
        return float(scored.score(joint.sum(1).ravel()) - scored.score(joint.sum(2).ravel())) + drop

    # brentq raises ValueError where the drop is out of reach.
    joint = cells(brentq(miss, 0, min(0.9, flips / (1 - error)))).ravel()

    def draw(rng: np.random.Generator) -> Pairs:
        cell = rng.choice(classes**3, n, p=joint / joint.sum())
        one = np.eye(classes**2)
        rows = [one[gold.ravel()[cell] * classes + answer.ravel()[cell]] for answer in (old, new)]
        return Pairs(
            rows[0], rows[1], np.ones(n), scored.score, MetricKind.CORPUS, scored.low, scored.high, 1.0, 0.0, margin
        )

    return draw


def translations(n: int, flips: float, drop: float, margin: float = 1.0) -> World:
    """Corpus BLEU (0-100) of n sentences of 5 to 100 words, a share `flips` of which is worded anew, for better or for
    worse.
    """
    scored = build(MetricSpec(id="bleu", name="bleu", options={}))

    def rows(rng: np.random.Generator, size: int, worse: float) -> tuple[Floats, Floats]:
        words = np.clip(np.round(rng.lognormal(3, 0.5, size)), 5, 100)
        lengths = np.maximum(4, np.round(words * rng.lognormal(0, 0.15, size)))
        quality, luck, moved = rng.beta(2.5, 2.5, size), rng.random((4, size)), 0.5 * rng.random(size)
        changed, down = rng.random(size) < flips, rng.random(size) < worse
        other = np.where(changed, np.where(down, quality * (1 - moved), quality + (1 - quality) * moved), quality)
        length = np.where(changed, np.clip(np.round(words * rng.lognormal(0, 0.1, size)), 5, 100), words)
        return _ngrams(words, lengths, quality, luck), _ngrams(length, lengths, other, luck)

    def miss(worse: float) -> float:
        base, candidate = rows(np.random.default_rng(5), POPULATION, worse)
        return float(scored.score(candidate.sum(0)) - scored.score(base.sum(0))) + drop

    worse = brentq(miss, 0, 1, xtol=1e-4)

    def draw(rng: np.random.Generator) -> Pairs:
        base, candidate = rows(rng, n, worse)
        return Pairs(base, candidate, np.ones(n), scored.score, MetricKind.CORPUS, 0.0, 100.0, 1.0, 0.0, margin)

    return draw


def _ngrams(words: Floats, lengths: Floats, quality: Floats, luck: Floats) -> Floats:
    """BLEU's sums: lengths, matched and all 1- to 4-grams, about as many matched as the quality (0-1) says, (n, 10)."""
    totals = [words - order for order in range(4)]
    chances = [0.95 * quality ** (1 + 0.7 * order) for order in range(4)]
    spread = [2 * np.sqrt(p * (1 - p) * total) for p, total in zip(chances, totals, strict=True)]
    matched = [
        np.clip(np.round(p * total + (luck[order] - 0.5) * spread[order]), 0, total)
        for order, (p, total) in enumerate(zip(chances, totals, strict=True))
    ]
    return np.column_stack([words, lengths, *matched, *totals])
