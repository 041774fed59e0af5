"""Advise what to do next with a candidate: ship it, evaluate more examples, train again, or repair it.

Only what this tool can do is proposed.
"""

from __future__ import annotations

from collections.abc import Sequence

from evalharness.analysis.gate import CandidateDecision, GateOutcome, UnitDecision, worst
from evalharness.analysis.gate_findings import UnitOutcome
from evalharness.analysis.gate_text import largest_possible_loss, loss_bound
from evalharness.analysis.phrases import never_retained, units_of
from evalharness.records.comparison import Comparison, Flag, Level
from evalharness.records.diagnosis import Conclusion
from evalharness.records.models import NO_TARGET, ModelKind
from evalharness.records.results import ModelRow, Results
from evalharness.stats.enums import Verdict

SHOWN = 2  # names of tasks
REPAIRABLE = (ModelKind.FULL, "lora")  # kinds that have models between base and candidate
MERGED = "merge"  # the method of what was merged or repaired already
FEW = 3  # tasks that were forgotten, of which the examples alone may be replayed


def next_step(results: Results, decision: CandidateDecision, instead: str = "") -> str:
    """Advise in one or two sentences what to do next with a candidate, given the gate's decision on it.

    `instead`: a better choice among the candidates that may ship; None: there is none.
    """
    model = next((model for model in results.models if model.name == decision.name), None)
    units = [unit for unit in decision.units if unit.row.is_gate_unit]
    suite = next((unit for unit in decision.units if unit.row.level == Level.SUITE), None)
    if decision.exit_code == GateOutcome.PASSED:
        return _passed(model, units, instead)
    if decision.exit_code == GateOutcome.UNDECIDED:
        return _undecided(units, suite)
    if decision.exit_code == GateOutcome.INCOMPLETE:
        return _incomplete(results, decision, model)
    return _forgotten(results, model, [unit.row for unit in units if unit.outcome == UnitOutcome.FORGOTTEN])


def _passed(model: ModelRow | None, units: Sequence[UnitDecision], instead: str) -> str:
    if model is not None and model.learned_target is False:
        return f"Train longer{_or_rate('a larger', model)}: it has not learned {model.target_task}."
    open_rows = [unit.row for unit in units if unit.row.verdict == Verdict.INCONCLUSIVE and _beyond_margin(unit.row)]
    ship = f"It can ship in place of {instead}." if instead else "Ship it."
    row = largest_possible_loss(open_rows)
    if row is None:
        return ship
    return f"{ship} To be surer of {row.task}, {_lower(_more_of(row))}."


def _beyond_margin(row: Comparison) -> bool:
    """Return whether a loss beyond the margin is not excluded, and more examples could exclude it."""
    low = loss_bound(row)
    return low is not None and row.margin is not None and low < -row.margin and not never_retained(row)


def _more_of(row: Comparison) -> str:
    """Advise to ask more examples: "Ask all 872 examples (300 were asked)"."""
    units = units_of(row).partition(" ")[0]
    if row.available > row.n:
        return f"Ask all its {row.available:,} {units} ({row.n:,} were asked)"
    return f"Ask more than its {row.n:,} {units}"


def _undecided(units: Sequence[UnitDecision], suite: UnitDecision | None) -> str:
    suspects = [unit.row for unit in units if unit.outcome == UnitOutcome.SUSPECT]
    if suspects:
        read = f"Read what changed on {_task_names(suspects)}"
        return f"{read}; then {_lower(_enough(suspects[0]))}."
    if suite is not None and suite.row.verdict != Verdict.RETAINED:
        return f"{_enough(suite.row)}."
    if suite is not None and Flag.NO_TARGET in suite.row.flags:
        return (
            f"Say what it was trained for: compare with --target TASK, or --target {NO_TARGET} (none of these tasks)."
        )
    unfit = [unit.row for unit in units if unit.outcome == UnitOutcome.OVER_LIMIT]
    if unfit:
        return (
            f"Read the answers to {_task_names(unfit)}: more are empty, cut off or unreadable than the policy allows."
        )
    missed = [unit.row for unit in units if unit.outcome == UnitOutcome.ABOVE_CEILING]
    if not missed:
        return "Ask more examples."
    return f"To exclude a loss on {missed[0].task}, {_lower(_more_of(missed[0]))}, or allow a larger one (--ceiling)."


