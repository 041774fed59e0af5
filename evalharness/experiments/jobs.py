"""Hold the parsed command lines of the experiments: what a sweep, a repair, a trace, … is to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evalharness import engines, registry
from evalharness.engines.base import check_options
from evalharness.errors import UsageError
from evalharness.experiments.grid import Grid
from evalharness.experiments.repair_rules import RepairRule
from evalharness.records.job import Job
from evalharness.records.models import EngineSettings

# settings of ours that one of two engines may have by itself, and how their texts are read
SETTINGS: Mapping[str, Callable[[str], Any]] = {
    "device": str,
    "dtype": str,
    "generation_config": str,
    "batch_size": int,
    "batch_tokens": int,
    "strict": {"true": True, "false": False}.__getitem__,
}


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
class EngineSide:
    """One of two engines that are compared: as it was `given`, how it is opened, and its model as the user names it."""

    given: str
    settings: EngineSettings
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCheckJob:
    """What a check of two engines is to do. `job`: what they are asked; `tolerance`: nats within which they are equal,
    None: the larger of their own near ties; `same_texts`: the least share of texts that must be alike. Raises
    UsageError.
    """

    job: Job
    sides: tuple[EngineSide, EngineSide]
    tolerance: float | None = None
    same_texts: float = 1.0

    def __post_init__(self) -> None:
        if self.tolerance is not None and not self.tolerance >= 0:
            raise UsageError("--tolerance", f"{self.tolerance} is no difference", "nats of at least 0 would be right")
        if not 0 <= self.same_texts <= 1:
            raise UsageError("--same-texts", f"{self.same_texts} is no share", "a share from 0 to 1 would be right")


def engine_side(text: str, options: Mapping[str, str], shared: EngineSettings) -> EngineSide:
    """One side of a check: ENGINE=MODEL, where `options` stand over the settings that both share; those that are none
    of ours are the engine's own. Raises UsageError.
    """
    name, _, model = text.partition("=")
    if not (name and model):
        raise UsageError("engine check", f"{text!r} is not ENGINE=MODEL", "hf=runs/my-lora would be right")
    registry.check(engines.REGISTRY, name, "engine")
    values = {key: _setting(key, value) for key, value in options.items() if key in SETTINGS}
    own = {key: value for key, value in options.items() if key not in SETTINGS}
    settings = replace(shared, name=name, options={**shared.options, **own}, **values)
    if name in engines.OPTIONS:
        check_options(settings, engines.OPTIONS[name])
    return EngineSide(given=text, settings=settings, model=model)


def _setting(key: str, value: str) -> Any:
    """A setting's value from its text. Raises UsageError."""
    try:
        return SETTINGS[key](value)
    except (KeyError, ValueError):
        kind = "true or false" if key == "strict" else "a whole number"
        raise UsageError(f"option {key}", f"{value!r} is no value for it", f"{kind} would be right") from None


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
