"""The gate's policy: what may pass, and where each of its values came from."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from enum import StrEnum
from typing import Any

from evalharness import fingerprint
from evalharness.errors import UsageError, did_you_mean
from evalharness.records import LATER
from evalharness.records.answers import UnfitShares


class OnInconclusive(StrEnum):
    """The gate's outcome for a candidate that is undecided."""

    FAIL = "fail"
    PASS = "pass"


class Severity(StrEnum):
    """How a finding of the gate counts: as an error, as a warning that stops nothing, or not at all."""

    ERROR = "error"
    WARN = "warn"
    OFF = "off"


class Against(StrEnum):
    """Which scores a candidate is compared with: its base's, the accepted ones of a baseline file, or both."""

    BASE = "base"
    BASELINE = "baseline"
    BOTH = "both"


DEFAULT, OPTION = "default", "option"  # where a value came from; else it is the file that states it
LIMITS = tuple(each.name for each in fields(UnfitShares))
WORDS = {"on_inconclusive": OnInconclusive, "against": Against, "severity": Severity}
DEFAULTS = {"on_inconclusive": OnInconclusive.FAIL, "against": Against.BASE, "severity": Severity.ERROR}
OF_EVERY_RUN = ("on_inconclusive", "ceiling", "ceilings")  # recorded whether they are stated or not
OF_THE_VERDICTS = ("alpha", "margin", "margins")
BY_NAME = {"margins": "margin", "ceilings": "ceiling", "severities": "severity"}  # of units: the value for all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """An exception: the gate ignores its findings on one gate unit (a task or group that it judges), until a day, for
    a reason.

    It holds for one candidate, or for all if `candidate` is None. Raises UsageError without a unit or a reason.
    """

    unit: str
    reason: str
    expires: date  # the last day on which it counts
    candidate: str | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if not self.unit or self.candidate == "":
            raise UsageError("a waiver", "names nothing", "give its unit, and a candidate's name or no candidate")
        if not self.reason.strip():
            fix = "say in a few words why what it waives may pass"
            raise UsageError(f"waiver of {self.unit}", "it gives no reason", fix)

    @property
    def words(self) -> str:
        of = f" of {self.candidate}" if self.candidate else ""
        return f"{self.unit}{of} until {self.expires.isoformat()}: {self.reason}"

    def holds(self, names: Collection[str], candidate: str) -> bool:
        """Return whether the waiver applies to this candidate and a gate unit with one of these names."""
        return self.unit in names and self.candidate in (None, candidate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may pass the gate. A value that is None or empty means the default, or the rule by which the run was
    judged.

    `suite` and `require` name what must have been evaluated. `alpha` is the error rate. `margin` is the tolerated loss
    of every unit on a 0-1 scale, `margins` that of single tasks, groups or families. `ceiling` is the largest loss
    that may remain possible of any gate unit (a task or group that the gate judges) scored from 0 to 1; `ceilings` are
    those of single ones, in their metric's unit, and with a `ceiling` every unit of another range needs one.
    `severity` is that of the suite and of every unit not in `severities`. `limits` are the largest shares of a unit's
    answers that may be unfit (`UnfitShares`). `baseline` is the file of accepted scores. `sources` says where each
    value came from, by key or "key.name".

    Raises UsageError for a value that is out of its range, naming it and its source.
    """

    suite: str | None = None
    require: tuple[str, ...] = ()
    alpha: float | None = None
    margin: float | None = None
    margins: Mapping[str, float] = field(default_factory=dict)
    on_inconclusive: OnInconclusive | None = None
    ceiling: float | None = None
    ceilings: Mapping[str, float] = field(default_factory=dict)
    severity: Severity | None = None
    severities: Mapping[str, Severity] = field(default_factory=dict)
    against: Against | None = None
    baseline: str | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    waivers: tuple[Waiver, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for sort, of_all, by_name in (("margin", self.margin, self.margins), ("ceiling", self.ceiling, self.ceilings)):
            for name, loss in {**({} if of_all is None else {"all": of_all}), **by_name}.items():
                self._check_loss(sort, name, loss)
        for key, names in (("suite", (self.suite,)), ("require", self.require), ("baseline", (self.baseline,))):
            if "" in names:
                raise UsageError(self._where(key), "is empty", "name one, or leave it out")
        if self.alpha is not None and not 0 < self.alpha < 0.5:
            fix = "a number between 0 and 0.5, such as 0.05"
            raise UsageError(self._where("alpha"), f"{self.alpha} is no error rate", fix)
        for name, share in self.limits.items():
            if name not in LIMITS:
                raise UsageError(self._where(f"limits.{name}"), "there is no such limit", did_you_mean(name, LIMITS))
            if not 0 <= share < 1:
                fix = "a number from 0 to less than 1, such as 0.05"
                raise UsageError(self._where(f"limits.{name}"), f"{share} is no share of answers", fix)
        if self.severity == Severity.OFF:
            fix = 'severity = "warn" says what it finds and lets it pass'
            raise UsageError(self._where("severity"), "a gate that is off for all says nothing", fix)

    def _check_loss(self, sort: str, name: str, loss: float) -> None:
        if math.isfinite(loss) and (loss > 0 if sort == "margin" else loss >= 0):
            return
        least, no = ("above 0", "no acceptable loss") if sort == "margin" else ("of at least 0", "no loss")
        where = self._where(sort if name == "all" else f"{sort}s.{name}", sort)
        raise UsageError(where, f"{loss} of {name} is {no}", f"a number {least}, in the metric's unit, such as 0.05")

    def with_values(self, values: Mapping[str, Any], source: str) -> Policy:
        """Return the policy with these values in place of its own. None changes nothing; mappings are merged name by
        name.
        """
        stated, sources = dict[str, Any](), dict(self.sources)
        for key, value in values.items():
            if value is None:
                continue
            if isinstance(value, Mapping):
                stated[key] = {**getattr(self, key), **value}
                sources |= {f"{key}.{name}": source for name in value}
            else:
                stated[key] = WORDS[key](value) if key in WORDS else value
                sources[key] = source
        return replace(self, **stated, sources=sources)

    @classmethod
    def recorded(cls, signature: Mapping[str, Any]) -> Policy:
        """Return the policy in a run's signature; the default if it has none. Raises UsageError if it is malformed."""
        try:
            return cls._recorded(signature)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            fix = "run the evaluation again"
            raise UsageError("signature.policy", f"not a policy ({type(error).__name__})", fix) from error

    @classmethod
    def _recorded(cls, signature: Mapping[str, Any]) -> Policy:
        keys = {each.name for each in fields(cls)} - {"sources", *OF_THE_VERDICTS}
        values = {key: value for key, value in (signature.get("policy") or {}).items() if key in keys and value}
        values["ceiling"] = (signature.get("policy") or {}).get("ceiling")
        if waivers := values.get("waivers"):
            dated = ({**waiver, "expires": date.fromisoformat(waiver["expires"])} for waiver in waivers)
            values["waivers"] = tuple(Waiver(**waiver) for waiver in dated)
        if severities := values.get("severities"):
            values["severities"] = {name: Severity(severity) for name, severity in severities.items()}
        values["require"] = tuple(values.get("require", ()))
        return cls().with_values(values, "the run")

    @property
    def passes_undecided(self) -> bool:
        return self.on_inconclusive == OnInconclusive.PASS

    @property
    def looks_at_baseline(self) -> bool:
        return self.against in (Against.BASELINE, Against.BOTH)

    @property
    def values(self) -> dict[str, Any]:
        """Return the values as JSON, defaults filled in, without the settings of the verdicts."""
        waivers = [{**asdict(waiver), "expires": waiver.expires.isoformat()} for waiver in self.waivers]
        plain = {
            **{key: str(getattr(self, key) or default) for key, default in DEFAULTS.items()},
            "ceilings": dict(self.ceilings),
            "severities": {name: str(severity) for name, severity in self.severities.items()},
            "limits": dict(self.limits),
            "require": list(self.require),
            "baseline": None if self.baseline is None else self.baseline.replace("\\", "/").rpartition("/")[2],
            "waivers": waivers,
        }
        return {
            each.name: plain.get(each.name, getattr(self, each.name))
            for each in fields(self)
            if each.name not in ("sources", *OF_THE_VERDICTS)
        }

    @property
    def files(self) -> list[str]:
        """Return the files that its values came from."""
        return sorted({*self.sources.values()} - {DEFAULT, OPTION})

    def names_from(self, key: str, source: str) -> list[str]:
        """Return the names under a key whose values came from this source."""
        return [name for name in getattr(self, key) if self.sources.get(f"{key}.{name}", OPTION) == source]

    def source(self, key: str) -> str:
        """Return where a value came from: "default", "option", or the file that states it."""
        return self.sources.get(key, DEFAULT)

    @property
    def every_source(self) -> dict[str, str]:
        """Return where each value came from, by "key", or "key.name" within a mapping."""
        return {
            **{each.name: self.source(each.name) for each in fields(self) if each.name != "sources"},
            **self.sources,
        }

    def facts(self, signature: Mapping[str, Any]) -> dict[str, Any]:
        """Return the policy's values with the error rate and margins in a run's signature, and the digest of all
        stated ones.
        """
        of_verdicts = {name: signature.get(name) for name in OF_THE_VERDICTS}
        values = {**of_verdicts, **self.values}
        defaults = Policy().values
        recorded = {
            key: value
            for key, value in values.items()
            if key in (*OF_THE_VERDICTS, *OF_EVERY_RUN) or value != defaults[key]
        }
        return {"digest": fingerprint.of_value(recorded), **values}

    def _where(self, key: str, alone: str | None = None) -> str:
        """Name a value for an error: with its file, or `alone` if it came from no file."""
        source = self.sources.get(key)
        return (alone or key) if source in (None, OPTION) else f"{source}: {key}"
