"""Explain the terms of the page, for its tooltips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TERMS: Final[Mapping[str, str]] = {
    "margin": (
        "The largest loss that is acceptable. It is fixed for each task before anything is measured: 2 points for "
        "most, a point being a hundredth of a score from 0 to 1. All tasks together are counted in margins: −1 is a "
        "loss of one margin on average."
    ),
    "unit": "A task, or a group of tasks that the gate judges as one.",
    "learned": "The gain over the base on the task that the candidate was trained for.",
    "kept": (
        "The share of the base's score above guessing that is left, on average over the tasks that the candidate was "
        "not trained on. It describes; the decision rests on the losses."
    ),
    "loss": (
        "The change on one task, with its interval. For a candidate that lost too much: the task that lost most. For "
        "any other: the task with the largest loss that these examples leave possible; what lies left of the interval "
        "is excluded with 95 % certainty."
    ),
}
