"""The records of stages.json: every task over the ordered stages of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evalharness import fingerprint
from evalharness.records.comparison import Estimate, Level
from evalharness.report.documents import DocumentFile
from evalharness.results import RESULTS
from evalharness.stats.enums import MetricKind, Verdict

NAMES = {
    "accuracy": "accuracy after the last stage (ACC)",
    "backward_transfer": "backward transfer (BWT)",
    "forward_transfer": "forward transfer (FWT)",
    "forgetting": "forgetting",
    "intransigence": "intransigence",
}
KINDS = {"learned": "tasks that were learned", "general": "general abilities", "all": "all tasks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageScore:
    """One task after one stage. `score` in the metric's natural unit; `difference` to the base, + is better; None if
    nothing was measured; `verdict`: the run's on that.

    `reference`: the model against which it is tested whether the task was forgotten, None at the stage that taught it;
    `since`: the difference to it; `retained`: the share of its skill over chance; `p_adjusted`: over all tasks and
    stages; `state`: the verdict by it.
    """

    stage: str
    n: int
    score: Estimate | None
    difference: Estimate | None
    verdict: Verdict | None
    reference: str | None = None
    since: Estimate | None = None
    retained: Estimate | None = None
    p_forgotten: float | None = None
    p_adjusted: float | None = None
    state: Verdict | None = None


@dataclass(frozen=True, slots=True)
class StageTask:
    """One task, or group that is one gate unit. `learned`: the stage that taught it, counted from 1; 0: a general
    ability, known to the base.

    `kind`: of its metric; `scale`: what its scores are divided by in the measures, None if it is in none of them, for
    `reason`. `first`: the first stage, after the one that taught it, at which it is shown to be forgotten; `after`:
    what came then, a key of stage_text.AFTER. `untaught`: the first stage before it was taught at which what the base
    could do is shown to be forgotten.
    """

    name: str
    level: Level
    metric: str
    kind: MetricKind
    higher_is_better: bool
    unit: bool
    margin: float | None
    chance: float | None
    learned: int
    base: Estimate | None
    cells: tuple[StageScore, ...]
    joint: Estimate | None = None
    fresh: Estimate | None = None
    scale: float | None = None
    reason: str = ""
    first: str | None = None
    after: str | None = None
    untaught: str | None = None

    def at(self, stage: str | None) -> StageScore | None:
        """Return the task's score after a stage; None if there is none."""
        return next((cell for cell in self.cells if cell.stage == stage), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinualMeasure:
    """One measure (a key of NAMES) over the tasks of one kind (a key of KINDS). `tasks`: how many they are; `reason`:
    why there is no value.
    """

    over: str
    name: str
    tasks: int
    estimate: Estimate | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """All of stages.json. `columns`: the tasks; `learned`: what each stage was trained on; `tests`: how many the
    correction is over; `of`: digest of results.json.
    """

    base: str
    stages: tuple[str, ...]
    learned: Mapping[str, tuple[str, ...]]
    joint: str | None
    fresh: str | None
    alpha: float
    level: float
    tests: int
    rule: str
    scaled: bool
    columns: tuple[StageTask, ...]
    measures: tuple[ContinualMeasure, ...]
    of: str


STAGES = DocumentFile("stages.json", Stages, 1)


def read_stages(folder: Path) -> Stages | None:
    """Read the stages in a run's stages.json; None without that file, or where it is of another run. Raises UsageError
    for a file of another form.
    """
    stages = STAGES.read(folder)
    return stages if stages is not None and stages.of == fingerprint.of_file(folder / RESULTS) else None
