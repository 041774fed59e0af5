"""Compute the measures of continual learning from scores after each stage of training, with intervals over units.

Row i of a matrix holds the scores after stage i, row 0 those of the base; every score is oriented so that + is better.
Task j was learned at stage `learned[j]`; 0: the base could do it already (a general ability), so all stages count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalharness.stats.gaffke import WeightedMean
from evalharness.stats.pairs import Interval
from evalharness.stats.resample import Floats, Score

Measure = Callable[[Floats], Floats]
"""A function of matrices (..., stages, tasks) with values (...)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinualDesign:
    """The times at which tasks were learned, and scores to compare with.

    `learned`: the stage at which each task was learned, (tasks,). `fresh`: scores of a model that learned nothing, for
    forward transfer; None: the base's. `joint`: scores of a model trained on everything at once, for intransigence;
    None: no intransigence. `fresh` and `joint` are fixed numbers, or the number of a row of the matrices after those of
    the stages: then they vary with the same units. Raises ValueError for numbers of unequal length, or a negative
    stage.
    """

    learned: tuple[int, ...]
    fresh: tuple[float, ...] | int | None = None
    joint: tuple[float, ...] | int | None = None

    def __post_init__(self) -> None:
        if any(stage < 0 for stage in self.learned) or any(
            isinstance(scores, tuple) and len(scores) != len(self.learned) for scores in (self.fresh, self.joint)
        ):
            raise ValueError("each task needs one stage of 0 or more, and one score")

    @property
    def beside(self) -> tuple[int, ...]:
        """The rows of the matrices that are no stages."""
        return tuple({row: None for row in (self.fresh, self.joint) if isinstance(row, int)})


def measures(design: ContinualDesign, stages: int) -> dict[str, Measure]:
    """Return the measures by name, as functions of matrices whose first `stages` rows are the stages. Measures without
    a task are left out.

    * accuracy: mean over all tasks after the last stage (ACC)
    * backward_transfer: mean over tasks learned before the last stage of the score after it minus that when learned
      (BWT; negative is forgetting)
    * forward_transfer: mean over tasks learned after stage 1 of the score just before they were learned minus `fresh`
      (FWT)
    * forgetting: mean over tasks learned before the last stage of the best score from then on to the stage before the
      last, minus that after it
    * intransigence: mean over tasks learned at a stage of `joint` minus the score when learned

    The first three: D. Lopez-Paz and M. Ranzato (2017), NeurIPS, arXiv:1706.08840. The last two: A. Chaudhry et al.
    (2018), arXiv:1801.10112. The best of several scores is too high by luck, so forgetting is above 0 even if nothing
    is forgotten; backward transfer has no such bias. Raises ValueError for a task learned after the last stage, and for
    a row of `fresh` or `joint` that is a stage.
    """
    learned, last = np.array(design.learned, dtype=int), stages - 1
    if stages < 1 or (learned > last).any() or any(row < stages for row in design.beside):
        raise ValueError("a task is learned after the last stage, or the row of fresh or joint is a stage")
    earlier, later, taught = np.flatnonzero(learned < last), np.flatnonzero(learned > 1), np.flatnonzero(learned > 0)
    by_name: dict[str, Measure] = (
        {"accuracy": lambda scores: scores[..., last, :].mean(axis=-1)} if len(learned) else {}
    )
    if len(earlier):
        by_name["backward_transfer"] = lambda scores: (
            scores[..., last, earlier] - scores[..., learned[earlier], earlier]
        ).mean(axis=-1)
        by_name["forgetting"] = lambda scores: _lost_since_best(scores[..., :stages, :], learned, earlier).mean(axis=-1)
    if len(later):
        fresh = _scores_to_compare(0 if design.fresh is None else design.fresh, later)
        by_name["forward_transfer"] = lambda scores: (scores[..., learned[later] - 1, later] - fresh(scores)).mean(
            axis=-1
        )
    if len(taught) and design.joint is not None:
        joint = _scores_to_compare(design.joint, taught)
        by_name["intransigence"] = lambda scores: (joint(scores) - scores[..., learned[taught], taught]).mean(axis=-1)
    return by_name


def _scores_to_compare(source: tuple[float, ...] | int, tasks: NDArray[np.int_]) -> Measure:
    """Return the scores of some tasks, from a row of matrices (..., tasks) or as fixed numbers (tasks,)."""
    if isinstance(source, int):
        return lambda scores: np.asarray(scores[..., source, tasks])
    fixed = np.array(source)[tasks]
    return lambda scores: fixed


def _lost_since_best(scores: Floats, learned: NDArray[np.int_], tasks: NDArray[np.int_]) -> Floats:
    """Return the best score from learning to the stage before the last, minus the last score, (..., tasks)."""
    since_learned = np.arange(scores.shape[-2] - 1)[:, None] >= learned[tasks]
    best = np.where(since_learned, scores[..., :-1, :][..., tasks], -np.inf).max(axis=-2)
    return np.asarray(best - scores[..., -1, :][..., tasks])


def with_intervals(
    rows: Sequence[Floats], score: Sequence[Score], design: ContinualDesign, level: float
) -> dict[str, Interval]:
    """Compute every measure with its interval.

    `rows[j]`: the rows of task j after every stage, then those of the models that `design` names by their row, (units,
    stages and others, width), the same units in the same order; `score[j]`: oriented scores of summed rows (...,
    width). A unit is what was drawn independently, with all its rows (a passage, a dialogue).

    Intervals are those of `WeightedMean`, from the jackknife influence of every unit at all stages together; one unseen
    unit could move the measure as much as the largest influence. Raises ValueError for a task with fewer than two
    units.
    """
    if any(len(each) < 2 for each in rows):
        raise ValueError("a task has fewer than two units")
    tasks = list(zip(rows, score, strict=True))
    stages = rows[0].shape[1] - len(design.beside) if rows else 0
    sums = [each.reshape(len(each), -1).sum(axis=0) for each in rows]
    whole = np.stack([_scores(of_task, *task) for of_task, task in zip(sums, tasks, strict=True)], -1)
    shares = np.concatenate([np.full(len(each), 1 / (len(rows) * len(each))) for each in rows])
    intervals = {}
    for name, measure in measures(design, stages).items():
        moves = np.concatenate([_influence(measure, whole, place, *task) for place, task in enumerate(tasks)])
        mean = WeightedMean.from_unbounded(float(measure(whole)), moves, shares)
        intervals[name] = Interval(mean.estimate, *mean.interval(level))
    return intervals


def _scores(sums: Floats, rows: Floats, score: Score) -> Floats:
    """Compute scores (..., stages) of flat sums (..., stages × width)."""
    return np.asarray(score(sums.reshape(*sums.shape[:-1], *rows.shape[1:])))


def _influence(measure: Measure, whole: Floats, place: int, rows: Floats, score: Score) -> Floats:
    """Return the jackknife influence on a measure of each unit of one task, (units,)."""
    scores = np.broadcast_to(whole, (len(rows), *whole.shape)).copy()
    scores[..., place] = _scores(rows.reshape(len(rows), -1).sum(axis=0) - rows.reshape(len(rows), -1), rows, score)
    left_out = measure(scores)
    return np.asarray((left_out.mean() - left_out) * (len(rows) - 1) / len(rows))
