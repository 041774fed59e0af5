"""Order candidates, the best choice first: by the gate's decision, then by a rule that the report states.

The target is the task that a candidate was trained on; the suite is the mean over all tasks that the gate judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from evalharness.analysis.gate import CandidateDecision, GateOutcome, UnitDecision, judge_alone
from evalharness.analysis.gate_findings import EXCUSES, UnitOutcome
from evalharness.analysis.gate_text import one_line
from evalharness.analysis.number_text import coverage
from evalharness.records.comparison import Comparison, Estimate, Level
from evalharness.records.policy import Policy
from evalharness.records.results import ModelRow, Results
from evalharness.stats.enums import Verdict

MOST_LOST = 0.5  # share of the base's skill below which a candidate has lost most of it


class Standing(StrEnum):
    """How a candidate stands, the best first: the gate's decision, and for a pass whether the candidate learned its
    target.
    """

    SHIPS = "may ship"
    UNLEARNED = "may ship, did not learn"
    UNDECIDED = "undecided"
    FORGOTTEN = "may not ship"
    INCOMPLETE = "incomplete"


STANDINGS = {
    GateOutcome.PASSED: Standing.SHIPS,
    GateOutcome.UNDECIDED: Standing.UNDECIDED,
    GateOutcome.FORGOTTEN: Standing.FORGOTTEN,
    GateOutcome.INCOMPLETE: Standing.INCOMPLETE,
}
BEST_FIRST = tuple(Standing)


@dataclass(frozen=True, slots=True)
class JudgedCandidate:
    """A candidate with the gate's decision. `model`: its row in the results; None if they do not list it."""

    decision: CandidateDecision
    model: ModelRow | None = None

    @property
    def name(self) -> str:
        return self.decision.name

    @property
    def standing(self) -> Standing:
        standing = STANDINGS[self.decision.exit_code]
        unlearned = self.model is not None and self.model.learned_target is False
        return Standing.UNLEARNED if standing == Standing.SHIPS and unlearned else standing

    @property
    def target(self) -> str | None:
        return None if self.model is None else self.model.target_task

    @property
    def learned(self) -> bool:
        """Whether it is shown to have learned its target."""
        return self.model is not None and self.model.learned_target is True

    @property
    def gain(self) -> Estimate | None:
        """The gain on its target, with its interval."""
        return None if self.model is None else self.model.target_gain

    @property
    def units(self) -> list[UnitDecision]:
        return [unit for unit in self.decision.units if unit.row.is_gate_unit]

    @property
    def suite(self) -> Comparison | None:
        return next((unit.row for unit in self.decision.units if unit.row.level == Level.SUITE), None)

    @property
    def change(self) -> Estimate | None:
        """The change over the suite, in margins."""
        return None if self.suite is None else self.suite.difference

    @property
    def forgotten(self) -> list[Comparison]:
        return [unit.row for unit in self.units if unit.outcome == UnitOutcome.FORGOTTEN]

    @property
    def excused(self) -> list[Comparison]:
        """Forgotten tasks and groups that do not count: the policy waives them, only warns of them, or is off
        for them.
        """
        return [u.row for u in self.units if u.outcome in EXCUSES and u.row.verdict == Verdict.FORGOTTEN]

    @property
    def skill_share(self) -> float | None:
        """The share of the base's skill over chance that remains, over the gate units where the base has any; None if
        it has none.
        """
        suite = self.suite
        return None if suite is None or suite.retention is None else suite.retention.value

    @property
    def lost_most(self) -> bool:
        return bool(self.forgotten) and self.skill_share is not None and self.skill_share < MOST_LOST


