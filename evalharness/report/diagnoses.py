"""Prepare diagnoses for the page: the conclusion, a table of measures, and what became of lost answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evalharness.records.diagnosis import Conclusion, Diagnosis, Measure
from evalharness.records.results import Results
from evalharness.report import wording

SHORT = {
    Conclusion.KNOWLEDGE: "knowledge seems lost",
    Conclusion.FORMAT: "the format seems lost",
    Conclusion.BOTH: "chooses worse, less readable",
    Conclusion.CONSTANT: "one answer to all",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureView:
    """One measure of a diagnosis. `words`: its name. `scores`: of base and candidate. `moved`: "fell" or "rose" if the
    whole interval of the difference lies on one side of zero, else "".
    """

    words: str
    metric: str
    scores: wording.ScoreChange
    moved: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisView:
    """One diagnosis as texts for the page.

    `twin`: the variant of the task in which the answer is written. `conclusion`, `short`, `says`: the conclusion as a
    key, in short and as a sentence. `choosing`, `writing`: the differences with intervals, of choosing and of writing
    the answer. `lines`: all measures. `fates`: for each outcome (words, answers lost to it, answers gained from it, its
    part of the difference). `answers`: their number. `beside`: further sentences.
    """

    anchor: str
    candidate: str
    task: str
    twin: str
    level: str
    conclusion: str
    short: str
    says: str
    choosing: str
    writing: str
    lines: tuple[MeasureView, ...]
    fates: tuple[tuple[str, str, str, str], ...]
    answers: str
    beside: tuple[str, ...]


def views(results: Results) -> list[DiagnosisView]:
    """Return the diagnoses of candidates for the page, in the order of the candidates, then of the tasks."""
    order = results.candidates
    diagnoses = [diagnosis for diagnosis in results.diagnoses if diagnosis.candidate in order]
    return [
        _view(diagnosis, f"diagnosis-{i}")
        for i, diagnosis in enumerate(sorted(diagnoses, key=lambda diagnosis: order.index(diagnosis.candidate)), 1)
    ]


def _view(diagnosis: Diagnosis, anchor: str) -> DiagnosisView:
    flips = diagnosis.flips
    parts = (
        (flips.lost_unreadable, flips.gained_unreadable, flips.unreadable),
        (flips.lost_wrong, flips.gained_wrong, flips.wrong),
    )
    return DiagnosisView(
        anchor=anchor,
        candidate=diagnosis.candidate,
        task=diagnosis.task,
        twin=diagnosis.twin,
        level=diagnosis.level,
        conclusion=diagnosis.conclusion,
        short=SHORT[diagnosis.conclusion],
        says=diagnosis.says,
        choosing=_difference(diagnosis, "choosing"),
        writing=_difference(diagnosis, "written"),
        lines=tuple(map(_measure, diagnosis.measures)),
        fates=tuple(
            (title, f"{lost:,}", f"{gained:,}", wording.with_interval(part))
            for title, (lost, gained, part) in zip(TITLES, parts, strict=True)
        ),
        answers=wording.counted(flips.answers, "written answer"),
        beside=tuple(_beside(diagnosis)),
    )


def _difference(diagnosis: Diagnosis, name: str) -> str:
    """Return the difference of the measure of that name as text; "–" if it was not measured."""
    measure = next((measure for measure in diagnosis.measures if measure.name == name), None)
    return wording.NONE if measure is None else wording.with_interval(measure.difference)


def _measure(measure: Measure) -> MeasureView:
    return MeasureView(
        words=WORDS.get(measure.name, measure.name),
        metric=measure.metric,
        scores=wording.score_change(measure.base, measure.candidate, measure.difference),
        moved="" if measure.name == NEITHER else wording.direction(measure.difference),
    )


def _beside(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield a sentence on the choice that is overused most."""
    if diagnosis.leaning:
        sides = [
            f"{name} “{most.choice}” in {wording.percent(most.picked, 0)} (right in {wording.percent(most.right, 0)})"
            for name, most in diagnosis.leaning.items()
        ]
        yield f"Picked most beyond its share: {', '.join(sides)}"
