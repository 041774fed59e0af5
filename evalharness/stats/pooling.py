"""Pairs of several tasks to one: their units as if they were of one task, or weighted so that every task counts the
same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evalharness.stats.assess import Pairs
from evalharness.stats.enums import MetricKind


def pooled(members: Sequence[Pairs], margin: float | None, macro: bool = False) -> Pairs:
    """All units of the members, with the mean chance over their examples. Members without units are left out.

    `macro`: the score is the plain mean of the members' scores, which must be Σ row[0] / Σ row[1]: the rows of each are
    scaled so that their counts add up to the same, and the chance is the plain mean. Scaled rows are no longer 0 or 1:
    A binary score becomes a graded one.
    """
    first = next((pairs for pairs in members if len(pairs.base)), members[0])
    counted = [pairs for pairs in members if len(pairs.base)] or [first]
    if macro and len(first.base):
        total = sum(float(pairs.base[:, 1].sum()) for pairs in counted)
        counted = [_scaled(pairs, total / (len(counted) * float(pairs.base[:, 1].sum()))) for pairs in counted]
    weights = [1.0 if macro else float(pairs.sizes.sum()) for pairs in counted]
    return replace(
        first,
        base=np.concatenate([pairs.base for pairs in counted]),
        candidate=np.concatenate([pairs.candidate for pairs in counted]),
        sizes=np.concatenate([pairs.sizes for pairs in counted]),
        kind=MetricKind.GRADED if macro or any(pairs.kind == MetricKind.GRADED for pairs in members) else first.kind,
        chance=float(np.average([pairs.chance for pairs in counted], weights=weights if sum(weights) else None)),
        margin=margin,
        lots=None
        if first.lots is None
        else np.concatenate([pairs.lots for pairs in counted if pairs.lots is not None]),
    )


def _scaled(pairs: Pairs, weight: float) -> Pairs:
    return replace(pairs, base=pairs.base * weight, candidate=pairs.candidate * weight, sizes=pairs.sizes * weight)
