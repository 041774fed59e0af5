"""Write sentences on rows whose answers show little: one answer to all, or empty, cut-off, unreadable ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evalharness.records.answers import AnswerCounts
from evalharness.records.comparison import Comparison, Level
from evalharness.report import wording

MOST = 5  # sentences of one kind; of more rows only the names follow
LONGEST = 30  # characters of an answer
CANNOT_SHOW = ": this task cannot show what it knew"


def sentences(rows: Sequence[Comparison], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the sentences on one candidate's rows, and on the base's answers there, by kind of remark. `groups`: their
    tasks; a task is left out if its group has the same sentence.
    """
    judged_rows = [c for c in rows if c.primary and c.level in (Level.TASK, Level.GROUP)]
    kinds: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for c in judged_rows:
        for side, kind, words in _of_row(c):
            kinds.setdefault((side, kind), []).append((c.task, f"{c.task}: {words}"))
    lines = []
    for (side, kind), every in kinds.items():
        inside = {task for name, _ in every for task in groups.get(name, ())}
        of_kind = [(task, words) for task, words in every if task not in inside]
        lines += [words for _, words in of_kind[:MOST]]
        if more := [task for task, _ in of_kind[MOST:]]:
            lines.append(f"{side} {kind} in {len(more)} more: {', '.join(more)}")
    return lines


def _of_row(c: Comparison) -> Iterator[tuple[str, str, str]]:
    """Yield (model, kind, sentence) for each remark on a row."""
    for side, counts in (("the base", c.base_answers), (c.candidate, c.candidate_answers)):
        ending = CANNOT_SHOW if side == "the base" else ""
        for kind, words, hides in _remarks(counts):
            yield side, kind, f"{side} {words}{ending if hides else ''}"
    if c.repeated:
        rows = wording.counted(c.repeated, "row repeats the question of another", "rows repeat questions of others")
        yield "every model", "is asked repeated questions", f"{rows}; each question counts once in the tests"
    if c.left_out:
        rows = wording.counted(c.left_out, "row does", "rows do")
        yield (
            "every model",
            "is not asked what does not fit",
            f"{rows} not fit into the smallest window; no model is asked",
        )


def beside_score(counts: AnswerCounts | None) -> str:
    """Return the remarks on one model's answers, to show beside its score; "" without any."""
    return "; ".join(words for _, words, _ in _remarks(counts))


def _remarks(counts: AnswerCounts | None) -> Iterator[tuple[str, str, bool]]:
    """Yield (kind, words, whether it hides what the model knows) for each remark on one model's answers."""
    if counts is None:
        return
    if counts.constant:
        answer = wording.one_line(counts.most_common, LONGEST)
        yield (
            "gives one answer",
            f"answers “{answer}” to {_share(counts.most_common_count, counts)}{_right(counts)}",
            True,
        )
    if counts.often_empty:
        yield "writes nothing", f"writes nothing in {_share(counts.empty, counts)}", counts.shows_nothing
    if counts.often_cut_off:
        yield "is cut off", f"is cut off at the length limit in {_share(counts.cut_off, counts)}", False
    if counts.often_unreadable:
        yield "cannot be read", f"cannot be read in {_share(counts.unreadable, counts)}", False
    if counts.often_near_ties:
        yield "is near a tie", f"is near a tie between two choices in {_share(counts.near_ties, counts)}", False


def _right(counts: AnswerCounts) -> str:
    return f" (right in {_percent(counts.most_common_right, counts)})"


def _share(count: int, counts: AnswerCounts) -> str:
    return "every row" if count == counts.answers else f"{_percent(count, counts)} of the rows"


def _percent(count: int, counts: AnswerCounts) -> str:
    """Return the share as a whole number of percent; 100 only for all answers."""
    percent = round(100 * count / counts.answers)
    return f"{min(percent, 99) if count < counts.answers else percent} %"
