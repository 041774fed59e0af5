"""Test gate units that are answered in rounds: p-values that are valid at any stopping round, and which units go on.

A gate unit is a task or group that the gate judges; the suite is the mean over all of them. A uniform hash puts every
statistical unit (a question, a passage) into one of ROUNDS rounds before it is answered. A gate unit is tested after
each round. The chance of a wrong verdict on either side, α, is split:

    half     for verdicts before the last round: e-processes, adjusted by e-Holm over the gate units, which may be read
             after every round
    half     for units that were answered to the end: the test of a fixed sample, adjusted by Holm; stopped units count
             as p = 1

By Bonferroni, a verdict from either half errs with probability at most α. p-values here are twice the smaller of the
two and are compared with α itself. The suite has no e-process, because it is no mean of rows; it is tested at LOOKS,
with α spent as by O'Brien and Fleming's boundaries (K. K. G. Lan and D. L. DeMets 1983, Biometrika 70:659-663), here
with Bonferroni, which assumes nothing about the dependence of the looks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from evalharness.stats.enums import EARLY, SIDES, MetricKind, Side, Verdict
from evalharness.stats.pairs import Pairs
from evalharness.stats.resample import Floats
from evalharness.stats.sequential import Stream, certificate, e_holm, evidence, interval

ROUNDS = 20
LOOKS = (10, 20)  # rounds after which the suite is tested


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialUnit:
    """The answers of one gate unit so far.

    `stream`: the differences of its statistical units, in the order in which they were drawn. `rounds` (units,): the
    round of each, from 1. `margin`: the largest acceptable loss. `noise`: widens the margin on either side
    (engine_noise.py).
    """

    stream: Stream
    rounds: NDArray[np.int_]
    margin: float
    noise: float = 0.0


class EvidencePath(NamedTuple):
    """The evidence for either verdict on one gate unit: logarithms of e-values after each round, (rounds answered,).

    `forgotten`: the e-value after that round. `retained`: the largest one up to that round; it needs no adjustment.
    """

    forgotten: Floats
    retained: Floats


def round_of(order: Floats) -> NDArray[np.int_]:
    """Return the round, 1 … ROUNDS, of each uniform number in [0, 1)."""
    return np.floor(np.asarray(order) * ROUNDS).astype(np.int_) + 1


def sequential_unit(pairs: Pairs, order: Floats, largest: float, noise: float = 0.0) -> SequentialUnit | None:
    """Return the answers of a gate unit in the order of the draw; None if they allow no e-process.

    `order` (units,): the random numbers by which units were drawn. `largest`: the number of rows in the largest
    possible unit. A gate unit has no e-process without a margin, or if its score is no mean of bounded rows with the
    same weights in both models (MCC, BLEU); it is then answered to the end.
    """
    if pairs.kind == MetricKind.CORPUS or pairs.margin is None or not pairs.bounded:
        return None
    if not np.array_equal(pairs.base[:, 1], pairs.candidate[:, 1]):
        return None
    places = np.argsort(order, kind="stable")
    net, sizes = pairs.sign * (pairs.candidate[:, 0] - pairs.base[:, 0])[places], pairs.base[:, 1][places]
    stream = Stream(
        net=net, sizes=sizes, largest=max(largest, float(sizes.max(initial=1.0))), reach=pairs.high - pairs.low
    )
    return SequentialUnit(stream=stream, rounds=round_of(order[places]), margin=pairs.margin, noise=noise)


def evidence_path(unit: SequentialUnit, rounds: int) -> EvidencePath:
    """Return the evidence after each of the first `rounds` rounds. It is 0, the starting capital's logarithm, before
    the first unit.
    """
    ends = np.searchsorted(unit.rounds, np.arange(1, rounds + 1), side="right")

    def logs(side: Side) -> Floats:
        margin = _margin(unit, side)
        steps = np.zeros(len(unit.stream.net)) if margin <= 0 else evidence(unit.stream, margin, side)
        return np.concatenate([[0.0], steps])

    return EvidencePath(logs(Verdict.FORGOTTEN)[ends], np.maximum.accumulate(logs(Verdict.RETAINED))[ends])


def _margin(unit: SequentialUnit, side: Side) -> float:
    """Return the margin at which one side is tested; 0 or less: nothing can be retained."""
    return unit.margin + (unit.noise if side == Verdict.FORGOTTEN else -unit.noise)


def adjusted_p(paths: Sequence[EvidencePath | None]) -> list[float]:
    """Return p_forgotten of every gate unit, adjusted over all of them: the smallest that e-Holm gives after any round
    up to the unit's last.

    A stopped unit keeps its last e-value; a unit without an e-process (None) always has 1, which is a valid e-value.
    """
    p_values = [1.0] * len(paths)
    lengths = [0 if path is None else len(path.forgotten) for path in paths]
    for number in range(max(lengths, default=0)):
        now = [
            0.0 if path is None or not length else float(path.forgotten[min(number, length - 1)])
            for path, length in zip(paths, lengths, strict=True)
        ]
        for i, log in enumerate(e_holm(now)):
            if number < lengths[i]:
                p_values[i] = min(p_values[i], math.exp(-max(log, 0.0)))
    return p_values


def anytime_p(path: EvidencePath | None) -> tuple[float, float]:
    """Return (p_forgotten, p_retained) of one gate unit alone, not adjusted, valid at every round."""
    if path is None or not len(path.forgotten):
        return 1.0, 1.0
    return _p(path.forgotten), _p(path.retained)


def combined_p(early: float, final: float) -> float:
    """Combine two p-values that share α into one. `early`: the e-process's; `final`: the fixed sample's, 1 for a
    stopped unit.
    """
    return min(1.0, early / EARLY, final / (1 - EARLY))


def anytime_interval(unit: SequentialUnit, alpha: float) -> tuple[float, float]:
    """Return the interval of Δ, each end of which errs at any stopping round with probability ≤ the early share of
    `alpha`.
    """
    low, high = interval(unit.stream, alpha * EARLY)
    return low - unit.noise, high + unit.noise


def verdict_on_set(unit: SequentialUnit, population: int, alpha: float) -> tuple[Verdict, float, float]:
    """Return the verdict, and its two p-values, on a finite set of `population` units, of which those in `unit` are a
    random part. It holds at level 1 − α. Raises ValueError for more units than the set has.
    """
    margins = [_margin(unit, side) for side in SIDES]
    forgotten, retained = (
        _p(certificate(unit.stream, margin, side, population)) if margin > 0 else 1.0
        for margin, side in zip(margins, SIDES, strict=True)
    )
    if forgotten <= min(alpha, retained):
        return Verdict.FORGOTTEN, forgotten, retained
    return Verdict.RETAINED if retained <= alpha else Verdict.INCONCLUSIVE, forgotten, retained


def _p(logs: Floats) -> float:
    """Return the anytime-valid p-value of an e-process, from its logarithms: 1 over the largest capital so far
    (Ville).
    """
    return math.exp(-max(float(logs.max(initial=0.0)), 0.0))


def alpha_by_look(alpha: float) -> dict[int, float]:
    """Return the share of `alpha` that each of LOOKS may spend, by its round; they add up to `alpha`."""
    total = [2 * float(ndtr(ndtri(alpha / 2) / math.sqrt(look / ROUNDS))) for look in LOOKS]
    return {look: now - before for look, now, before in zip(LOOKS, total, [0.0, *total[:-1]], strict=True)}


def units_to_continue(verdicts: Mapping[str, Verdict], suite: Verdict) -> AbstractSet[str]:
    """Return the gate units, of those not yet stopped, whose next round is to be answered.

    `verdicts`: the certain verdicts so far, by unit; `suite`: the suite's. A forgotten unit stops: the gate can no
    longer pass. A retained one goes on while the gate may pass and the suite, of which it is a part, is undecided.
    """
    settled = Verdict.FORGOTTEN in (suite, *verdicts.values()) or suite == Verdict.RETAINED
    going_on = {Verdict.INCONCLUSIVE} if settled else {Verdict.INCONCLUSIVE, Verdict.RETAINED}
    return {name for name, verdict in verdicts.items() if verdict in going_on}
