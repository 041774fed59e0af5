"""Explain the terms of the page that its readers may not know, where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TERMS: Final[Mapping[str, str]] = {
    "accepted": (
        "The margin: the largest loss that counts as acceptable. It is fixed for each task before anything is "
        "measured, 2 points for most."
    ),
    "learned": "The gain over the base on the task that the candidate was trained for.",
    "kept": (
        "The share of what the base scores above guessing that is left, on average over the tasks that the candidate "
        "was not trained on. It describes; the decision rests on the losses."
    ),
    "loss": (
        "Of a candidate that lost too much: the largest loss, counted in accepted losses. Of one that did not: at "
        "worst, the largest loss that these examples leave possible, at 95 % certainty."
    ),
}
