"""Hold the parsed command lines of the experiments: what a sweep, a repair, a trace, … is to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evalharness.errors import UsageError
from evalharness.experiments.grid import Grid
from evalharness.experiments.repair_rules import RepairRule
from evalharness.records.job import Job


@dataclass(frozen=True, slots=True)
class SweepJob:
    """What a sweep is to do. `job`: how the chosen candidates are evaluated (its models are not known yet); its
    target is learned and its output folder holds everything. `select`: a metric of the target, LOSS, or None: the one
    that decides it. `processes`: points made at a time.
    """

    job: Job
    grid: Grid
    select: str | None = None
    processes: int = 1


@dataclass(frozen=True, slots=True)
class RepairJob:
    """What a repair is to do. `job`: its one candidate, and how it is evaluated; `rule`: by which the part of the way
    is chosen; `blocks`: of layers, each with a part of the way of its own; `choose_split`: on which rows, None for half
    of those that are evaluated. `replaces`: another repair that lies in the output folder gives way.
    """

    job: Job
    rule: RepairRule = RepairRule.WITHIN_MARGIN
    blocks: int = 1
    choose_split: str | None = None
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class TraceJob:
    """What a trace is to do. `job`: its models are the stages, in order. `learned`: stage -> tasks, where training.json
    does not say or says less.

    `joint`: a model trained on everything at once; `fresh`: one that learned nothing. Both are measured as candidates
    beside the stages.
    """

    job: Job
    learned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    joint: str | None = None
    fresh: str | None = None


@dataclass(frozen=True, slots=True)
class BisectJob:
    """What a search for the first checkpoint that forgot is to do. `job`: its models are the checkpoints, in order;
    `unit`: the gate unit that is followed, None: any.
    """

    job: Job
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastJob:
    """What a forecast is to do. `flips`, `skill`: share of answers that change, and of the possible skill that the base
    has, where no earlier run (`earlier`: RUN[#NAME]) says; `power`: with which probability a claim should come out;
    `probe`: requests of each task that are answered to take the time. Raises UsageError.
    """

    job: Job
    power: float = 0.8
    flips: float = 0.1
    skill: float = 0.5
    earlier: str | None = None
    probe: int = 0

    def __post_init__(self) -> None:
        for option, value, most in (
            ("--power", self.power, 0.999),
            ("--flips", self.flips, 1.0),
            ("--skill", self.skill, 1.0),
        ):
            if not 0 < value <= most:
                what = f"{value} is not a share above 0 and at most {most:g}"
                raise UsageError(option, what, "such as 0.8 for --power and 0.1 for --flips")
        if self.probe and not self.job.models.base:
            raise UsageError("--probe", "there is no model to answer", "name one with --base PATH")
