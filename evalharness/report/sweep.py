"""The records of sweep.json: the candidates of a sweep, their measurements, and the chosen learning rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalharness.records import LATER
from evalharness.records.comparison import Estimate, Level
from evalharness.records.results import Results
from evalharness.report.documents import DocumentFile
from evalharness.stats.enums import Verdict

PEAKS = ("peak_memory_device", "peak_memory_process")  # of `made`, the first that was measured is the one to show
LOSS = "loss"  # of --select: the loss on the validation rows in place of a metric
TRAINED, DIVERGED, UNUSABLE = "trained", "diverged", "unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One candidate's measurements on one split. `metrics`: the target task's scores by metric id; `gain`: by the
    metric that decides.

    `suite`: the mean difference of the gate units in margins, the target left out; `forgotten`: which of the
    `units`.
    """

    metrics: Mapping[str, float]
    gain: Estimate | None
    learned: bool | None
    suite: Estimate | None
    forgotten: tuple[str, ...]
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One candidate of the grid. `series`: method and rank, of which one rate is chosen; `loss`: nats a token of the
    answer, on validation rows.

    `made`: trainable, parameters, bytes, seconds, tokens a second, peaks of memory, steps, examples of its training;
    `test`: of chosen ones only.
    """

    name: str
    series: str
    method: str
    rank: int | None
    learning_rate: float
    seed: int
    status: str
    reason: str = ""
    made: Mapping[str, float] = field(default_factory=dict)
    loss: float | None = None
    validation: Outcome | None = None
    test: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen learning rate of a series. `score`: its mean over seeds on the validation rows."""

    series: str
    learning_rate: float
    score: float
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A whole sweep. `rows`: task to the split that was chosen on; `notices`: what a reader should know of it.

    `base_fingerprint`: of the base's content; "" in a sweep.json of before it was kept. `best`: the chosen series that
    are not separated from the best of them on test rows, that one first, by the rule in words, `best_rule`.
    """

    base: str
    task: str
    suite: str
    select: str
    rule: str
    rows: Mapping[str, str]
    points: tuple[Point, ...]
    chosen: tuple[Choice, ...] = ()
    notices: tuple[str, ...] = ()
    base_fingerprint: str = ""
    best: tuple[str, ...] = field(default=(), metadata=LATER)
    best_rule: str = field(default="", metadata=LATER)


SWEEP = DocumentFile("sweep.json", Sweep, 2)


def outcome_of(measured: Results, name: str, target: str | None) -> Outcome:
    """Extract one candidate's Outcome from results."""
    rows = [c for c in measured.comparisons if c.candidate == name]
    model = next(model for model in measured.models if model.name == name)
    units = [c for c in rows if c.is_gate_unit and c.task != target]
    suite = next((c.difference for c in rows if c.level == Level.SUITE and c.primary), None)
    of_target = [c for c in rows if c.task == target and c.level in (Level.TASK, Level.GROUP)]
    metrics = {c.metric: c.candidate_score.value for c in of_target if c.candidate_score is not None}
    lost = tuple(c.task for c in units if c.verdict == Verdict.FORGOTTEN)
    return Outcome(
        metrics=metrics,
        gain=model.target_gain,
        learned=model.learned_target,
        suite=suite,
        forgotten=lost,
        units=len(units),
    )


def grouped(sweep: Sweep) -> dict[tuple[str, float], list[Point]]:
    """Return the points of each series and rate, in the order of the grid."""
    groups: dict[tuple[str, float], list[Point]] = {}
    for point in sweep.points:
        groups.setdefault((point.series, point.learning_rate), []).append(point)
    return groups
