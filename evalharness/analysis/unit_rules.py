"""Say what a policy holds of every gate unit: its ceiling, how severe a finding is, and whether it is waived."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, TypeVar

from evalharness.analysis.gate_units import Subject
from evalharness.analysis.margins import check_loss, on_one_scale
from evalharness.errors import UsageError, did_you_mean
from evalharness.records.comparison import Comparison
from evalharness.records.policy import BY_NAME, DEFAULT, OPTION, Policy, Severity, Waiver
from evalharness.records.tasks import Variant
from evalharness.tasks.library import Library
from evalharness.tasks.metadata import FAMILIES

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class UnitNames:
    """A gate unit, by what a policy may call it. `names`: its name, and the one that users know where it is asked in
    another wording; `span`: the width of its metric's range.
    """

    names: tuple[str, ...]
    family: str
    span: float | None

    @classmethod
    def of(cls, unit: Comparison | Subject) -> Self:
        name = unit.task if isinstance(unit, Comparison) else unit.name
        return cls(names_known(name, unit.variant), unit.family, unit.span)


@dataclass(frozen=True, slots=True)
class UnitRule:
    """What the policy holds of a gate unit. `ceiling`: None where none is stated for it."""

    ceiling: float | None = None
    severity: Severity = Severity.ERROR


def names_known(name: str, variant: Variant | None) -> tuple[str, ...]:
    """The name of a task or group, and the one that users know where it is asked in another wording."""
    return (name,) if variant is None or variant.beside else (name, variant.of)


def unit_rules(policy: Policy, units: Sequence[UnitNames]) -> dict[str, UnitRule]:
    """What the policy holds of each unit, by its name: what it says of the unit, else of its family, else of all.

    A ceiling of a family is for those of its units that are scored from 0 to 1, or for all where they have one other
    range in common. Raises UsageError for a ceiling that is all that can be lost.
    """
    rules = {}
    for unit in units:
        spans = {other.names[0]: other.span for other in units if other.family == unit.family}
        of_family = unit.family if unit.names[0] in on_one_scale(spans, 1.0) else ""
        ceiling = _stated(policy.ceilings, (*unit.names, of_family))
        if ceiling is None:
            ceiling = policy.ceiling if unit.span == 1 else None
        if ceiling is not None:
            for name in unit.names:
                check_loss("ceiling", name, ceiling, unit.span)
        severity = _stated(policy.severities, (*unit.names, unit.family)) or policy.severity
        rules[unit.names[0]] = UnitRule(ceiling, severity or Severity.ERROR)
    return rules


def _stated(values: Mapping[str, Value], names: Collection[str]) -> Value | None:
    return next((values[name] for name in names if name in values), None)


def fitted(
    policy: Policy, units: Sequence[UnitNames], others: Collection[str] = (), include: Sequence[Path] = ()
) -> Policy:
    """The policy without what its files say of units that are not compared here. `others`: what is compared and is no
    gate unit; `include`: folders with more task files.

    Raises UsageError for a name that nothing has, and for one that an option states and that is not compared here.
    """
    alone = {name for unit in units for name in unit.names}
    known = alone | {unit.family for unit in units}
    fitting: dict[str, Any] = {}
    for key in ("ceilings", "severities"):
        values, gone = getattr(policy, key), set[str]()
        for name in sorted(values.keys() - known):
            source = policy.source(f"{key}.{name}")
            where = f"--{BY_NAME[key]}" if source in (DEFAULT, OPTION) else f"{source}: {key}.{name}"
            _check_elsewhere(where, name, known, others, None if source in (DEFAULT, OPTION) else include)
            gone.add(name)
        fitting[key] = {name: value for name, value in values.items() if name not in gone}
    for waiver in policy.waivers:
        if waiver.unit not in alone:
            where = f"{policy.source('waivers')}: waiver of {waiver.unit}"
            _check_elsewhere(where, waiver.unit, alone, others, include)
    return replace(policy, **fitting, waivers=tuple(each for each in policy.waivers if each.unit in alone))


def _check_elsewhere(
    where: str, name: str, known: Collection[str], others: Collection[str], include: Sequence[Path] | None
) -> None:
    """Check that a task, group or family of this name is known, though it is not compared; `include`: None where it
    must be compared.
    """
    if name in others or include is None or not is_known(name, include):
        raise UsageError(where, f"no gate unit {name!r} in what is compared", did_you_mean(name, known))


def is_known(name: str, include: Sequence[Path] = ()) -> bool:
    """Is a task, group or family of this name among the task files?"""
    library = _library(tuple(include))
    return name in FAMILIES or name in library.names() or library.is_group(name)


@lru_cache(maxsize=4)
def _library(include: tuple[Path, ...]) -> Library:
    return Library(include)


def waiver_of(policy: Policy, unit: UnitNames, candidate: str, today: date) -> Waiver | None:
    """The waiver of a candidate's unit that counts on a day."""
    holding = [each for each in policy.waivers if each.holds(unit.names, candidate) and each.expires >= today]
    return max(holding, key=lambda waiver: waiver.expires, default=None)


def expired(policy: Policy, today: date) -> list[Waiver]:
    """The waivers that no longer count on a day."""
    return [waiver for waiver in policy.waivers if waiver.expires < today]
