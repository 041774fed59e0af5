"""Explain the terms of the page that its readers may not know, where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TERMS: Final[Mapping[str, str]] = {
    "margin": (
        "The largest loss that is acceptable. It is fixed for each task before anything is measured: 2 points for "
        "most, a point being a hundredth of a score from 0 to 1. All tasks together are counted in margins: −1 is a "
        "loss of one margin on average."
    ),
    "unit": "A task, or a group of tasks that is judged as one: what the gate looks at.",
    "learned": "The gain over the base on the task that the candidate was trained for.",
    "kept": (
        "The share of what the base scores above guessing that is left, on average over the tasks that the candidate "
        "was not trained on. It describes; the decision rests on the losses."
    ),
    "loss": (
        "The change on one task, with its interval. Of a candidate that lost too much: the task that lost most. Of any "
        "other: the task of which these examples leave the largest loss possible; what lies left of the interval is "
        "excluded with 95 % certainty."
    ),
}
