"""Say how much a candidate's scores and verdicts depend on the wording of the prompts: sentences and a table.

A wording is one of several prompts that ask the same examples of a task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from evalharness.records.comparison import Level
from evalharness.records.results import Results
from evalharness.records.wordings import WordingSpread, WorstToBest
from evalharness.report import wording
from evalharness.stats.enums import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class WordingLine:
    """One line of the table: one candidate on one task or group that was asked in several wordings.

    `wordings`: how many. `base`, `candidate_score`, `difference`: (worst, mean, best) over the wordings, as texts.
    `verdicts`: how often each verdict was given, as "retained in 3, forgotten in 1"; "" if the run gave none by
    wording. `depends`: True if not all wordings have the same verdict.
    """

    task: str
    level: Level
    candidate: str
    wordings: int
    base: tuple[str, str, str]
    candidate_score: tuple[str, str, str]
    difference: tuple[str, str, str]
    verdicts: str
    depends: bool


def wording_lines(results: Results) -> list[WordingLine]:
    """Return one line for each candidate and each task or group that was asked in several wordings, in the order of the
    results.
    """
    return [_line(spread) for spread in results.wordings]


def sentences(results: Results, candidate: str) -> Iterator[str]:
    """Yield a sentence for each of the candidate's tasks that was asked in several wordings: its worst, mean and best
    scores. Then yield one that counts the tasks whose verdict is not the same in every wording.
    """
    spreads = [spread for spread in results.wordings if spread.candidate == candidate]
    for line in map(_line, spreads):
        base, score, difference = (", ".join(of) for of in (line.base, line.candidate_score, line.difference))
        yield (
            f"{line.task} in {line.wordings} wordings (worst, mean, best): base {base}; candidate {score}; "
            f"difference {difference}" + (f"; on its own {line.verdicts}" if line.verdicts else "")
        )
    if sentence := wording_dependence(spreads):
        yield sentence


def wording_dependence(spreads: list[WordingSpread]) -> str:
    """Return a sentence that counts the tasks and groups whose verdict is not the same in every wording; "" if no
    verdicts by wording are known.
    """
    judged = [spread for spread in spreads if spread.verdicts is not None]
    if not judged:
        return ""
    units = wording.counted(len(judged), "gate unit")
    return (
        f"the verdict depends on the wording in {sum(spread.depends for spread in judged)} of {units} asked in "
        "other wordings (unadjusted; described only)"
    )


def _line(spread: WordingSpread) -> WordingLine:
    places = wording.places_for((*_numbers(spread.base), *_numbers(spread.candidate_score)))
    counts = Counter(spread.verdicts or ())
    worst, mean, best = (wording.signed(value, places) for value in _numbers(spread.difference))
    return WordingLine(
        task=spread.task,
        level=spread.level,
        candidate=spread.candidate,
        wordings=len(spread.wordings),
        base=_plain(spread.base, places),
        candidate_score=_plain(spread.candidate_score, places),
        difference=(worst, mean, best),
        verdicts=", ".join(f"{verdict} in {counts[verdict]}" for verdict in Verdict if counts[verdict]),
        depends=spread.depends,
    )


def _numbers(of: WorstToBest) -> tuple[float, float, float]:
    return of.worst, of.mean, of.best


def _plain(of: WorstToBest, places: int) -> tuple[str, str, str]:
    worst, mean, best = (wording.plain(value, places) for value in _numbers(of))
    return worst, mean, best
