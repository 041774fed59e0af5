"""Define the jobs of the experiments: the parsed options of a sweep, a repair, a trace, …"""

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

# settings that one of two engines may have by itself, and the readers of their texts
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
    """The options of a sweep (training by many recipes, to choose the best).

    `job`: how the chosen candidates are evaluated, without its models; its target is learned, and its output folder
    holds all files. `grid`: the recipes. `select`: a metric of the target, LOSS, or None for the one that decides.
    `processes`: how many points are trained at a time.
    """

    job: Job
    grid: Grid
    select: str | None = None
    processes: int = 1


@dataclass(frozen=True, slots=True)
class RepairJob:
    """The options of a repair (going part of the way from candidate back to base).

    `job`: its one candidate, and how it is evaluated. `rule`: chooses how far to go. `blocks`: into how many blocks the
    layers are divided, each with its own part of the way. `choose_split`: the split to choose on, None for half of the
    evaluated rows. `replaces`: whether another repair in the output folder is removed.
    """

    job: Job
    rule: RepairRule = RepairRule.WITHIN_MARGIN
    blocks: int = 1
    choose_split: str | None = None
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class TraceJob:
    """The options of a trace (several trainings in a row, measured after each).

    `job`: its models are the stages, in order. `learned`: stage -> tasks that its training.json does not state.
    `joint`: a model trained on everything at once. `fresh`: one that learned nothing. Both are measured as candidates
    beside the stages; None without one.
    """

    job: Job
    learned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    joint: str | None = None
    fresh: str | None = None


@dataclass(frozen=True, slots=True)
class BisectJob:
    """The options of a search for the first checkpoint that forgot. `job`: its models are the checkpoints, in order.
    `unit`: the task or group that decides, None for any that the gate judges.
    """

    job: Job
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSide:
    """One of two engines to compare: the user's `text`, the settings to open it, and its model as the user names it."""

    text: str
    settings: EngineSettings
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCheckJob:
    """The options of a check of two engines.

    `job`: its questions. `sides`: the engines. `tolerance`: the nats within which log-probabilities count as equal,
    None for the larger of the engines' own near ties. `same_texts`: the least share of texts that must be equal. Raises
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
    """Parse one side of a check, ENGINE=MODEL. `options` override the settings that both sides share; options that are
    not in SETTINGS are the engine's own. Raises UsageError.
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
    return EngineSide(text=text, settings=settings, model=model)


def _setting(key: str, value: str) -> Any:
    """Read a setting's value from its text. Raises UsageError."""
    try:
        return SETTINGS[key](value)
    except (KeyError, ValueError):
        kind = "true or false" if key == "strict" else "a whole number"
        raise UsageError(f"option {key}", f"{value!r} is no value for it", f"{kind} would be right") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastJob:
    """The options of a forecast. Raises UsageError.

    `power`: the probability with which a claim should come out. `flips`: the share of answers that change from base to
    candidate. `skill`: the base's share of the possible score above chance. Both are assumptions, for what no earlier
    run shows. `earlier`: that run, RUN[#NAME]. `probe`: how many requests of each task are answered and timed.
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