def _enough(row: Comparison) -> str:
    """Say how many examples would decide a row, and what to do if the data set does not have them."""
    of = "all tasks together" if row.level == Level.SUITE else row.task
    units, what = units_of(row).partition(" ")[0], row.would_decide
    if Flag.SUITE_NOT_TESTED in row.flags:
        return "Run it again without --until-decided, so that all tasks are asked to their end"
    if what is None:
        why = never_retained(row)
        return f"Take tasks that the base does better: {why}" if why else f"Ask more {units} of {of}"
    if what.examples is None:
        return f"Take a larger set: of {of} no number of {units} within reach would decide it at this margin"
    if what.there:
        return f"Ask about {what.examples:,} {units} of {of}: {row.n:,} were asked, {row.available:,} are there"
    larger = "add tasks" if row.level == Level.SUITE else "a larger set"
    return (
        f"About {what.examples:,} {units} of {of} would decide, and there are {row.available:,}: {larger}, or allow a \
larger loss before the run (--margin)"
    )


def _forgotten(results: Results, model: ModelRow | None, lost: Sequence[Comparison]) -> str:
    """Advise to train again, at a smaller rate or with replay of old tasks, or to repair the candidate."""
    training = {} if model is None else model.training
    form = {row.task for row in results.diagnoses if row.conclusion == Conclusion.FORMAT and model is not None
            and row.candidate == model.name}  # fmt: skip
    what = f"{_task_names(lost)}" if 0 < len(lost) <= FEW else "the tasks it lost"
    more = "more " if training.get("replay") else ""
    targeted = model is not None and model.target_task not in (None, NO_TARGET)
    unlearned = targeted and model is not None and not model.learned_target
    rate = "; it has hardly learned, either" if unlearned else _or_rate("a smaller", model)
    rest = f"Train again with {more}examples of {what} (--replay){rate}."
    if (
        targeted
        and not unlearned
        and model is not None
        and model.kind in REPAIRABLE
        and training.get("method") != MERGED
    ):
        rest += " Or evalharness repair."
    only_form = bool(lost) and all(row.task in form for row in lost)
    return f"{rest} It seems to have lost the form of answers, not what it knows." if only_form else rest


def _or_rate(which: str, model: ModelRow | None) -> str:
    rate = None if model is None else model.training.get("learning_rate")
    had = f" than {rate:g}" if isinstance(rate, int | float) else ""
    return f", or at {which} rate{had}"


def _incomplete(results: Results, decision: CandidateDecision, model: ModelRow | None) -> str:
    if any(error.model in (decision.name, "", *([model.base] if model else [])) for error in results.errors):
        return "Give the same command again: what was answered is kept, what failed is asked again."
    if any("is its target" in reason for reason in decision.reasons):
        return "Add tasks other than the one that it was trained for."
    if any("the policy" in reason for reason in decision.reasons):
        return "Run it again with all that the policy asks for."
    if results.signature.get("drift_only"):
        return "Give the same command again without --drift-only: what was answered is kept."
    return "Give the same command again."


def _task_names(rows: Sequence[Comparison]) -> str:
    """Return the names of the tasks that lost most, and the number of others."""
    names, remaining = list[str](), list(rows)
    while remaining and len(names) < SHOWN:
        row = worst(remaining) if any(each.difference for each in remaining) else remaining[0]
        names.append(row.task)
        remaining.remove(row)
    more = f" and {len(remaining)} more" if remaining else ""
    return " and ".join(names) + more if not more else ", ".join(names) + more


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
