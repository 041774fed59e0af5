"""Gate units answered in rounds, to p-values that hold in whatever round one stops, and to which units have to be asked
on.

Every unit of statistics (a question, a passage) is put into one of ROUNDS rounds by uniform_hash, before anything is
known of it. After each round a gate unit's answers so far are looked at. The chance of a wrong verdict on either side,
α, is shared out:

    half     for verdicts before the last round: e-processes, adjusted by e-Holm over the gate units; they may be read
    after every round
    half     for what was asked to the end: the test of a fixed sample, adjusted by Holm, units that were stopped
    counting as p = 1

so that a verdict on either ground errs with probability at most α (Bonferroni). p-values here are twice the smaller of
the two and are held against α itself. The suite is no mean of rows for which such bets could be made; it is tested at
LOOKS, with α shared out over them as O'Brien and Fleming's boundaries spend it (K. K. G. Lan and D. L. DeMets 1983,
Biometrika 70:659-663), here by Bonferroni, which assumes nothing of how the looks depend on each other.
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

from evalharness.stats.assess import Pairs
from evalharness.stats.enums import SIDES, MetricKind, Verdict
from evalharness.stats.sequential import Floats, Stream, certificate, e_holm, evidence, interval

ROUNDS = 20
LOOKS = (10, 20)  # rounds after which the suite is tested
EARLY = 0.5  # share of α for verdicts before the last round


@dataclass(frozen=True, slots=True)
class Watched:
    """One gate unit as far as it was asked. `stream`: its units in the order of their lots; `rounds` (units,): the
    round of each, from 1 on.
    """

    stream: Stream
    rounds: NDArray[np.int_]
    margin: float


class Path(NamedTuple):
    """Logarithms of e-values after each round that was asked, (rounds asked,). `retained`: the largest up to then,
    which needs no adjustment.
    """

    forgotten: Floats
    retained: Floats


def round_of(lots: Floats) -> NDArray[np.int_]:
    """Lots in [0, 1) to rounds 1 … ROUNDS."""
    return np.floor(np.asarray(lots) * ROUNDS).astype(np.int_) + 1


def watched(pairs: Pairs, lots: Floats, largest: float) -> Watched | None:
    """A gate unit's rows, drawn by `lots` (units,), with at most `largest` rows in a unit. None where there is no
    margin, and of scores that are no
    means of bounded rows with the same weights in both models (MCC, BLEU): those have no e-process and are asked to the
    end.
    """
    if pairs.kind == MetricKind.CORPUS or pairs.margin is None or not math.isfinite(pairs.high - pairs.low):
        return None
    if not np.array_equal(pairs.base[:, 1], pairs.candidate[:, 1]):
        return None
    order = np.argsort(lots, kind="stable")
    net, sizes = pairs.sign * (pairs.candidate[:, 0] - pairs.base[:, 0])[order], pairs.base[:, 1][order]
    stream = Stream(net, sizes, max(largest, float(sizes.max(initial=1.0))), pairs.high - pairs.low)
    return Watched(stream, round_of(lots[order]), pairs.margin)


def path(unit: Watched, asked: int) -> Path:
    """Evidence after each of the first `asked` rounds; 0 (the capital that one starts with) until there is a unit."""
    ends = np.searchsorted(unit.rounds, np.arange(1, asked + 1), side="right")
    found = {}
    for side in SIDES:
        logs = np.concatenate([[0.0], evidence(unit.stream, unit.margin, side)])
        found[side] = (np.maximum.accumulate(logs) if side == Verdict.RETAINED else logs)[ends]
    return Path(found[Verdict.FORGOTTEN], found[Verdict.RETAINED])


def adjusted(paths: Sequence[Path | None]) -> list[float]:
    """p_forgotten of every gate unit, adjusted over all of them: the least that e-Holm gives after any round up to the
    unit's last. A unit that was
    stopped keeps its last e-value; one without an e-process (None) has 1 all along, which is an e-value as well."""
    found = [1.0] * len(paths)
    lengths = [0 if of is None else len(of.forgotten) for of in paths]
    for number in range(max(lengths, default=0)):
        now = [
            0.0 if of is None or not lengths[i] else float(of.forgotten[min(number, lengths[i] - 1)])
            for i, of in enumerate(paths)
        ]
        for i, log in enumerate(e_holm(now)):
            if number < lengths[i]:
                found[i] = min(found[i], math.exp(-max(log, 0.0)))
    return found


def unadjusted(of: Path | None) -> tuple[float, float]:
    """(p_forgotten, p_retained) of one unit alone, valid at every round."""
    if of is None or not len(of.forgotten):
        return 1.0, 1.0
    return tuple(math.exp(-max(float(logs.max()), 0.0)) for logs in of)  # type: ignore[return-value]


def either(early: float, final: float) -> float:
    """One p-value of two that share α: that of the e-process, and that of the fixed sample (1 where the unit was
    stopped).
    """
    return min(1.0, early / EARLY, final / (1 - EARLY))


def bounds(unit: Watched, alpha: float) -> tuple[float, float]:
    """Interval of Δ each end of which errs, at whatever round one stops, with probability ≤ the early share of
    `alpha`.
    """
    return interval(unit.stream, alpha * EARLY)


def certified(unit: Watched, population: int, alpha: float) -> tuple[Verdict, float, float]:
    """What all of the `population` units, of which those in `unit` are a random part, would show had all been answered:
    the verdict on that very set,
    certain at level 1 − α, and the p-values of its two nulls. Raises ValueError for more units than there are."""
    forgotten, retained = (
        math.exp(-max(float(certificate(unit.stream, unit.margin, side, population).max(initial=0.0)), 0.0))
        for side in SIDES
    )
    verdict = (
        Verdict.FORGOTTEN
        if forgotten <= min(alpha, retained)
        else Verdict.RETAINED
        if retained <= alpha
        else Verdict.INCONCLUSIVE
    )
    return verdict, forgotten, retained


def spent(alpha: float) -> dict[int, float]:
    """What each of LOOKS may spend of `alpha`, by its round; they add up to `alpha`."""
    total = [2 * float(ndtr(ndtri(alpha / 2) / math.sqrt(look / ROUNDS))) for look in LOOKS]
    return {look: now - before for look, now, before in zip(LOOKS, total, [0.0, *total[:-1]], strict=True)}


def asked_on(verdicts: Mapping[str, Verdict], suite: Verdict) -> AbstractSet[str]:
    """Gate units that have to be asked on, out of those that have not been stopped. `verdicts`: theirs as they are
    certain now; `suite`: its own.

    What is forgotten is asked no more: the gate cannot pass, whatever else comes. What is retained is asked on as long
    as the gate may pass and the suite, of which it is a part, is undecided.
    """
    settled = Verdict.FORGOTTEN in (suite, *verdicts.values()) or suite == Verdict.RETAINED
    return {
        name
        for name, verdict in verdicts.items()
        if verdict == Verdict.INCONCLUSIVE or (verdict == Verdict.RETAINED and not settled)
    }
