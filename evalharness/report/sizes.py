"""Define the records of sizes.json: what candidates of bases of several sizes gained and forgot."""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.analysis.candidate_order import Standing
from evalharness.report.documents import DocumentFile
from evalharness.report.sweep import Outcome

PAGE = "sizes.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedCandidate:
    """One candidate, compared with its own base.

    `series`: a name that joins candidates of several bases into one line. `method`: of training. `trainable`: number of
    parameters that were trained; `parameters`: of all; None: not known. `target`: the task it was trained for; None:
    not stated. `standing`: the gate's decision. `incomplete`: some of its examples got no answer. `outcome`: its
    measurements.
    """

    name: str
    series: str
    method: str
    trainable: int | None
    parameters: int | None
    target: str | None
    standing: Standing
    incomplete: bool
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedBase:
    """One base with its candidates. `parameters`: how many it has. `runs`: the names of their runs' folders."""

    name: str
    fingerprint: str
    parameters: int
    runs: tuple[str, ...]
    candidates: tuple[SizedCandidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The content of sizes.json. `level`: coverage of the intervals. `bases`: the smallest first. `notices`: remarks
    for a reader.
    """

    suite: str | None
    tasks: tuple[str, ...]
    level: float
    bases: tuple[SizedBase, ...]
    notices: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """Every series, in the order of its first candidate."""
        return tuple(dict.fromkeys(each.series for base in self.bases for each in base.candidates))

    @property
    def target(self) -> str | None:
        """The task that all candidates with a target were trained for; None if there are several, or none."""
        targets = {each.target for base in self.bases for each in base.candidates if each.target is not None}
        return targets.pop() if len(targets) == 1 else None


SIZES = DocumentFile("sizes.json", Sizes, 1)