@dataclass(frozen=True, slots=True)
class CandidateOrder:
    """Candidates, the best choice first.

    `choices`: those that may ship, each once, without those that are shown to have learned nothing. `target`: the task
    by whose gain the choices are ordered; None if they share no such task: then they are ordered by their change over
    the suite, as all other candidates are.
    """

    candidates: tuple[JudgedCandidate, ...]
    choices: tuple[JudgedCandidate, ...]
    target: str | None

    @property
    def rule(self) -> str:
        """The rule of the order in words; "" for one candidate alone."""
        if len({each.name for each in self.candidates}) < 2:
            return ""
        if self.target is None or len(self.choices) < 2:
            return "Order: by decision, then by the mean loss over all other tasks, the smallest first."
        gain = f"those that may ship by their gain on {one_line(self.target)}, the largest shown first"
        return f"Order: by decision; {gain}; others by the mean loss over all other tasks."

    @property
    def choice(self) -> str:
        """A sentence that says which of several candidates that may ship comes first, why, and whether its lead over
        the next is shown; "" if at most one may ship.
        """
        if len(self.choices) < 2:
            return ""
        first, second, *_ = self.choices
        gained = self.target is not None
        largest = "the largest shown gain" if first.learned else "the largest gain, which is not shown to be one,"
        did = f"has {largest} on {one_line(self.target or '')}" if gained else "lost least over all other tasks"
        lead = f"Of the {len(self.choices)} that may ship, {one_line(first.name)} {did}"
        ends = [each.gain if gained else each.change for each in (first, second)]
        is_shown = _is_shown(*ends)
        more = f"it {'gained more' if gained else 'lost less'} than {one_line(second.name)}"
        if is_shown is None:
            return f"{lead}; whether {more} cannot be told."
        level = coverage(first.suite.ci_level if first.suite else 0.9)
        if is_shown:
            return f"{lead}; that {more} is shown (their {level} intervals do not overlap)."
        return f"{lead}; that {more} is not shown (their {level} intervals overlap)."


def candidate_order(results: Results, decisions: Sequence[CandidateDecision] | None = None) -> CandidateOrder:
    """Order the candidates of these decisions. None: decide on each candidate alone, by the policy that the run was
    started with.

    A candidate with several decisions, against several bases, is placed by the worst.
    """
    if decisions is None:
        policy = Policy.recorded(results.signature)
        decisions = [judge_alone(results, name, policy) for name in dict.fromkeys(results.candidates)]
    models = {model.name: model for model in results.models}
    judged = [JudgedCandidate(decision, models.get(decision.name)) for decision in decisions]
    worst = {each.name: each for each in sorted(judged, key=_place)}
    ships = [each for each in worst.values() if each.standing == Standing.SHIPS]
    target = _target(ships)
    names = sorted(dict.fromkeys(each.name for each in judged), key=lambda name: _key(worst[name], target))
    choices = tuple(sorted(ships, key=lambda each: names.index(each.name)))
    return CandidateOrder(tuple(sorted(judged, key=lambda each: names.index(each.name))), choices, target)


def _place(candidate: JudgedCandidate) -> int:
    return BEST_FIRST.index(candidate.standing)


def _key(candidate: JudgedCandidate, target: str | None) -> tuple[int, bool, float]:
    """Return the sort key, lower is better. A gain that is not shown comes after those that are."""
    if target is not None and candidate.standing == Standing.SHIPS and candidate.gain is not None:
        return _place(candidate), not candidate.learned, -candidate.gain.value
    return _place(candidate), candidate.change is None, -candidate.change.value if candidate.change else 0.0


def _target(candidates: Sequence[JudgedCandidate]) -> str | None:
    """Return the one target on which all these candidates have a gain, by one metric on the same examples; None without
    one.
    """
    targets = {each.target if each.gain else None for each in candidates}
    return targets.pop() if len(targets) == 1 else None


def _is_shown(first: Estimate | None, second: Estimate | None) -> bool | None:
    """Return whether `first` is shown to be larger: its interval lies wholly above that of `second`. None if one has no
    interval.

    That is wrong no more often than one such interval misses its value, also if the two are correlated.
    """
    if first is None or second is None or first.low is None or second.high is None:
        return None
    return first.low > second.high
