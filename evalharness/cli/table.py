"""Results to the lines that a terminal or a CI log shows: a table of verdicts per candidate."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from evalharness.analysis.diagnosis import lost
from evalharness.cli.main import plain
from evalharness.metrics import CHOOSE
from evalharness.records.comparison import Adjustment, Comparison, Estimate, Flag, Level
from evalharness.records.results import ModelRow, Results
from evalharness.report import early_stopping_table
from evalharness.report.references import noise_floor, quantisation
from evalharness.report.wording import flag_words, general_of
from evalharness.stats.enums import Verdict

GLYPHS = {
    Verdict.FORGOTTEN: "▼ forgotten",
    Verdict.RETAINED: "● retained",
    Verdict.INCONCLUSIVE: "? inconclusive",
    None: "",
}
HEAD = ("", "n", "base", "candidate", "difference", "interval", "lost", "gained", "verdict")
INTERVAL = HEAD.index("interval")
REASONS = (
    Flag.BASE_AT_CHANCE,
    Flag.MARGIN_EXCEEDS_SKILL,
    Flag.INCOMPLETE,
    Flag.SUITE_NOT_TESTED,
)  # flags that say why there is no other verdict
RIGHT = range(1, 8)  # columns of numbers
MANY = 8  # members of a gate unit; more are shown as their group alone


def verdict_lines(results: Results) -> Iterator[str]:
    """A table per candidate: the suite first, then groups, then tasks; of large groups only the group. Then the suite's
    published average.
    """
    units = {c.task for c in results.comparisons if c.unit and c.level == Level.GROUP}
    large = {
        name: set(tasks)
        for name, tasks in results.signature.get("groups", {}).items()
        if name in units and len(tasks) > MANY
    }
    folded = set().union(*large.values())
    for model in results.models:
        if not model.judged:
            continue
        own = [c for c in results.comparisons if c.candidate == model.name]
        rows = [c for c in own if c.level == Level.FAMILY or (c.primary and c.task not in folded - {model.target_task})]
        rows.sort(key=lambda c: (Level.SUITE, Level.FAMILY, Level.GROUP, Level.TASK).index(c.level))
        yield ""
        yield headline(model)
        yield from (f"  {line}" for line in aligned([_head(rows), *(_row(c, model) for c in rows)], RIGHT))
        yield from (plain(f"  the {len(tasks)} tasks of {name} are in the report") for name, tasks in large.items())
        yield from (plain(f"  {line}") for line in _notes(own, results.signature.get("alpha", 0.05)))
        yield from (
            plain(f"  {found.task}: {found.says}") for found in results.diagnoses if found.candidate == model.name
        )
    if in_rounds := list(early_stopping_table.sentences(results)):
        yield ""
        yield from (plain(line) for line in in_rounds)
    yield from _beside(results)
    if results.errors:
        yield ""
        yield f"{len(results.errors)} examples got no answer; this run is incomplete:"
        for example_error in results.errors[:5]:
            yield plain(
                f"  {example_error.model} / {example_error.task} / {example_error.example}: {example_error.reason}"
            )


def unexplained(results: Results) -> Iterator[str]:
    """How to find out what was lost, where choices were and nobody was asked; nothing else."""
    explained = {(found.task, found.candidate) for found in results.diagnoses}
    units = [
        c
        for c in results.comparisons
        if c.unit and c.primary and c.level != Level.SUITE and c.metric.partition(",")[0] in CHOOSE
    ]
    tasks = dict.fromkeys(plain(c.task) for c in units if lost(c) and (c.task, c.candidate) not in explained)
    if tasks and not results.signature.get("explain"):
        yield ""
        yield f"knowledge or format? The same command with --explain asks once more about {', '.join(tasks)}."


def _notes(own: Sequence[Comparison], alpha: float) -> Iterator[str]:
    """What is said below a candidate's table: parts of gate units, general ability, the published average."""
    parts = [c for c in own if c.adjustment == Adjustment.BENJAMINI_HOCHBERG]
    if parts:
        counts = [
            sum(q is not None and q <= alpha for q in of)
            for of in ([c.q_forgotten for c in parts], [c.q_difference for c in parts])
        ]
        told = f"{counts[0]} fell by more than the margin, {counts[1]} differ from the base"
        yield f"of {len(parts)} tasks within gate units {told} at q ≤ {alpha:g} (Benjamini-Hochberg; they decide nothing)"
    for c in own:
        if c.general is not None:
            interval = _interval(Estimate(c.general.value, c.general.low, c.general.high))
            yield f"general ability: {_signed(c.general.value)} ({interval}), the mean over {general_of(c.general)} (no verdict)"
        if c.level == Level.SUITE and not c.primary:
            scores = f"base {_score(c.base)}, candidate {_score(c.candidate_score)}, difference {_signed(c.difference.value)}"
            yield f"{c.metric}: {scores} (published average; no verdict)"


