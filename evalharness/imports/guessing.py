"""Say what a model scores that guesses, as far as a log's choices and right answers tell it."""

from __future__ import annotations

import math
from collections.abc import Sequence


def guessing(choices: Sequence[int], golds: Sequence[str] = ()) -> float | None:
    """Of scores of 0 and 1: the mean of one in the number of choices, where all questions have `choices`, else one in
    the number of different right answers; None where neither tells it.
    """
    if choices and all(choices):
        return math.fsum(1 / number for number in choices) / len(choices)
    different = len(set(golds))
    return 1 / different if different > 1 else None
