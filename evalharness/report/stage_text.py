"""Write sentences on what the stages of a training forgot, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from evalharness.records.comparison import value_of
from evalharness.report import wording
from evalharness.report.stages import Stages, StageTask
from evalharness.stats.enums import Verdict

AFTER = {  # what became of a task after the first stage at which it was forgotten
    "last": "the last stage",
    "stays": "forgotten at every stage after it",
    "comes_back": "retained again at the last stage",
    "undecided": "not shown at every stage after it",
}
LONGEST = 40  # characters of a name


def short(name: str) -> str:
    return wording.one_line(name, LONGEST)


def places_of(task: StageTask) -> int:
    """Return the number of decimals for the task's scores."""
    return wording.places_for(value_of(score) for score in (task.base, *(cell.score for cell in task.cells)))


def sentences(stages: Stages) -> list[str]:
    """Return a sentence for each forgotten task, in the order of the stages; then one on tasks not shown to be
    forgotten.
    """
    order = stages.stages.index
    lost = [(task, name) for task in stages.columns for name in (task.untaught, task.first) if name is not None]
    text = [_forgotten(stages, task, name) for task, name in sorted(lost, key=lambda pair: order(pair[1]))]
    tested = [task for task in stages.columns if any(cell.state for cell in task.cells)]
    if not_forgotten := [task for task in tested if task.first is None and task.untaught is None]:
        text.append(f"Not shown to be forgotten at any stage: {_names(not_forgotten)}")
        if retained := [task for task in not_forgotten if task.cells[-1].state == Verdict.RETAINED]:
            text.append(f"Retained at the last stage: {_names(retained)}")
    if untested := [task for task in stages.columns if task not in tested]:
        text.append(f"Not tested (no stage but the one that taught it, or no test for its metric): {_names(untested)}")
    return text


def _forgotten(stages: Stages, task: StageTask, stage: str) -> str:
    cell = task.at(stage)
    if cell is None or cell.since is None:
        return ""
    change = f"{wording.signed(cell.since.value, places_of(task))} since {short(cell.reference or '')}"
    p = wording.p_value(cell.p_adjusted)
    then = AFTER[task.after or "last"]
    if stage == task.untaught:
        then = f"before {short(stages.stages[task.learned - 1])} taught it"
    when = f"{short(task.name)} is forgotten at {short(cell.stage)}"
    return f"{when} ({change}, adjusted p {p if p.startswith('<') else f'= {p}'}): {then}"


def _names(tasks: Iterable[StageTask]) -> str:
    return wording.listed(short(task.name) for task in tasks)


def notes(stages: Stages) -> Iterator[str]:
    """Yield notes on the measures."""
    yield stages.rule
    if any(measure.name == "forward_transfer" and measure.estimate for measure in stages.measures):
        yield f"Forward transfer is measured from the scores of {stages.fresh or f'the base ({stages.base})'}."
    for task in stages.columns:
        if task.reason:
            yield f"{short(task.name)} is in no measure: {task.reason}."