def _beside(results: Results) -> Iterator[str]:
    """What was measured beside the candidates."""
    if floor := noise_floor(results):
        yield ""
        yield plain(floor)
    if found := quantisation(results):
        yield ""
        yield plain(found.says)
        head = ("", "n", "quantised", "unquantised", "difference", "interval")
        rows = [
            (plain(c.task), str(c.n), c.scores.base, c.scores.candidate, c.scores.difference, c.scores.interval or "–")
            for c in found.changes
            if c.level != Level.SUITE
        ]
        yield from (f"  {line}" for line in aligned([head, *rows], range(1, len(head))))


def _head(rows: Sequence[Comparison]) -> tuple[str, ...]:
    """The column titles, with the coverage that the intervals have (90 % at α = 0.05)."""
    levels = sorted({f"{100 * c.ci_level:.4g} %" for c in rows})
    return (*HEAD[:INTERVAL], " ".join((*levels, HEAD[INTERVAL])), *HEAD[INTERVAL + 1 :])


def headline(model: ModelRow) -> str:
    if not model.parameters:
        return plain(f"{model.name} ({model.kind})")
    share = "all" if model.trainable == model.parameters else f"{model.trainable_share:.2%}"
    line = f"{model.name} ({model.kind}, {model.trainable:,} parameters trained, {share} of the model)"
    if model.target_gain is not None:
        target = f"its target {model.target_task} ({_signed(model.target_gain.value)})"
        known = f"learned {target}" if model.learned_target else f"did not learn {target}"
        line += ": " + (f"whether it learned {target} cannot be told" if model.learned_target is None else known)
    return plain(line)


def _row(c: Comparison, model: ModelRow) -> tuple[str, ...]:
    name = c.task + ("" if c.level == Level.TASK else f" ({c.level})")
    name += " (target)" if c.task == model.target_task else ""
    verdict = GLYPHS[c.verdict] + ("" if c.unit or c.level in (Level.FAMILY, Level.SUITE) else " (describes)")
    if c.verdict == Verdict.INCONCLUSIVE and c.examples_needed:
        verdict += f" (about {c.examples_needed:,} examples would decide)"
    verdict += "".join(f" ({flag_words(flag)[0]})" for flag in c.flags if flag in REASONS)
    counts = ("–", "–") if c.lost is None else (str(c.lost), str(c.gained))
    scores = (
        (_score(c.base), _score(c.candidate_score), _signed(c.difference.value)) if c.n else ("–", "–", "–")
    )  # nothing is no score
    return (plain(name), _asked(c), *scores, _interval(c.difference), *counts, verdict)


def _asked(c: Comparison) -> str:
    """Units compared; of how many, where they were stopped early."""
    return (
        f"{c.n} of {c.stopping.planned}" if c.stopping and c.stopping.stopped and c.level != Level.FAMILY else str(c.n)
    )


def _score(estimate: Estimate) -> str:
    return f"{estimate.value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _interval(estimate: Estimate) -> str:
    return (
        "–" if estimate.low is None or estimate.high is None else f"{_signed(estimate.low)} … {_signed(estimate.high)}"
    )


def aligned(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> Iterator[str]:
    """Rows of equally many cells as lines with columns as wide as their widest cell; those in `right` are set to the
    right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
