"""The values of repair.json: the path from base to candidate, what was measured on it, and what was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalharness.records.comparison import Estimate
from evalharness.report import documents

REPAIR, SCHEMA_VERSION = "repair.json", 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPoint:
    """One model on the path. `scale`: λ, 0 the base, 1 the candidate; `gain`: on the target, in its metric's unit;
    `suite`: the mean change over the gate units, in margins; both on half A.
    """

    scale: float
    gain: Estimate | None
    suite: Estimate | None
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A whole repair. `rule`: its name, and `rule_words`; `rows_a`, `rows_b`: rows of both halves of all tasks;
    `points`: in the order of λ; `chosen`: λ, None where no part of the way helps, for `reason`.

    `setting`: a digest of the other options that decide; `repaired`: the fingerprint of what was written. `chosen` and
    `reason` are empty while it is not finished.
    """

    candidate: str
    candidate_fingerprint: str
    base: str
    base_fingerprint: str
    target: str
    suite: str
    seed: int
    limit: int | None
    rule: str
    rule_words: str
    rows_a: int
    rows_b: int
    setting: str = ""
    points: tuple[PathPoint, ...] = ()
    chosen: float | None = None
    reason: str = ""
    repaired: str = ""


def to_json(repair: Repair) -> str:
    """The content of repair.json."""
    return documents.to_json(repair, SCHEMA_VERSION)


def read_repair(folder: Path) -> Repair | None:
    """The repair whose repair.json lies in a folder; None where there is none. Raises UsageError for another file of
    that name.
    """
    return documents.read(folder / REPAIR, Repair, SCHEMA_VERSION)
