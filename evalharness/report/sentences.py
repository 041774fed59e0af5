"""Say in a sentence which candidates may ship, and of each why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalharness.analysis.gate import CandidateDecision, GateOutcome, UnitDecision, judge_alone, worst
from evalharness.analysis.gate_findings import EXCUSES, UnitOutcome
from evalharness.analysis.gate_text import loss_bound
from evalharness.analysis.metric_unit import metric_unit
from evalharness.records.comparison import Comparison, Level
from evalharness.records.policy import Policy
from evalharness.records.results import ModelRow, Results
from evalharness.report import wording
from evalharness.report.gate_lines import MAY
from evalharness.report.targets import gain_in_unit, untold
from evalharness.stats.enums import Verdict

LONGEST = 40  # characters of a name in a sentence; the tables have it whole
NAMED = 2  # candidates in a part of the headline, where there are more than three
STATEMENTS = 5  # candidates, or groups of them, of which the first screen says why
ANY = "any "  # of a loss that nothing bounds
MOST_LOST = 0.5  # of the base's skill that is left: below it, most was lost
ORDER = (GateOutcome.PASSED, GateOutcome.UNDECIDED, GateOutcome.FORGOTTEN, GateOutcome.INCOMPLETE)
GROUPS = ((GateOutcome.PASSED, False), *((outcome, outcome == GateOutcome.PASSED) for outcome in ORDER))


@dataclass(frozen=True, slots=True)
class JudgedCandidate:
    """A candidate with what the gate decides of it. `model`: None where results do not list it."""

    decision: CandidateDecision
    model: ModelRow | None

    @property
    def name(self) -> str:
        return self.decision.name

    @property
    def outcome(self) -> GateOutcome:
        return self.decision.exit_code

    @property
    def units(self) -> list[UnitDecision]:
        return [unit for unit in self.decision.units if unit.row.is_gate_unit]

    @property
    def suite(self) -> Comparison | None:
        return next((unit.row for unit in self.decision.units if unit.row.level == Level.SUITE), None)

    @property
    def failed_to_learn(self) -> bool:
        """May it ship, though it did not learn its target?"""
        return self.outcome == GateOutcome.PASSED and self.model is not None and self.model.learned_target is False

    @property
    def forgotten(self) -> list[Comparison]:
        return [unit.row for unit in self.units if unit.outcome == UnitOutcome.FORGOTTEN]

    @property
    def excused(self) -> list[Comparison]:
        """What was forgotten and does not count, because the policy waives it, or only warns of it, or looks away."""
        return [u.row for u in self.units if u.outcome in EXCUSES and u.row.verdict == Verdict.FORGOTTEN]

    @property
    def kept(self) -> float | None:
        """The share of the base's skill that is left, over the gate units that show any; None where none does."""
        suite = self.suite
        return None if suite is None or suite.retention is None else suite.retention.value

    @property
    def lost_most(self) -> bool:
        return bool(self.forgotten) and self.kept is not None and self.kept < MOST_LOST


@dataclass(frozen=True, slots=True)
class Statement:
    """Why candidates may ship, or may not. `says` goes on after their names."""

    names: tuple[str, ...]
    outcome: GateOutcome
    says: str


def ranked(results: Results) -> list[JudgedCandidate]:
    """The candidates in the order of the gate's decision, by the policy that the run was started with; among those with
    one decision who learned its target first, then who kept most.
    """
    models, policy = {model.name: model for model in results.models}, Policy.recorded(results.signature)
    every = [
        JudgedCandidate(judge_alone(results, name, policy), models.get(name))
        for name in dict.fromkeys(results.candidates)
    ]
    return sorted(every, key=_rank)


def _rank(candidate: JudgedCandidate) -> tuple[int, bool, float]:
    suite = candidate.suite
    change = 0.0 if suite is None or suite.difference is None else suite.difference.value
    return ORDER.index(candidate.outcome), candidate.failed_to_learn, -change


def headline(candidates: Sequence[JudgedCandidate]) -> tuple[str, ...]:
    """Which candidates may ship, by name: the parts of one sentence, the one that matters most first."""
    if not candidates:
        return ("Nothing to compare",)
    if len(candidates) == 1:
        return (f"{_short(candidates[0].name)} {MAY[candidates[0].outcome]}{_but(candidates)}",)
    groups = [[each for each in candidates if (each.outcome, each.failed_to_learn) == key] for key in GROUPS]
    first, *others = [group for group in groups if group]
    if not others:
        return (_all_alike(first),)
    if first[0].outcome == GateOutcome.PASSED:
        lead, rest = f"{_names(first, NAMED)} may ship{_but(first)}", others
    else:
        lead, rest = "No candidate may ship", [first, *others]
    return lead, *(_part(group, last=group is rest[-1] and len(rest) <= NAMED) for group in rest)


