"""Define names shared by tests and results: verdicts, assumptions, kinds of metrics, version of the verdict rule."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

RULE = 2  # version of the rule of verdicts: results of another version are judged again
RULE_WITH_NOISE = 3  # the same rule, in results with a test widened by the engine's noise (engine_noise.py)
EARLY = 0.5  # share of α for verdicts before the last round


class Verdict(StrEnum):
    """The verdict on one difference: what it shows, compared with its margin."""

    FORGOTTEN = "forgotten"  # the loss is larger than the margin
    RETAINED = "retained"  # the loss is smaller than the margin
    INCONCLUSIVE = "inconclusive"


class Assumption(StrEnum):
    """The true difference that a forecast of the needed units assumes."""

    NOTHING_LOST = "nothing_lost"
    AS_SEEN = "as_seen"


Side = Literal[Verdict.FORGOTTEN, Verdict.RETAINED]  # the claim of a one-sided test
SIDES: tuple[Side, Side] = (Verdict.FORGOTTEN, Verdict.RETAINED)


class MetricKind(StrEnum):
    """The way in which a metric computes its score from rows of sufficient statistics."""

    BINARY = "binary"  # rows are (0 or 1, 1) and the score their ratio
    GRADED = "graded"  # the same with values in [low, high]
    CORPUS = "corpus"  # any function of the summed row
    OPAQUE = "opaque"  # there are no rows, only the score
