"""Apply a policy to gate units: the ceiling of each, the severity of its findings, and its waivers.

A gate unit is a task or group that the gate judges; a ceiling is the largest loss that may remain possible.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
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
    """The names by which a policy may address one gate unit.

    `names`: its own, and the original task's if it is another wording of that. `family`: the family's name. `span`: the
    width of its metric's range; None: not finite.
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
    """The policy's rule for one gate unit. `ceiling`: the largest loss that may remain possible; None: any. `severity`:
    whether its findings stop the candidate, only warn, or are off.
    """

    ceiling: float | None = None
    severity: Severity = Severity.ERROR


def names_known(name: str, variant: Variant | None) -> tuple[str, ...]:
    """Return the name of a task or group, and the original's name if it is another wording of that."""
    return (name,) if variant is None or variant.beside else (name, variant.of)


def unit_rules(policy: Policy, units: Sequence[UnitNames]) -> dict[str, UnitRule]:
    """Return the policy's rule for each unit, by its name: the one stated for the unit, else for its family, else for
    all units.

    A ceiling of a family is for those of its units that are scored from 0 to 1, or for all if they share one other
    range. Raises UsageError for a ceiling that is all that can be lost.
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


def policy_for_units(
    policy: Policy, units: Sequence[UnitNames], others: Collection[str] = (), knows: Callable[[str], bool] | None = None
) -> Policy:
    """Return the policy without entries from files that are for units that are not compared here.

    `others`: names that are compared but are no gate units. `knows`: returns whether a name exists as a task, group or
    family; None: look it up in the shipped task files. Raises UsageError for an unknown name, and for one that an
    option states and that is not compared here.
    """
    alone, knows = {name for unit in units for name in unit.names}, knows or is_known
    names_allowed, fitting = alone | {unit.family for unit in units}, dict[str, Any]()
    for key in ("ceilings", "severities"):
        values = getattr(policy, key)
        for name in sorted(values.keys() - names_allowed):
            source = policy.source(f"{key}.{name}")
            if source in (DEFAULT, OPTION):
                raise _no_unit(f"--{BY_NAME[key]}", name, names_allowed)
            if name in others or not knows(name):
                raise _no_unit(f"{source}: {key}.{name}", name, names_allowed)
        fitting[key] = {name: value for name, value in values.items() if name in names_allowed}
    for waiver in policy.waivers:
        if waiver.unit not in alone and (waiver.unit in others or not knows(waiver.unit)):
            raise _no_unit(f"{policy.source('waivers')}: waiver of {waiver.unit}", waiver.unit, alone)
    return replace(policy, **fitting, waivers=tuple(each for each in policy.waivers if each.unit in alone))


def _no_unit(where: str, name: str, names: Collection[str]) -> UsageError:
    return UsageError(where, f"no gate unit {name!r} in what is compared", did_you_mean(name, names))


def is_known(name: str, include: Sequence[Path] = ()) -> bool:
    """Return whether the task files have a task, group or family of this name."""
    library = _library(tuple(include))
    return name in FAMILIES or name in library.names() or library.is_group(name)


@lru_cache(maxsize=4)
def _library(include: tuple[Path, ...]) -> Library:
    return Library(include)


def names_checked_before(signature: Mapping[str, Any]) -> set[str]:
    """Return the names in the policy that a run was started with, which were checked at that time."""
    policy = signature.get("policy")
    policy = policy if isinstance(policy, Mapping) else {}
    stated = (signature.get("margins"), policy.get("ceilings"), policy.get("severities"))
    waivers = policy.get("waivers")
    waived = [each.get("unit") for each in waivers if isinstance(each, Mapping)] if isinstance(waivers, list) else []
    return {str(name) for each in (*stated, waived) if isinstance(each, Mapping | list) for name in each}


def waiver_of(policy: Policy, unit: UnitNames, candidate: str, today: date) -> Waiver | None:
    """Return the waiver that excuses a candidate's unit on the day `today`; None without one."""
    holding = [each for each in policy.waivers if each.holds(unit.names, candidate) and each.expires >= today]
    return max(holding, key=lambda waiver: waiver.expires, default=None)


def expired_waivers(policy: Policy, today: date) -> list[Waiver]:
    """Return the waivers that no longer count on the day `today`."""
    return [waiver for waiver in policy.waivers if waiver.expires < today]
