"""What a user lets pass at the gate, and where each value of it came from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from evalharness import fingerprint
from evalharness.errors import UsageError


class OnInconclusive(StrEnum):
    """What the gate makes of a candidate that is undecided."""

    FAIL = "fail"
    PASS = "pass"


class Source(StrEnum):
    """Where a value of the policy came from."""

    DEFAULT = "default"
    OPTION = "option"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a user lets pass; None and empty: the default.

    `ceiling`: the largest loss that may remain possible of any gate unit scored from 0 to 1, whichever is better;
    `ceilings`: of single ones, in their metric's unit. Under a `ceiling`, units of other ranges need one of these.
    Raises UsageError for a ceiling that is not a number of at least 0.
    """

    on_inconclusive: OnInconclusive | None = None
    ceiling: float | None = None
    ceilings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = {**self.ceilings, **({} if self.ceiling is None else {"all": self.ceiling})}
        for name, ceiling in given.items():
            if not (math.isfinite(ceiling) and ceiling >= 0):
                fix = "a number of at least 0, in the metric's unit, such as 0.05"
                raise UsageError("ceiling", f"{ceiling} of {name} is no loss", fix)

    @classmethod
    def given(
        cls,
        on_inconclusive: str | None = None,
        ceiling: float | None = None,
        ceilings: Mapping[str, float] | None = None,
    ) -> Policy:
        """The policy of options as a user gives them. Raises UsageError as the policy does."""
        undecided = None if on_inconclusive is None else OnInconclusive(on_inconclusive)
        return cls(on_inconclusive=undecided, ceiling=ceiling, ceilings=ceilings or {})

    @classmethod
    def recorded(cls, signature: Mapping[str, Any]) -> Policy:
        """The policy that a run was started with; the default where it does not say."""
        values = signature.get("policy") or {}
        return cls.given(values.get("on_inconclusive") or None, values.get("ceiling"), values.get("ceilings"))

    @property
    def passes_undecided(self) -> bool:
        return self.on_inconclusive == OnInconclusive.PASS

    @property
    def values(self) -> dict[str, Any]:
        """The values by name, defaults filled in."""
        undecided = str(self.on_inconclusive or OnInconclusive.FAIL)
        return {"on_inconclusive": undecided, "ceiling": self.ceiling, "ceilings": dict(self.ceilings)}

    @property
    def sources(self) -> dict[str, Source]:
        """Where each value came from, by name."""
        given = {
            "on_inconclusive": self.on_inconclusive is not None,
            "ceiling": self.ceiling is not None,
            "ceilings": bool(self.ceilings),
        }
        return {name: Source.OPTION if set_ else Source.DEFAULT for name, set_ in given.items()}

    def facts(self, signature: Mapping[str, Any]) -> dict[str, Any]:
        """The values together with the error rate and the margins that a run's signature states, and the digest of all
        of them.
        """
        values = {**{name: signature.get(name) for name in ("alpha", "margin", "margins")}, **self.values}
        return {"digest": fingerprint.of_value(values), **values}
