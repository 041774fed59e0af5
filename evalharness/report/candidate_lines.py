"""Make the page's line for each candidate: the gate's decision, what it learned and lost, and the next step."""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.analysis.candidate_order import CandidateOrder, JudgedCandidate, Standing
from evalharness.analysis.gate import worst
from evalharness.analysis.gate_text import largest_possible_loss, loss_bound
from evalharness.analysis.metric_unit import metric_unit
from evalharness.analysis.next_steps import next_step
from evalharness.records.models import NO_TARGET, ModelKind
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.gate_lines import MARKS, MAY
from evalharness.report.targets import gain_in_unit, learned_words

CLASSES = {  # of style.css, by where a candidate stands
    Standing.SHIPS: "retained",
    Standing.UNLEARNED: "inconclusive",
    Standing.UNDECIDED: "inconclusive",
    Standing.FORGOTTEN: "forgotten",
    Standing.INCOMPLETE: "incomplete",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateLine:
    """One candidate's line in the first table of the page, as texts.

    `kind`: of model, in words. `decision`: the CSS class of the gate's decision. `mark`, `words`: the decision; `but`:
    what limits a pass. `learned`: the gain on the task it was trained for; `target`: a note whether it learned that.
    `skill_kept`: the share of the base's skill over chance that remains. `loss`: the change on its worst task with its
    interval; `loss_note`: that task, and what the loss means.
    """

    name: str
    kind: str
    decision: str
    mark: str
    words: str
    but: str
    learned: str
    target: str
    skill_kept: str
    loss: str
    loss_note: str
    next_step: str


def candidate_lines(results: Results, order: CandidateOrder) -> list[CandidateLine]:
    """Return one line for each candidate, in the order of `order`."""
    return [_line(results, candidate, order) for candidate in order.candidates]


def _line(results: Results, candidate: JudgedCandidate, order: CandidateOrder) -> CandidateLine:
    loss, note = _loss(candidate)
    instead = order.choices[0].name if candidate in order.choices[1:] else ""
    learned, target = _learned(results, candidate)
    return CandidateLine(
        name=candidate.name,
        kind=_kind(candidate),
        decision=CLASSES[candidate.standing],
        mark=MARKS[candidate.standing],
        words=MAY[candidate.standing].removeprefix("is "),
        but="but did not learn" if candidate.standing == Standing.UNLEARNED else "",
        learned=learned,
        target=target,
        skill_kept=wording.NONE
        if candidate.skill_share is None
        else wording.percent(max(candidate.skill_share, 0.0), 0),
        loss=loss,
        loss_note=note,
        next_step=next_step(results, candidate.decision, instead),
    )


def _kind(candidate: JudgedCandidate) -> str:
    kind = candidate.model.kind if candidate.model else ModelKind.IMPORTED
    return "" if kind == ModelKind.IMPORTED else wording.kind_words(kind)


def _learned(results: Results, candidate: JudgedCandidate) -> tuple[str, str]:
    """Return the gain on the target, and a note that says whether it was learned."""
    model = candidate.model
    if model is None or model.target_task is None:
        return wording.NONE, "not said what it was trained for"
    if model.target_task == NO_TARGET:
        return wording.NONE, learned_words(model)
    name = wording.one_line(model.target_task, wording.LONGEST_NAME)
    gain = gain_in_unit(results, model) or wording.NONE
    if model.learned_target is False:
        return gain, f"did not learn {name}"
    return gain, f"on {name}" if model.learned_target else f"on {name}: {learned_words(model)}"


def _loss(candidate: JudgedCandidate) -> tuple[str, str]:
    """Return the change on the candidate's worst task, with a note.

    If tasks are forgotten, it is the one of them that lost most; else the task with the largest loss that is not
    excluded.
    """
    rows = [unit.row for unit in candidate.units if unit.row.difference]
    lost = [row for row in candidate.forgotten if row.difference]
    row = worst(lost) if lost else largest_possible_loss(rows)
    if row is None:
        return wording.NONE, "no loss remains possible" if rows else "nothing was measured"
    unit, low = metric_unit(row), loss_bound(row)
    margin = "its margin" if row.margin is None else f"its margin, {unit.score(row.margin)}"
    if lost:
        note = f", one of {len(lost)} over the margin" if len(lost) > 1 else f": exceeds {margin}"
    elif low is None:
        note = ": no loss is excluded"
    elif row.margin is not None and low >= -row.margin:
        note = f": within {margin}"
    else:
        note = f": may exceed {margin}"
    change = unit.change(row.difference.value if row.difference else 0.0)
    note = f"on {wording.one_line(row.task, wording.LONGEST_NAME)}{note}"
    return f"{change} {unit.name} {unit.interval(row.difference)}".rstrip(), note
