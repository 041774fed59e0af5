"""The records of sizes.json: what candidates of bases of several sizes gained and forgot, each against its own base."""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.analysis.candidate_order import Standing
from evalharness.report.documents import DocumentFile
from evalharness.report.sweep import Outcome

PAGE = "sizes.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedCandidate:
    """One candidate with its own base. `series`: the name that joins candidates of several bases; `standing`: the
    gate's decision; `incomplete`: some of its examples got no answer.
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
    """A base, its number of parameters, and its candidates. `runs`: names of their folders."""

    name: str
    fingerprint: str
    parameters: int
    runs: tuple[str, ...]
    candidates: tuple[SizedCandidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Bases, the smallest first. `level`: coverage of the intervals."""

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
