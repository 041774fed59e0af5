"""Diagnoses to the page: what is said, a table of measures, where the lost answers went. Nothing is estimated here."""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.records.diagnosis import Conclusion, Diagnosis, Measure
from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.order import candidates_of

SHORT = {
    Conclusion.KNOWLEDGE: "knowledge seems lost",
    Conclusion.FORMAT: "the format seems lost",
    Conclusion.BOTH: "chooses worse, less readable",
    Conclusion.UNCLEAR: "unclear what was lost",
}
WORDS = {
    "choosing": "chosen by likelihood",
    "accuracy": "chosen by likelihood, accuracy",
    "written": "written, right anywhere in the text",
    "strict": "written, right and nothing else",
    "unparsed": "written, no answer to be read",
    "empty": "written, nothing but white space",
    "repetition": "written, share of words that repeat",
    "length": "written, length in tokens",
    "cut": "written, cut off at the limit",
    "selection_bias": "picks away from the right places",
    "ece": "calibration error",
    "brier_score": "Brier score",
}
NEITHER = "length"  # no direction of it is better
TITLES = ("texts that cannot be read", "texts that are readable and wrong")


@dataclass(frozen=True, slots=True)
class Line:
    """One measure. `moved`: "fell" or "rose" where the whole interval lies on one side of zero."""

    words: str
    metric: str
    base: str
    candidate: str
    difference: str
    interval: str
    moved: str


@dataclass(frozen=True, slots=True)
class Shown:
    """One diagnosis as the page has it. `fates`: a row an outcome: words, answers lost to it, gained from it, its part
    of the difference.
    """

    anchor: str
    candidate: str
    task: str
    twin: str
    level: str
    conclusion: str
    short: str
    says: str
    lines: tuple[Line, ...]
    fates: tuple[tuple[str, str, str, str], ...]
    answers: str
    beside: tuple[str, ...]


def shown(results: Results) -> list[Shown]:
    """In the order of the candidates, then of the tasks."""
    order = candidates_of(results)
    there = [found for found in results.diagnoses if found.candidate in order]
    return [
        _shown(found, f"diagnosis-{i}")
        for i, found in enumerate(sorted(there, key=lambda found: order.index(found.candidate)), 1)
    ]


def _shown(found: Diagnosis, anchor: str) -> Shown:
    flips = found.flips
    parts = (
        (flips.lost_unreadable, flips.gained_unreadable, flips.unreadable),
        (flips.lost_wrong, flips.gained_wrong, flips.wrong),
    )
    fates = tuple(
        (title, f"{away:,}", f"{back:,}", f"{wording.signed(part.value)} {wording.interval(part)}".strip())
        for title, (away, back, part) in zip(TITLES, parts, strict=True)
    )
    return Shown(
        anchor=anchor,
        candidate=found.candidate,
        task=found.task,
        twin=found.twin,
        level=found.level,
        conclusion=found.conclusion,
        short=SHORT[found.conclusion],
        says=found.says,
        lines=tuple(map(_line, found.measures)),
        fates=fates,
        answers=wording.counted(flips.answers, "written answer"),
        beside=tuple(_beside(found)),
    )


def _line(measure: Measure) -> Line:
    places = wording.places_for((measure.base.value, measure.candidate.value, measure.difference.value))
    low, high = measure.difference.low, measure.difference.high
    moved = "fell" if high is not None and high < 0 else "rose" if low is not None and low > 0 else ""
    return Line(
        words=WORDS.get(measure.name, measure.name),
        metric=measure.metric,
        base=wording.plain(measure.base.value, places),
        candidate=wording.plain(measure.candidate.value, places),
        difference=wording.signed(measure.difference.value, places),
        interval=wording.interval(measure.difference, places),
        moved="" if measure.name == NEITHER else moved,
    )


def _beside(found: Diagnosis) -> list[str]:
    """Sentences on what is picked most, and on other wordings."""
    said = []
    if found.leaning:
        sides = [
            f"{name} “{of.choice}” in {wording.percent(of.picked, 0)} (right in {wording.percent(of.right, 0)})"
            for name, of in found.leaning.items()
        ]
        said.append(f"Picked most beyond its share: {', '.join(sides)}")
    if found.spread:
        of = found.spread
        ranges = [
            f"{name} {' to '.join(map(wording.plain, values))}"
            for name, values in (("base", of.base), ("candidate", of.candidate))
        ]
        said.append(
            f"Over {of.wordings} wordings: {', '.join(ranges)}, difference {' to '.join(map(wording.signed, of.difference))}"
        )
    return said
