"""The values of repair.json: the path from base to candidate, what was measured on it, and what was chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from evalharness.records import LATER
from evalharness.records.comparison import Estimate
from evalharness.report import documents

REPAIR, SCHEMA_VERSION = "repair.json", 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPoint:
    """One model on the path. `scale`: λ, 0 the base, 1 the candidate; `gain`: on the target, in its metric's unit;
    `suite`: the mean change over the gate units, in margins; both on half A. `blocks`: λ of each block of layers, where
    each has its own; `scale` is then the λ of all that these were found from.
    """

    scale: float
    gain: Estimate | None
    suite: Estimate | None
    fingerprint: str
    blocks: tuple[float, ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A whole repair. `rule`: its name, and `rule_words`; `rows_a`, `rows_b`: rows of both halves of all tasks;
    `points`: in the order of λ; `chosen`: λ, None where no part of the way helps, for `reason`.

    `setting`, `rows`: digests of the other options that decide, and of the rows; `repaired`: the fingerprint of what
    was written. `chosen` and `reason` are empty while it is not finished. `block_count`: blocks of layers with a λ of
    their own, `block_layers` in words; `block_points`: what was measured of them, in the order of the looks;
    `chosen_blocks`: λ of each.
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
    rows: str = field(default="", metadata=LATER)
    block_count: int = field(default=1, metadata=LATER)
    block_layers: tuple[str, ...] = field(default=(), metadata=LATER)
    block_points: tuple[PathPoint, ...] = field(default=(), metadata=LATER)
    chosen_blocks: tuple[float, ...] = field(default=(), metadata=LATER)

    def is_chosen(self, point: PathPoint) -> bool:
        """Whether the point is the model that was chosen in the end."""
        return self.chosen is not None and (point.scale, point.blocks) == (self.chosen, self._blocks_of_chosen)

    @property
    def _blocks_of_chosen(self) -> tuple[float, ...]:
        """() where the single λ stayed the best."""
        return () if set(self.chosen_blocks) <= {self.chosen} else self.chosen_blocks


def to_json(repair: Repair) -> str:
    """The content of repair.json."""
    return documents.to_json(repair, SCHEMA_VERSION)


def read_repair(folder: Path) -> Repair | None:
    """The repair whose repair.json lies in a folder; None where there is none. Raises UsageError for another file of
    that name.
    """
    return documents.read(folder / REPAIR, Repair, SCHEMA_VERSION)
