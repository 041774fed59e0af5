"""The words that tests and results share: verdicts, kinds of scores; the version of the rule, and what share of α early
verdicts have.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

RULE = 2  # version of the rule by which verdicts are given: results of another one are judged again
RULE_WITH_NOISE = 3  # the same, of results of which an engine's own noise widened a test (engine_noise.py)
EARLY = 0.5  # share of α for verdicts before the last round


class Verdict(StrEnum):
    """What the difference of one gate unit shows, held against its margin."""

    FORGOTTEN = "forgotten"  # the loss is larger than the margin
    RETAINED = "retained"  # the loss is smaller than the margin
    INCONCLUSIVE = "inconclusive"


class Assumption(StrEnum):
    """What is supposed of the true difference where it is said how many units would decide."""

    NOTHING_LOST = "nothing_lost"
    AS_SEEN = "as_seen"


Side = Literal[Verdict.FORGOTTEN, Verdict.RETAINED]  # what a one-sided test may show
SIDES: tuple[Side, Side] = (Verdict.FORGOTTEN, Verdict.RETAINED)


class MetricKind(StrEnum):
    """How a metric's score follows from its rows of sufficient statistics."""

    BINARY = "binary"  # rows are (0 or 1, 1) and the score their ratio
    GRADED = "graded"  # the same with values in [low, high]
    CORPUS = "corpus"  # any function of the summed row
    OPAQUE = "opaque"  # there are no rows, only the score
