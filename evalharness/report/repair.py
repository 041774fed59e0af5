"""The records of repair.json: the path from base to candidate, its measurements, and the choice."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from evalharness.records import LATER
from evalharness.records.comparison import Estimate
from evalharness.records.results import Results
from evalharness.report.documents import DocumentFile

REPAIRS = "repairs"  # a folder of several, each in one of its candidate's name


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPoint:
    """One model on the path. `scale`: λ, 0 the base, 1 the candidate; `gain`: on the target, in its metric's unit;
    `suite`: the mean change over the gate units, in margins; both on the rows that choose. `blocks`: λ of each block of
    layers, where each has its own; `scale` is then the λ of all that these were searched from.
    """

    scale: float
    gain: Estimate | None
    suite: Estimate | None
    fingerprint: str
    blocks: tuple[float, ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A whole repair. `rule`: its name, and `rule_words`; `rows_a`, `rows_b`: rows of all tasks that choose, and that
    confirm: halves, or the split `choose_split` and the one that is evaluated; `points`: in the order of λ; `chosen`:
    λ, None if no part of the way helps, for `reason`.

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
    choose_split: str = field(default="", metadata=LATER)

    @property
    def chosen_on(self) -> str:
        """The rows that choose, in words."""
        return f"the {self.choose_split} rows" if self.choose_split else "half A"

    @property
    def confirmed_on(self) -> str:
        """The rows of the verdicts, in words."""
        return "other rows" if self.choose_split else "half B"

    def is_chosen(self, point: PathPoint) -> bool:
        """Return whether the point is the model that was chosen in the end."""
        return self.chosen is not None and (point.scale, point.blocks) == (self.chosen, self._blocks_of_chosen)

    @property
    def _blocks_of_chosen(self) -> tuple[float, ...]:
        """() if the single λ stayed the best."""
        return () if set(self.chosen_blocks) <= {self.chosen} else self.chosen_blocks


REPAIR = DocumentFile("repair.json", Repair, 1)


def repairs_in(run: Path, results: Results) -> tuple[Repair, ...]:
    """Read the repairs in a run's folder whose repaired model, or candidate where no repair helped, the run compared.
    Raises UsageError for a repair.json of another form.
    """
    compared = {model.fingerprint for model in results.models}
    folders = (run, *sorted((run / REPAIRS).glob("*")))
    repairs = [repair for folder in folders if (repair := REPAIR.read(folder)) is not None]
    return tuple(
        each
        for each in repairs
        if each.repaired in compared or (each.reason and each.candidate_fingerprint in compared)
    )
