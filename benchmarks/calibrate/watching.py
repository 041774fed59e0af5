"""Watch a stream of single answers after every one, and give a verdict as soon as one may be given."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from evalharness.stats.enums import SIDES, Verdict
from evalharness.stats.sequential import Floats, Stream, evidence
from evalharness.stats.verdict import MIN_UNITS


def single(differences: Sequence[float] | Floats, reach: float = 1.0) -> Stream:
    """Units of one row each."""
    net = np.asarray(differences, dtype=np.float64)
    return Stream(net=net, sizes=np.ones(len(net)), largest=1.0, reach=reach)


def first_decision(
    stream: Stream, margin: float, alpha: float, population: int | None = None, least: int = MIN_UNITS
) -> tuple[int, Verdict]:
    """After how many units a verdict may be given, and which: the first of the two e-processes to reach 1/α, not before
    `least` units.

    (all units, "inconclusive") where neither did. Each wrong verdict has probability ≤ α.
    """
    paths = {side: evidence(stream, margin, side, population) for side in SIDES}
    enough = -math.log(alpha)
    times = {side: np.flatnonzero(path[least - 1 :] >= enough)[:1] for side, path in paths.items()}
    reached = sorted((int(time[0]) + least, side) for side, time in times.items() if len(time))
    return reached[0] if reached else (len(stream.net), Verdict.INCONCLUSIVE)
