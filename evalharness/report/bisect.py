"""Define the records of bisect.json: the checkpoints that a bisection evaluated, and the first that forgot.

A look is one evaluation of one checkpoint. A gate unit is a task or group that the gate judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from evalharness.records import LATER
from evalharness.records.comparison import Estimate
from evalharness.report.documents import DocumentFile
from evalharness.stats.enums import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitLook:
    """One gate unit at one look; values are None if nothing was measured.

    `n`: units of data that were compared. `difference`: to the base, + is better, in the unit of `metric`. `margin`:
    the largest acceptable loss. `p_forgotten`: corrected for the gate units of this look.
    """

    unit: str
    metric: str
    n: int
    difference: Estimate | None
    margin: float | None
    p_forgotten: float | None
    verdict: Verdict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointLook:
    """One evaluated checkpoint.

    `place`: its number in the order of the training, from 1. `state`: forgotten, retained or not shown. `folder`: that
    of its run, within the output folder. `units`: every gate unit.
    """

    place: int
    checkpoint: str
    fingerprint: str
    state: str
    folder: str
    units: tuple[UnitLook, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """One gate unit that came back: names of the checkpoint at which it was forgotten, and of a later one at which it
    was retained.
    """

    unit: str
    forgotten: str
    retained: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisection:
    """A whole bisection.

    `checkpoints`: all names, in the order of the training. `unit`: the gate unit that was followed; None: any. `alpha`:
    the error rate of the whole search; `alpha_of_look`: alpha / `most_looks`. `looks`: in the order in which they were
    evaluated. `outcome`: "" while it is not finished. `first`: the first checkpoint that is shown to have forgotten;
    None: none is. `before`: the checkpoint before that one; None: there is none. `earlier`: an earlier one that a check
    showed to have forgotten. `returned`: units that contradict a monotone loss. `setting`, `rows`: digests of the
    options that decide, and of the rows.
    """

    base: str
    checkpoints: tuple[str, ...]
    suite: str
    unit: str | None
    alpha: float
    alpha_of_look: float
    most_looks: int
    looks: tuple[CheckpointLook, ...] = ()
    outcome: str = ""
    first: str | None = None
    before: str | None = None
    earlier: str | None = None
    returned: tuple[Returned, ...] = ()
    base_fingerprint: str = field(default="", metadata=LATER)
    setting: str = field(default="", metadata=LATER)
    rows: str = field(default="", metadata=LATER)

    def look_at(self, checkpoint: str | None) -> CheckpointLook | None:
        """Return the look at the checkpoint of that name; None if there is none."""
        return next((look for look in self.looks if look.checkpoint == checkpoint), None)


BISECT = DocumentFile("bisect.json", Bisection, 1)
