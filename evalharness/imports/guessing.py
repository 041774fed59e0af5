"""Compute the chance level of a task from a log's choices and right answers."""

from __future__ import annotations

import math
from collections.abc import Sequence


def chance_level(choices: Sequence[int], golds: Sequence[str] = ()) -> float | None:
    """Return the expected 0/1 score of guessing; None if it is not known.

    It is the mean of 1 / choices if all questions have `choices`, else 1 / the number of different right answers.
    """
    if choices and all(choices):
        return math.fsum(1 / number for number in choices) / len(choices)
    different = len(set(golds))
    return 1 / different if different > 1 else None
