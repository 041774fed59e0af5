"""Collect for every gate unit how many answers it will have, and what is known of their changes.

A gate unit is a task or group that the gate judges as one. `flips` is the share of answers that change from base to
candidate, `skill` the base's share of the possible score above chance; both are assumed if no earlier run shows them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalharness.analysis.gate_units import gate_units
from evalharness.analysis.pairing import pairs_of
from evalharness.errors import UsageError, did_you_mean
from evalharness.metrics.base import ByUnit
from evalharness.metrics.build import build
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.measurements import Measurement, MetricFacts, TaskFacts
from evalharness.records.requests import PreparedTask
from evalharness.results import read_measurements, run_and_model
from evalharness.stats.enums import MetricKind
from evalharness.stats.pairs import Pairs, match_units, pool_pairs
from evalharness.stats.proportion import whole_units
from evalharness.stats.redraw import Drawing, changed_share, draw_answers, redraw_units

FROM = "--from"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitMember:
    """One task of a gate unit.

    `sizes`: the number of rows of each of its units (rows that belong together), (units,). `examples`: the number of
    its examples. `earlier`: the paired rows of an earlier run's base and candidate, None without one.
    """

    task: TaskFacts
    metric: MetricFacts
    sizes: np.ndarray
    examples: int
    earlier: Pairs | None = None

    def drawing(self, flips: float, skill: float, drop: float = 0.0) -> Drawing | None:
        """Return a function that draws the task's answers of a base, and of a candidate whose score is lower by `drop`.

        Return None if nothing is known of the task's rows, or if its score cannot fall so far. If the dependence of
        rows within a unit is not known, the rows are assumed to depend on one another completely.
        """
        many = bool(self.sizes.max(initial=0) > 1)
        if self.earlier is not None and (many or self.metric.kind != MetricKind.BINARY):
            return redraw_units(self.earlier, len(self.sizes), drop)
        chance = self.task.chance or 0.0  # unknown: the base is assumed to be right in the share that is its skill
        if self.metric.kind != MetricKind.BINARY or chance >= 1:
            return None
        score, share = chance + skill * (1 - chance), flips
        if self.earlier is not None:
            score, share = float(self.earlier.score(self.earlier.base.sum(axis=0))), changed_share(self.earlier)[1]
        n = int(self.sizes.sum() / whole_units(self.sizes)) if many else len(self.sizes)
        return draw_answers(max(1, n), score, share, self.task.chance, drop)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastUnit:
    """A gate unit, with the number of its answers and what is known of their changes.

    `level`: task or group. `metric`: the one that decides. `margin`: the most that its score may fall. `members`: its
    tasks. `macro`: whether its score is the mean over tasks, whatever their numbers of rows.
    """

    name: str
    level: str
    family: str
    metric: MetricFacts
    margin: float
    members: tuple[UnitMember, ...]
    macro: bool = False

    @property
    def units(self) -> int:
        return sum(len(member.sizes) for member in self.members)

    @property
    def available(self) -> int:
        return sum(member.task.available for member in self.members)

    @property
    def examples(self) -> int:
        return sum(member.examples for member in self.members)

    @property
    def binary(self) -> bool:
        """Return whether all its answers are right or wrong, so that its verdicts can be enumerated."""
        return not self.macro and all(member.metric.kind == MetricKind.BINARY for member in self.members)

    @property
    def bounded(self) -> bool:
        """Return whether all metrics state a finite range."""
        return not any(member.metric.low is None or member.metric.high is None for member in self.members)

    @property
    def sizes(self) -> np.ndarray:
        return np.concatenate([member.sizes for member in self.members])

    @property
    def earlier(self) -> Pairs | None:
        """Pool an earlier run's rows of the whole unit; None if it lacks a task of it."""
        pairs = [member.earlier for member in self.members if member.earlier is not None]
        return pool_pairs(pairs, self.margin, self.macro) if pairs and len(pairs) == len(self.members) else None

    @property
    def largest_skill(self) -> float | None:
        """Return the most that a base's score can be above chance; None if chance is unknown."""
        best = self._average([m.metric.ends[m.metric.higher_is_better] for m in self.members])
        return None if self.chance is None else abs(best - self.chance)

    @property
    def chance(self) -> float | None:
        """Return the score of guessing; None if that of any member is unknown."""
        chances = [m.task.chance for m in self.members if m.task.chance is not None]
        return self._average(chances) if len(chances) == len(self.members) else None

    def _average(self, values: Sequence[float]) -> float:
        """Average one value for each member, weighted by its examples unless the unit is a macro average."""
        weights = None if self.macro else [max(1, member.examples) for member in self.members]
        return float(np.average(values, weights=weights))

    def drawing(self, flips: float, skill: float, drop: float = 0.0) -> Drawing | None:
        """Return a function that draws the answers to all members together, each of which loses `drop`; None as in
        `UnitMember.drawing`.
        """
        every = [member.drawing(flips, skill, drop) for member in self.members]
        drawings = [drawing for drawing in every if drawing is not None]
        if len(drawings) < len(every):
            return None
        if len(drawings) == 1 and not self.macro:
            return drawings[0]
        return lambda rng: pool_pairs([drawing(rng) for drawing in drawings], None, self.macro)


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The measurements of a finished run for its base and one candidate. `text`: the run's path. `measurements`: (task,
    metric, model) -> the measurement.
    """

    text: str
    base: str
    candidate: str
    measurements: dict[tuple[str, str, str], Measurement]

    def pairs(self, task: TaskFacts, metric: MetricFacts) -> Pairs | None:
        """Pair the rows of the units that both models answered; None if there are none."""
        both = [self.measurements.get((task.name, metric.id, model)) for model in (self.base, self.candidate)]
        if any(each is None or each.point is not None or each.rows.shape[-1] == 0 for each in both):
            return None
        base, other = (each for each in both if each is not None)
        places = match_units(base.units, base.sizes, other.units, other.sizes)
        if not len(places.first):
            return None
        sizes = np.asarray(base.sizes, dtype=np.float64)[places.first]
        return pairs_of((task, metric), base.rows[places.first], other.rows[places.second], sizes)


def read_earlier(text: str) -> Earlier:
    """Read RUN or RUN#NAME. Without a name, take the candidate of which most units changed, the most conservative
    choice. Raises UsageError.
    """
    path, name = run_and_model(text)
    run = read_measurements(path)
    if any(fact.rounds for fact in run.facts):
        what = "was stopped early: its rows say nothing of how often answers change, because the stop selected them"
        raise UsageError(f"{FROM} {text}", what, "name a run that asked everything")
    base, candidates = run.plan.base, run.plan.candidates
    if name and name not in candidates:
        raise UsageError(f"{FROM} {text}", f"no candidate {name!r} in this run", did_you_mean(name, candidates))
    if not candidates:
        raise UsageError(f"{FROM} {text}", "this run compared no candidate with its base", "name a run that did")
    by_key = {(m.task, m.metric, m.model): m for m in run.measurements}
    most = max(candidates, key=lambda candidate: _share_changed(by_key, base, candidate))
    return Earlier(text=str(path), base=base, candidate=name or most, measurements=by_key)


def _share_changed(measurements: dict[tuple[str, str, str], Measurement], base: str, candidate: str) -> float:
    shares = []
    for (task, metric, model), m in measurements.items():
        other = measurements.get((task, metric, candidate))
        if (
            model == base
            and other is not None
            and other.rows.shape == m.rows.shape
            and other.units == m.units
            and m.rows.size
        ):
            shares.append(float(np.any(m.rows != other.rows, axis=1).mean()))
    return float(np.mean(shares)) if shares else 0.0


def forecast_units(
    plan: ComparePlan, facts: Sequence[TaskFacts], prepared: Sequence[PreparedTask], earlier: Earlier | None
) -> list[ForecastUnit]:
    """List the gate units in the order of a comparison. `prepared`: the tasks in the order of `facts`."""
    tasks = {fact.name: task for fact, task in zip(facts, prepared, strict=True)}
    units = []
    for unit in gate_units(facts, plan):
        members = tuple(_member(fact, tasks[fact.name], metric, earlier) for fact, metric in unit.members)
        metric, margin = unit.members[0][1], unit.margin or 0.0
        units.append(
            ForecastUnit(
                name=unit.name,
                level=unit.level,
                family=unit.family,
                metric=metric,
                margin=margin,
                members=members,
                macro=unit.macro,
            )
        )
    return units


def _member(fact: TaskFacts, prepared: PreparedTask, metric: MetricFacts, earlier: Earlier | None) -> UnitMember:
    spec = next(spec for spec in prepared.task.metrics if spec.id == metric.id)
    by_key = isinstance(build(spec), ByUnit)  # one row a key, however many examples it has
    counted = {(each.unit, each.key if by_key else each.id): each.unit for each in prepared.examples}
    rows = np.array(list(Counter(counted.values()).values()), dtype=np.float64)
    pairs = earlier.pairs(fact, metric) if earlier else None
    return UnitMember(task=fact, metric=metric, sizes=rows, examples=len(prepared.examples), earlier=pairs)
