"""The settings of one evaluation, in groups. `records.job_options` makes them of the user's options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evalharness.records.models import NO_TARGET, EngineSettings
from evalharness.records.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSelection:
    """Which models are measured, and what the user says of them.

    `candidates` and `base` are texts as typed: [NAME=]PATH, HUB_ID[@REV] or URL#MODEL. `placebo`: also measure the
    base behind an adapter that changes nothing. `allow_noop`: accept a copy of the base, and an adapter that changes
    nothing. `allow_mixed_engines`: compare with scores of `baseline` that come from another engine.
    """

    candidates: tuple[str, ...] = ()
    base: str | None = None
    baseline: Path | None = None  # an earlier run whose base's scores are used instead of running the base
    target: str | None = None  # of all candidates; NO_TARGET: they have none; None: as training.json says
    targets: Mapping[str, str] = field(default_factory=dict)  # candidate -> its own target
    placebo: bool = False
    precision: str | None = None  # None: the candidates' own
    train_data: Mapping[str, Path] = field(default_factory=dict)  # by candidate; "": of all
    allow_noop: bool = False
    allow_mixed_engines: bool = False

    def target_of(self, name: str) -> str | None:
        """Return the stated target of the candidate with this name; None: none is stated."""
        return self.targets.get(name, self.target)

    @property
    def stated_targets(self) -> tuple[str, ...]:
        """Return the tasks stated as targets, each once."""
        stated = dict.fromkeys([*([self.target] if self.target else []), *self.targets.values()])
        return tuple(name for name in stated if name != NO_TARGET)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSelection:
    """Which tasks are evaluated, on which rows, in which wording. None means what the suite or the task says.

    `include`: more folders of task files. `limit`: at most this many examples a task. `templates`: the name of another
    wording, or "all".
    """

    suite: str | None = None
    names: tuple[str, ...] = ()  # tasks, groups, tags, or globs
    include: tuple[Path, ...] = ()
    limit: int | None = None
    num_fewshot: int | None = None
    split: str | None = None
    templates: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalData:
    """The files of tasks whose rows are neither shipped nor on the hub."""

    folder: Path | None = None
    overrides: Mapping[str, Path] = field(default_factory=dict)  # by task or data set
    columns: Mapping[str, str] = field(default_factory=dict)  # [NAME:]COLUMN of a task -> the file's name of it


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptOptions:
    """How prompts are formatted.

    `apply_chat_template` puts them into the model's chat template: of all models, of candidates alone, or of none.
    `system_instruction` is the text of a system message. `chat_template_mismatch` says what happens if the templates
    of base and candidates differ.
    """

    apply_chat_template: bool | Literal["all", "candidates"] = False
    system_instruction: str | None = None
    fewshot_as_multiturn: bool | None = None  # None: yes
    chat_template_mismatch: Literal["refuse", "allow"] = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptionOptions:
    """What is measured and described beside the verdicts.

    `ways` are the kinds of description (calibration, robustness, …). `explain`: diagnose lost choice tasks. `drift`:
    measure how far predictions move from the base's. `drift_text` is a file whose paragraphs replace our texts.
    `drift_only`: measure drift and no task. `drift_table` is a table of candidates that replaces ours in the forecast.
    """

    ways: tuple[str, ...] = ()
    # by what reads them: dialect, names, toxicity (PATH[#CLASS])
    files: Mapping[str, str] = field(default_factory=dict)
    explain: bool = False
    drift: bool = False
    drift_text: Path | None = None
    drift_only: bool = False
    drift_table: Path | None = None

    @property
    def measures_drift(self) -> bool:
        """Return whether drift is to be measured, beside the tasks or alone."""
        return bool(self.drift or self.drift_text or self.drift_only or self.drift_table)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsOptions:
    """The settings of the verdicts, and the seed of all random draws.

    `alpha` is the error rate. `margin` is the tolerated loss of every unit on a 0-1 scale, `margins` that of single
    ones. `until_decided`: evaluate in rounds, and stop a gate unit (a task or group that the gate judges) once its
    verdict is certain.
    """

    seed: int = 1234
    margin: float | None = None
    margins: Mapping[str, float] = field(default_factory=dict)
    alpha: float = 0.05
    until_decided: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPaths:
    """Where the results and the models' answers are written."""

    folder: Path
    store: Path
    unnamed: bool = False  # the user named no folder: the run makes a new one


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One evaluation: base and candidates on some tasks."""

    output: OutputPaths
    models: ModelSelection = ModelSelection()
    tasks: TaskSelection = TaskSelection()
    data: LocalData = LocalData()
    prompts: PromptOptions = PromptOptions()
    description: DescriptionOptions = DescriptionOptions()
    statistics: StatisticsOptions = StatisticsOptions()
    policy: Policy = field(default_factory=Policy)
    engine: EngineSettings = field(default_factory=EngineSettings)
