"""Write sentences on which candidates may ship, and why or why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalharness.analysis.candidate_order import JudgedCandidate, Standing
from evalharness.analysis.gate import worst
from evalharness.analysis.gate_findings import UnitOutcome
from evalharness.analysis.gate_text import largest_possible_loss, loss_bound
from evalharness.analysis.metric_unit import metric_unit
from evalharness.records.comparison import Comparison, Flag
from evalharness.records.models import NO_TARGET
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.gate_lines import MAY, target_of
from evalharness.report.targets import gain_in_unit, why_learning_unknown
from evalharness.stats.enums import Verdict

NAMED = 2  # candidates in a part of the headline, where there are more than three
STATEMENTS = 5  # candidates, or groups of them, of which the first screen says why
PASSES = (Standing.SHIPS, Standing.UNLEARNED)


@dataclass(frozen=True, slots=True)
class Statement:
    """One reason that some candidates share. `names`: the candidates. `standing`: whether they may ship. `says`: the
    reason, which continues the sentence after their names.
    """

    names: tuple[str, ...]
    standing: Standing
    says: str


def headline(candidates: Sequence[JudgedCandidate]) -> tuple[str, ...]:
    """Say which candidates may ship, by name: return the parts of one sentence, the most important first."""
    if not candidates:
        return ("Nothing to compare",)
    groups = ([each for each in candidates if each.standing == standing] for standing in Standing)
    first, *rest = [group for group in groups if group]
    if first[0].standing == Standing.UNLEARNED:
        lead = _none_learned(first, whole=not rest)
    elif len(candidates) == 1 or (rest and first[0].standing == Standing.SHIPS):
        lead = f"{_names(first, NAMED)} {MAY[first[0].standing]}"
    elif rest:
        lead, rest = "No candidate may ship", [first, *rest]
    else:
        lead = _all_alike(first)
    return lead, *(_part(group, last=group is rest[-1] and len(rest) <= NAMED) for group in rest)


def _all_alike(candidates: Sequence[JudgedCandidate]) -> str:
    count, standing = len(candidates), candidates[0].standing
    if standing == Standing.FORGOTTEN:
        return f"None of the {count} candidates may ship"
    who = "Both candidates" if count == 2 else f"All {count} candidates"
    return f"{who} {_plural(MAY[standing])}"


def _none_learned(candidates: Sequence[JudgedCandidate], whole: bool) -> str:
    """Return the first part if no candidate that learned may ship. `whole`: these are all candidates."""
    count, target = len(candidates), target_of(candidates)
    if not whole or count == 1:
        who = _names(candidates, NAMED)
        return f"{who} did not learn {target}, though {'it' if count == 1 else 'they'} may ship"
    who, all_ = ("Neither candidate", "both") if count == 2 else (f"None of the {count} candidates", "all")
    return f"{who} learned {target}, though {all_} may ship"


def _part(candidates: Sequence[JudgedCandidate], last: bool) -> str:
    """Return a further part: "full-high and full-low may not". If there are many and this is the `last` part, return
    "the other 5 may not".
    """
    many = len(candidates) > NAMED + 1
    names = f"the other {len(candidates)}" if many and last else _names(candidates, NAMED)
    if candidates[0].standing == Standing.UNLEARNED:
        return f"{names} may, too, but did not learn {target_of(candidates)}"
    verb = MAY[candidates[0].standing].removesuffix(" ship")
    return f"{names} {_plural(verb) if len(candidates) > 1 else verb}"


def _plural(verb: str) -> str:
    return f"are {verb.removeprefix('is ')}" if verb.startswith("is ") else verb


def _names(candidates: Sequence[JudgedCandidate], most: int) -> str:
    """Return all names if they are at most `most` + 1, else `most` of them and the number of the others."""
    listed = candidates if len(candidates) <= most + 1 else candidates[:most]
    others = [f"{len(candidates) - len(listed)} more"] if len(listed) < len(candidates) else []
    return wording.listed([*(_short(each.name) for each in listed), *others])


def _short(name: str) -> str:
    return wording.one_line(name, wording.LONGEST_NAME)


# ---- why -------------------------------------------------------------------------------------------------------------


def statements(results: Results, candidates: Sequence[JudgedCandidate]) -> list[Statement]:
    """Return the reasons for the candidates, in their order. Those that lost most of the base's skill share one
    statement.
    """
    destroyed = [each for each in candidates if each.standing == Standing.FORGOTTEN and each.lost_most]
    single = [each for each in candidates if each not in destroyed or len(destroyed) == 1]
    lines, passes = list[Statement](), 0
    for each in single[: STATEMENTS - (len(destroyed) > 1)]:
        passes += each.standing in PASSES
        lines.append(Statement((each.name,), each.standing, why(results, each, shortly=passes > 1)))
    if len(destroyed) > 1:
        first, *others = ((_short(each.name), _share_kept(each)) for each in destroyed)
        shares = [f"{first[0]} kept {first[1]} of it", *map(" ".join, others)]
        says = f"lost most of what the base could do: {wording.listed(shares)}"
        lines.append(Statement(tuple(each.name for each in destroyed), Standing.FORGOTTEN, says))
    return lines


def why(results: Results, candidate: JudgedCandidate, shortly: bool = False) -> str:
    """Say why a candidate may ship, or may not, without its name. `shortly`: leave out what all candidates that pass
    share.
    """
    if candidate.standing in PASSES:
        parts = _why_passed(results, candidate, shortly)
    elif candidate.standing == Standing.FORGOTTEN:
        parts = _why_forgotten(candidate)
    elif candidate.standing == Standing.UNDECIDED:
        parts = _why_undecided(candidate)
    else:
        parts = _why_incomplete(results, candidate)
    unchanged = results.signature.get("unchanged", {}).get(candidate.name, "")
    return "; ".join([*parts, *([f"nothing was changed: {wording.one_line(unchanged)}"] if unchanged else [])])


def _why_passed(results: Results, candidate: JudgedCandidate, shortly: bool) -> list[str]:
    model, summary, none = candidate.model, "kept on average what the base could do", ""
    if candidate.suite is not None and candidate.suite.verdict == Verdict.FORGOTTEN:
        summary = "lost more than the margin over all tasks together, which the policy lets pass"
    elif candidate.suite is None or candidate.suite.verdict != Verdict.RETAINED:
        summary = "is neither shown to have lost the tasks nor to have kept them, and the policy lets that pass"
    elif candidate.excused:
        names = wording.listed(_short(row.task) for row in candidate.excused)
        none = f", but lost more than the margin on {names}, which the policy lets pass"
    elif not shortly:
        none = ", and no task is shown to have lost more than its margin"
    if model is None or model.target_task in (None, NO_TARGET):
        sentence = summary
    else:
        target, gain = wording.one_line(model.target_task, wording.LONGEST_NAME), gain_in_unit(results, model)
        beside = f" ({gain})" if gain else ""
        if model.learned_target is None:
            sentence = f"{summary}; whether it learned {target} {why_learning_unknown(model)}{beside}"
        else:
            learned = f"learned {target}{beside} and {summary}"
            sentence = learned if model.learned_target else f"{summary}, but did not learn {target}{beside}"
    return [f"{sentence}{none}", _at_worst([unit.row for unit in candidate.units])]


def _share_kept(candidate: JudgedCandidate) -> str:
    return wording.percent(max(candidate.skill_share or 0.0, 0.0), 0)


def _at_worst(rows: Sequence[Comparison]) -> str:
    """Say on which task the largest loss remains possible, and what change was measured there."""
    row = largest_possible_loss(rows)
    if row is None:
        return "no loss remains possible"
    if loss_bound(row) is None:
        return f"on {_short(row.task)} no loss is excluded"
    return f"its worst task is {change_on(row)}"


def change_on(row: Comparison) -> str:
    """Return a task's change as text: "boolq: −0.2 points [−0.6, +0.2]"."""
    unit = metric_unit(row)
    return f"{_short(row.task)}: {unit.change(value(row))} {unit.name} {unit.interval(row.difference)}".rstrip()


