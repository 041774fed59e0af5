"""Define the records of repair.json: the path from base to candidate, its measurements, and the choice.

A model on the path is base + λ × (candidate − base). Half of the rows, or one split, chooses λ; other rows confirm it.
"""

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
    """One model on the path.

    `scale`: its λ; 0 is the base, 1 the candidate. `gain`: on the target (the task the candidate was trained for), in
    its metric's unit. `suite`: the mean change over the tasks that the gate judges, in margins. Both are on the rows
    that choose; None: not measured. `blocks`: λ of each block of layers, if each has its own; `scale` is then the λ
    from which the search for these began.
    """

    scale: float
    gain: Estimate | None
    suite: Estimate | None
    fingerprint: str
    blocks: tuple[float, ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A whole repair.

    `seed`, `limit`: those of the rows. `rule`: name of the rule that chooses; `rule_words`: the rule in words.
    `rows_a`, `rows_b`: numbers of rows of all tasks that choose, and that confirm: the two halves, or the split
    `choose_split` and the one that is evaluated. `points`: in the order of λ. `chosen`: the chosen λ; None: no λ helps,
    for `reason`; both are empty while the repair is not finished. `repaired`: fingerprint of the repaired model.
    `setting`, `rows`: digests of the other options that decide, and of the rows. `block_count`: blocks of layers with a
    λ of their own; `block_layers`: their layers in words; `block_points`: models that were measured in that search, in
    its order; `chosen_blocks`: the chosen λ of each block.
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
        """The rows on which λ was chosen, in words."""
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
        """The λ of each block in the chosen model; empty if the single λ stayed the best."""
        return () if set(self.chosen_blocks) <= {self.chosen} else self.chosen_blocks


REPAIR = DocumentFile("repair.json", Repair, 1)


def repairs_in(run: Path, results: Results) -> tuple[Repair, ...]:
    """Read the repairs in a run's folder that belong to the run: it compared the repaired model, or the candidate if no
    repair helped.

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
