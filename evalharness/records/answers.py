"""Counts of one model's answers to a task: the most common one, and how many are empty, cut off or unreadable."""

from __future__ import annotations

from dataclasses import dataclass

LEAST = 10  # answers; fewer say nothing about how a model answers


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCounts:
    """Counts over the `answers` of one model to one task that were scored.

    `most_common` is the most frequent choice or extracted text, shortened; `most_common_count` answers give it, and it
    is a right answer for `most_common_right` rows. `empty` answers are white space, `cut_off` ones ended at the length
    limit, and from `unreadable` ones no answer could be extracted. In `near_ties` rows the two best choices are so
    close that batches and threads can swap them.
    """

    answers: int
    most_common: str
    most_common_count: int
    most_common_right: int
    empty: int = 0
    cut_off: int = 0
    unreadable: int = 0
    near_ties: int = 0

    @property
    def constant(self) -> bool:
        """Return whether at least nine of ten rows have the same answer."""
        return self._reaches(self.most_common_count, 90)

    @property
    def often_empty(self) -> bool:
        return self._reaches(self.empty, 10)

    @property
    def often_cut_off(self) -> bool:
        return self._reaches(self.cut_off, 10)

    @property
    def often_unreadable(self) -> bool:
        return self._reaches(self.unreadable, 10)

    @property
    def often_near_ties(self) -> bool:
        return self._reaches(self.near_ties, 5)

    @property
    def notable(self) -> bool:
        often = self.often_empty or self.often_cut_off or self.often_unreadable or self.often_near_ties
        return self.constant or often

    @property
    def shows_nothing(self) -> bool:
        """Return whether at least nine of ten rows have the same answer, or none. Then the score says nothing about
        knowledge.
        """
        return self.constant or self._reaches(self.empty, 90)

    def _reaches(self, count: int, percent: int) -> bool:
        return self.answers >= LEAST and 100 * count >= percent * self.answers


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfitShares:
    """Shares (0-1) of a candidate's examples in one gate unit whose answers are unusable or of less use.

    A gate unit is a task or group that the gate judges. `truncated`: the prompt was cut to the model's window.
    `cut_off`: the text ended at the length limit. `unparsed`: no answer could be extracted from the text. `empty`: the
    text is white space. `failed`: the candidate did not answer, or the base did not, whichever failed on more
    examples.
    """

    truncated: float = 0.0
    cut_off: float = 0.0
    unparsed: float = 0.0
    empty: float = 0.0
    failed: float = 0.0
