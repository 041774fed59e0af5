"""Show each candidate in one line: what the gate decides, what was learned, kept and lost, and what is next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalharness.analysis.gate import GateOutcome, worst
from evalharness.analysis.metric_unit import metric_unit
from evalharness.analysis.next_steps import next_step
from evalharness.records.models import ModelKind
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.gate_lines import MARKS, MAY
from evalharness.report.sentences import JudgedCandidate, possible_loss
from evalharness.report.targets import gain_in_unit, learned_words

CLASSES = {  # of style.css, by what the gate decides
    GateOutcome.PASSED: "retained",
    GateOutcome.FORGOTTEN: "forgotten",
    GateOutcome.UNDECIDED: "inconclusive",
    GateOutcome.INCOMPLETE: "incomplete",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateLine:
    """One candidate on the first screen. `mark`, `words`: the decision; `loss_note`: what the loss is."""

    name: str
    kind: str
    decision: str
    mark: str
    words: str
    learned: str
    target: str
    kept: str
    loss: str
    loss_note: str
    next_step: str


def candidate_lines(results: Results, candidates: Sequence[JudgedCandidate]) -> list[CandidateLine]:
    """One line a candidate, in the order given."""
    return [_line(results, candidate) for candidate in candidates]


def _line(results: Results, candidate: JudgedCandidate) -> CandidateLine:
    loss, note = _loss(candidate)
    learned, target = _learned(results, candidate)
    return CandidateLine(
        name=candidate.name,
        kind=_kind(candidate),
        decision=CLASSES[candidate.outcome],
        mark=MARKS[candidate.outcome],
        words=MAY[candidate.outcome].removeprefix("is "),
        learned=learned,
        target=target,
        kept=wording.NONE if candidate.kept is None else wording.percent(max(candidate.kept, 0.0), 0),
        loss=loss,
        loss_note=note,
        next_step=next_step(results, candidate.decision),
    )


def _kind(candidate: JudgedCandidate) -> str:
    kind = candidate.model.kind if candidate.model else ModelKind.IMPORTED
    return "" if kind == ModelKind.IMPORTED else wording.kind_words(kind)


def _learned(results: Results, candidate: JudgedCandidate) -> tuple[str, str]:
    """The gain on the target, and whether that is learning."""
    model = candidate.model
    if model is None or model.target_task is None:
        return wording.NONE, "not said what it was trained for"
    name = wording.one_line(model.target_task, 40)
    gain = gain_in_unit(results, model) or wording.NONE
    if model.learned_target is False:
        return gain, f"did not learn {name}"
    return gain, f"on {name}" if model.learned_target else f"on {name}: {learned_words(model)}"


def _loss(candidate: JudgedCandidate) -> tuple[str, str]:
    """The largest loss in its own unit: the one that is shown, else the one that is not excluded; and of how many tasks
    that holds.
    """
    units, lost = candidate.units, [row for row in candidate.forgotten if row.difference is not None]
    if not any(unit.row.difference for unit in units):
        return wording.NONE, "nothing was measured"
    total = wording.counted(len(units), "task")
    if lost:
        row = worst(lost)
        name, unit = wording.one_line(row.task, 40), metric_unit(row)
        of = f"{len(lost)} of {total}" if len(units) > 1 else "its one task"
        lost_there = f"{unit.amount(row.difference.value if row.difference else 0.0)} on {name}"
        return lost_there, f"too much on {of}"
    possible = possible_loss([unit.row for unit in units])
    return (f"at worst {possible}", "not shown to be lost") if possible else ("none", "no loss remains possible")