def _all_alike(candidates: Sequence[JudgedCandidate]) -> str:
    count, outcome = len(candidates), candidates[0].outcome
    if outcome == GateOutcome.FORGOTTEN:
        return f"None of the {count} candidates may ship"
    who = "Both candidates" if count == 2 else f"All {count} candidates"
    return f"{who} {_plural(MAY[outcome])}{_but(candidates)}"


def _part(candidates: Sequence[JudgedCandidate], last: bool) -> str:
    """ "full-high and full-low may not"; of many that are `last` "the other 5 may not"."""
    many = len(candidates) > NAMED + 1
    names = f"the other {len(candidates)}" if many and last else _names(candidates, NAMED)
    if candidates[0].outcome == GateOutcome.PASSED:
        return f"{names} may, too{_but(candidates)}"
    verb = MAY[candidates[0].outcome].removesuffix(" ship")
    return f"{names} {_plural(verb) if len(candidates) > 1 else verb}"


def _but(candidates: Sequence[JudgedCandidate]) -> str:
    """What lowers a pass: that a candidate learned nothing of what it was trained for."""
    return ", but learned nothing" if all(each.failed_to_learn for each in candidates) else ""


def _plural(verb: str) -> str:
    return f"are {verb.removeprefix('is ')}" if verb.startswith("is ") else verb


def _names(candidates: Sequence[JudgedCandidate], most: int) -> str:
    """All names where they are at most one more than `most`, else so many and how many others there are."""
    shown = candidates if len(candidates) <= most + 1 else candidates[:most]
    others = [f"{len(candidates) - len(shown)} more"] if len(shown) < len(candidates) else []
    return wording.listed([*(_short(each.name) for each in shown), *others])


def _short(name: str) -> str:
    return wording.one_line(name, LONGEST)


# ---- why -------------------------------------------------------------------------------------------------------------


def statements(results: Results, candidates: Sequence[JudgedCandidate]) -> list[Statement]:
    """Why, of the candidates as they are ranked; those that lost most of what the base could do are told together."""
    destroyed = [each for each in candidates if each.outcome == GateOutcome.FORGOTTEN and each.lost_most]
    single = [each for each in candidates if each not in destroyed or len(destroyed) == 1]
    told, passed = list[Statement](), 0
    for each in single[: STATEMENTS - (len(destroyed) > 1)]:
        passed += each.outcome == GateOutcome.PASSED
        told.append(Statement((each.name,), each.outcome, why(results, each, shortly=passed > 1)))
    if len(destroyed) > 1:
        shares = wording.listed(wording.percent(max(each.kept or 0.0, 0.0), 0) for each in destroyed)
        says = f"lost most of what the base could do: {shares} of it is left"
        told.append(Statement(tuple(each.name for each in destroyed), GateOutcome.FORGOTTEN, says))
    return told


def why(results: Results, candidate: JudgedCandidate, shortly: bool = False) -> str:
    """Why a candidate may ship, or may not, without its name. `shortly`: of a pass only what is its own."""
    if candidate.outcome == GateOutcome.PASSED:
        parts = _why_passed(results, candidate, shortly)
    elif candidate.outcome == GateOutcome.FORGOTTEN:
        parts = _why_forgotten(candidate)
    elif candidate.outcome == GateOutcome.UNDECIDED:
        parts = _why_undecided(candidate)
    else:
        parts = _why_incomplete(results, candidate)
    unchanged = results.signature.get("unchanged", {}).get(candidate.name, "")
    return "; ".join([*parts, *([f"nothing was changed: {wording.one_line(unchanged)}"] if unchanged else [])])


