"""Define the records of sweep.json: the candidates of a sweep, their measurements, and the chosen learning rates."""

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
    """One candidate's measurements on one split.

    `metrics`: scores on the target (the task it was trained for), by metric id. `gain`: there, by the metric that
    decides. `learned`: it is shown to have learned the target; None: not known. `suite`: the mean difference over the
    gate units (tasks and groups that the gate judges) without the target, in margins. `units`: their number;
    `forgotten`: names of those that are forgotten.
    """

    metrics: Mapping[str, float]
    gain: Estimate | None
    learned: bool | None
    suite: Estimate | None
    forgotten: tuple[str, ...]
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One candidate of the grid.

    `series`: its method and rank; each series has one chosen rate. `rank`: None: the method has none. `status`: whether
    it was trained and used; `reason`: why not. `made`: facts of its training by name: trainable, parameters, bytes,
    seconds, tokens a second, peaks of memory, steps, examples. `loss`: nats a token of the answer, on validation rows.
    `validation`, `test`: its measurements on either split; `test` is None unless its rate was chosen.
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
    """The chosen learning rate of one series. `score`: its mean over seeds on the validation rows. `names`: the
    candidates with that rate, one for each seed.
    """

    series: str
    learning_rate: float
    score: float
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The content of sweep.json.

    `task`: the one that candidates are trained for. `select`: the score by which rates are chosen; `rule`: how, in
    words. `rows`: for each task the split on which rates are chosen. `notices`: remarks for a reader.
    `base_fingerprint`: of the base's content; "" in a file of an older version. `best`: the chosen series that are not
    separated from the best of them on test rows, that one first; `best_rule`: how that is decided, in words.
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
