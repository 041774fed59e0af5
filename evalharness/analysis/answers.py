"""Count and flag suspicious answers: one answer to nearly all examples, or a tenth empty, cut off or unreadable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from evalharness.records.answers import AnswerCounts, UnfitShares
from evalharness.records.comparison import Flag
from evalharness.records.measurements import TaskFacts

BothCounts = tuple[AnswerCounts | None, AnswerCounts | None]  # of the base and of the candidate


def counts_of(tasks: Sequence[TaskFacts], model: str) -> AnswerCounts | None:
    """Add up a model's counts over all tasks of a row; None if no task has counts.

    A task records only its most common answer, so over several tasks an answer's count is a lower bound.
    """
    each = [counts for task in tasks if (counts := task.answers.get(model)) is not None]
    if len(each) < 2:
        return each[0] if each else None
    common, right = Counter[str](), Counter[str]()
    for counts in each:
        common[counts.most_common] += counts.most_common_count
        right[counts.most_common] += counts.most_common_right
    answer, count = common.most_common(1)[0]
    return AnswerCounts(
        answers=sum(counts.answers for counts in each),
        most_common=answer,
        most_common_count=count,
        most_common_right=right[answer],
        empty=sum(counts.empty for counts in each),
        cut_off=sum(counts.cut_off for counts in each),
        unreadable=sum(counts.unreadable for counts in each),
        near_ties=sum(counts.near_ties for counts in each),
    )


def notable_counts(tasks: Sequence[TaskFacts], sides: tuple[str, str]) -> BothCounts:
    """Return the counts of base and candidate if either is worth a remark, else (None, None)."""
    both = counts_of(tasks, sides[0]), counts_of(tasks, sides[1])
    return both if any(counts is not None and counts.notable for counts in both) else (None, None)


def answer_flags(both: BothCounts) -> dict[Flag, bool]:
    """Return the flags that the counts of base and candidate call for."""
    counted = [counts for counts in both if counts is not None]
    return {
        Flag.CONSTANT_ANSWER: any(counts.constant for counts in counted),
        Flag.EMPTY_ANSWERS: any(counts.often_empty for counts in counted),
        Flag.CUT_OFF: any(counts.often_cut_off for counts in counted),
    }


def unfit_shares(tasks: Sequence[TaskFacts], sides: tuple[str, str], examples: int) -> UnfitShares:
    """Return the shares of a row's answers that are truncated, cut off, unparsed, empty or failed. `examples`: how many
    were compared.
    """
    candidate, counts = sides[1], counts_of(tasks, sides[1])
    failed = max(sum(task.failed.get(model, 0) for task in tasks) for model in sides)
    examples_all, answers = max(examples + failed, 1), max(counts.answers if counts else 0, 1)
    return UnfitShares(
        truncated=min(sum(task.truncated for task in tasks) / examples_all, 1.0),
        cut_off=(counts.cut_off if counts else 0) / answers,
        unparsed=min(sum(task.unparsed.get(candidate, 0) for task in tasks) / examples_all, 1.0),
        empty=(counts.empty if counts else 0) / answers,
        failed=failed / examples_all,
    )