def _why_passed(results: Results, candidate: JudgedCandidate, shortly: bool) -> list[str]:
    model, kept, none = candidate.model, "kept what the base could do", ""
    if candidate.suite is not None and candidate.suite.verdict == Verdict.FORGOTTEN:
        kept = "lost more than is accepted over all tasks together, which the policy lets pass"
    elif candidate.suite is None or candidate.suite.verdict != Verdict.RETAINED:
        kept = "is neither shown to have lost the tasks nor to have kept them, and the policy lets that pass"
    elif candidate.excused:
        names = wording.listed(_short(row.task) for row in candidate.excused)
        none = f", but lost more than is accepted on {names}, which the policy lets pass"
    elif not shortly:
        none = ": no task is shown to have lost more than is accepted"
    if model is None or model.target_task is None:
        said = kept
    else:
        target, gain = wording.one_line(model.target_task, LONGEST), gain_in_unit(results, model)
        beside = f" ({gain})" if gain else ""
        if model.learned_target is None:
            said = f"{kept}; whether it learned {target} {untold(model)}{beside}"
        else:
            learned = f"learned {target}{beside} and {kept}"
            said = learned if model.learned_target else f"{kept}, but did not learn {target}{beside}"
    possible = possible_loss([unit.row for unit in candidate.units])
    if possible.startswith(ANY):
        return [f"{said}{none}", f"no loss is excluded {possible.removeprefix(ANY)}"]
    return [f"{said}{none}", f"at worst it lost {possible}" if possible else "no loss remains possible"]


def possible_loss(rows: Sequence[Comparison]) -> str:
    """The largest loss, in margins, that is not excluded of any gate unit: "1.6 points on copa", "any on wmt", or
    "" where none is possible.
    """
    unbounded = [row for row in rows if row.difference is not None and loss_bound(row) is None]
    if unbounded:
        return f"{ANY}on {_short(unbounded[0].task)}"
    lows = [(low / (row.margin or 1.0), low, row) for row in rows if (low := loss_bound(row)) is not None and low < 0]
    if not lows:
        return ""
    _, low, row = min(lows, key=lambda loss: loss[0])
    return f"{metric_unit(row).amount(low)} on {_short(row.task)}"


def _why_forgotten(candidate: JudgedCandidate) -> list[str]:
    lost = [row for row in candidate.forgotten if row.difference is not None]
    if candidate.lost_most:
        left = wording.percent(max(candidate.kept or 0.0, 0.0), 0)
        return [f"lost most of what the base could do: {left} of it is left"]
    if lost:
        row = worst(lost)
        others = [_short(other.task) for other in lost if other is not row]
        named = others[0] if len(others) == 1 else wording.counted(len(others), "other task")
        more = f", and more than is accepted on {named}" if others else ""
        accepted = "" if row.margin is None else f" ({metric_unit(row).amount(row.margin)} accepted)"
        return [f"lost {metric_unit(row).amount(value(row))} on {_short(row.task)}{accepted}{more}"]
    suite = candidate.suite
    times = abs(value(suite)) if suite is not None else 0.0
    return [f"lost more than is accepted over all tasks together: on average {wording.plain(times, 1)} times as much"]


def _why_undecided(candidate: JudgedCandidate) -> list[str]:
    suspects = [_short(unit.row.task) for unit in candidate.units if unit.outcome == UnitOutcome.SUSPECT]
    above = [unit.row for unit in candidate.units if unit.outcome == UnitOutcome.ABOVE_CEILING]
    unfit = [_short(unit.row.task) for unit in candidate.units if unit.outcome == UnitOutcome.OVER_LIMIT]
    parts = [f"may have lost more than is accepted on {wording.listed(suspects)}"] if suspects else []
    if candidate.suite is not None and candidate.suite.verdict == Verdict.INCONCLUSIVE:
        parts.append("is neither shown to have kept what the base could do, nor to have lost more than is accepted")
    parts += [f"may lose more than the ceiling on {wording.listed(_short(row.task) for row in above)}"] if above else []
    parts += [f"gives more unfit answers than the policy allows on {wording.listed(unfit)}"] if unfit else []
    return parts or ["is not decided by what was measured"]


def _why_incomplete(results: Results, candidate: JudgedCandidate) -> list[str]:
    base = None if candidate.model is None else candidate.model.base
    failed = sum(error.model in (candidate.name, base, "") for error in results.errors)
    lost = [_short(row.task) for row in candidate.forgotten]
    what = f"has {wording.counted(failed, 'example')} without an answer" if failed else _missing(candidate)
    return [what, *([f"so far it lost more than is accepted on {wording.listed(lost)}"] if lost else [])]


def _missing(candidate: JudgedCandidate) -> str:
    """What was not measured, or not as the policy asks for it, as the gate says it."""
    reasons = (reason.partition(": ") for reason in candidate.decision.reasons)
    first = next((why for kind, _, why in reasons if kind == "incomplete"), "not everything was measured")
    return f"is incomplete: {wording.one_line(first, 200)}"


def value(row: Comparison) -> float:
    """The difference; 0 where it was not measured."""
    return 0.0 if row.difference is None else row.difference.value
