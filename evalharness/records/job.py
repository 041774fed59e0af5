"""The parsed command line of `run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evalharness.records.models import EngineSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The parsed command line of `run`. `models` and `base` are as typed: [NAME=]PATH or [NAME=]HUB_ID[@REV]."""

    models: tuple[str, ...]
    out: Path
    store: Path
    base: str | None = None
    baseline: Path | None = None  # an earlier run whose base's scores stand in for running the base
    suite: str | None = None
    tasks: tuple[str, ...] = ()
    target: str | None = None
    data_dir: Path | None = None
    data: Mapping[str, Path] = field(default_factory=dict)
    include: tuple[Path, ...] = ()
    limit: int | None = None
    num_fewshot: int | None = None
    split: str | None = None  # evaluate this split instead of each task's own ("validation", to select on)
    seed: int = 1234
    margin: float | None = None  # of every task whose primary metric is on a 0-1 scale
    margins: Mapping[str, float] = field(default_factory=dict)  # of a task, a group, or (under its name) the suite
    alpha: float = 0.05
    allow_noop: bool = False
    placebo: bool = False  # measure the base through an adapter that changes nothing, too: the noise floor
    precision: str | None = None  # of the base and adapters on it ("nf4", "int8", "none"); None: the candidates' own
    train_data: Mapping[str, Path] = field(default_factory=dict)  # candidate ("": all) -> rows it was fine-tuned on
    templates: str | None = None  # a wording to ask in instead of each task's own, or "all": every wording beside it
    until_decided: bool = False  # ask in rounds, and a gate unit no longer once its verdict is certain
    drift: bool = False  # how far the candidates' predictions are from the base's, beside the verdicts
    drift_text: Path | None = None  # neutral text to see it on, instead of ours
    describe: tuple[str, ...] = ()  # beside the verdicts: calibration, robustness, generation, bias, efficiency
    explain: bool = False  # ask once more where a choice task was lost: is it knowledge or the format of the answer?
    # True, "all": to every model its own; "candidates": the base plainly
    apply_chat_template: bool | Literal["all", "candidates"] = False
    system_instruction: str | None = None  # what stands before each task's description
    fewshot_as_multiturn: bool | None = None  # under a template, shots as turns of their own; None: yes
    chat_template_mismatch: Literal["refuse", "allow"] = "refuse"  # base and candidates asked by different templates
    settings: EngineSettings = field(default_factory=EngineSettings)
