"""Define the records of stages.json: the score of every task over the ordered stages of a training."""

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
    """One task after one stage.

    `n`: units of data compared. `score`: in the metric's natural unit. `difference`: to the base, + is better. Both are
    None if nothing was measured. `verdict`: the run's, on that difference. `reference`: the model against which it is
    tested whether the task was forgotten; None at the stage that taught it. `since`: the difference to that model.
    `retained`: the share of that model's skill over chance that remains. `p_forgotten`: of that test; `p_adjusted`:
    corrected for all tasks and stages. `state`: the verdict by `p_adjusted`.
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
    """One task, or one group that the gate judges as a whole.

    `kind`: of its metric. `unit`: the gate judges it. `margin`: the largest acceptable loss; `chance`: the score of
    guessing. `learned`: the stage that taught it, counted from 1; 0: the base could do it already. `base`: the base's
    score. `cells`: one for each stage. `joint`: the score of a model trained on everything at once; `fresh`: that of
    one that learned nothing; None: no such model. `scale`: what its scores are divided by in the measures; None: it is
    in no measure, for `reason`. `first`: the first stage, after the one that taught it, at which it is shown to be
    forgotten; `after`: what came then, a key of stage_text.AFTER. `untaught`: the first stage before it was taught at
    which the base's ability is shown to be forgotten.
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
    """One measure of continual learning. `name`: a key of NAMES. `over`: the kind of tasks, a key of KINDS; `tasks`:
    their number. `estimate`: None: there is no value, for `reason`.
    """

    over: str
    name: str
    tasks: int
    estimate: Estimate | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The content of stages.json.

    `learned`: the tasks that each stage was trained on. `joint`, `fresh`: names of the models trained on everything at
    once, and on nothing; None: there is none. `alpha`: error rate; `level`: coverage of the intervals; `tests`: the
    number over which p-values are corrected. `rule`: of the verdicts. `scaled`: scores are divided by a scale in the
    measures. `columns`: the tasks. `of`: digest of the results.json to which it belongs.
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
    """Read a run's stages.json; None if there is none, or if it belongs to another run. Raises UsageError for a file of
    another form.
    """
    stages = STAGES.read(folder)
    return stages if stages is not None and stages.of == fingerprint.of_file(folder / RESULTS) else None