def _why_forgotten(candidate: JudgedCandidate) -> list[str]:
    lost = [row for row in candidate.forgotten if row.difference is not None]
    if candidate.lost_most:
        return [f"lost most of what the base could do, and kept {_share_kept(candidate)} of it"]
    if lost:
        row = worst(lost)
        others = [_short(other.task) for other in lost if other is not row]
        names = others[0] if len(others) == 1 else wording.counted(len(others), "other task")
        more = f"; also on {names}" if others else ""
        margin = "" if row.margin is None else f" of {metric_unit(row).amount(row.margin)}"
        return [f"lost more than the margin{margin} on {change_on(row)}{more}"]
    suite = candidate.suite
    times = abs(value(suite)) if suite is not None else 0.0
    return [f"lost more than the margin over all tasks together: on average {wording.plain(times, 1)} margins"]


def _why_undecided(candidate: JudgedCandidate) -> list[str]:
    suspects = [_short(unit.row.task) for unit in candidate.units if unit.outcome == UnitOutcome.SUSPECT]
    above = [unit.row for unit in candidate.units if unit.outcome == UnitOutcome.ABOVE_CEILING]
    unfit = [_short(unit.row.task) for unit in candidate.units if unit.outcome == UnitOutcome.OVER_LIMIT]
    parts = [f"may have lost more than the margin on {wording.listed(suspects)}"] if suspects else []
    if candidate.suite is not None and candidate.suite.verdict == Verdict.INCONCLUSIVE:
        parts.append(
            "is neither shown to have kept on average what the base could do, nor to have lost more than the margin"
        )
    if candidate.suite is not None and Flag.NO_TARGET in candidate.suite.flags:
        parts.append("is not said to be trained for any task or for none, so a gain on its target may stand in this")
    parts += [f"may lose more than the ceiling on {wording.listed(_short(row.task) for row in above)}"] if above else []
    parts += [f"gives more unfit answers than the policy allows on {wording.listed(unfit)}"] if unfit else []
    return parts or ["is not decided by what was measured"]


def _why_incomplete(results: Results, candidate: JudgedCandidate) -> list[str]:
    base = None if candidate.model is None else candidate.model.base
    failed = sum(error.model in (candidate.name, base, "") for error in results.errors)
    lost = [_short(row.task) for row in candidate.forgotten]
    what = f"has {wording.counted(failed, 'example')} without an answer" if failed else _missing(candidate)
    return [what, *([f"so far it lost more than the margin on {wording.listed(lost)}"] if lost else [])]


def _missing(candidate: JudgedCandidate) -> str:
    """Return the gate's first reason why the candidate is incomplete."""
    reasons = (reason.partition(": ") for reason in candidate.decision.reasons)
    first = next((why for kind, _, why in reasons if kind == "incomplete"), "not everything was measured")
    return f"is incomplete: {wording.one_line(first, 200)}"


def value(row: Comparison) -> float:
    """Return the value of the row's difference; 0 if it was not measured."""
    return 0.0 if row.difference is None else row.difference.value
