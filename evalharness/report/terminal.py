"""Show a run's results as lines for a terminal or a CI log: a table of verdicts for each candidate, and remarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalharness.analysis import diagnosis_rule
from evalharness.analysis.number_text import coverage, signed
from evalharness.analysis.number_text import plain as number
from evalharness.analysis.phrases import engine_noise, leaning, undecided_reasons
from evalharness.records.comparison import MARGINS, Adjustment, Comparison, Estimate, Flag, Level, MeanDifference
from evalharness.records.results import ModelRow, Results
from evalharness.report import answers, drift, drift_forecast, early_stopping_table, overlap, wordings
from evalharness.report.escape import plain
from evalharness.report.flags import flag_words, shown_flags
from evalharness.report.order import groups_of
from evalharness.report.references import noise_text, quantisation
from evalharness.report.targets import why_learning_unknown, why_unlearned
from evalharness.report.text_table import aligned, inner
from evalharness.report.wording import IN_MARGINS, NONE, VERDICTS, beside_mean, finer, general_of, listed, nothing_shown

REASONS = (  # flags that explain a verdict, stop the gate, or say that base and candidate were asked differently
    Flag.SUSPECT,
    Flag.BASE_AT_CHANCE,
    Flag.MARGIN_EXCEEDS_SKILL,
    Flag.NO_RANGE,
    Flag.INCOMPLETE,
    Flag.SUITE_NOT_TESTED,
    Flag.PROMPTS_DIFFER,
    Flag.DECODED_DIFFERENTLY,
    Flag.MIXED_ENGINES,
)
ORDER = (Level.SUITE, Level.FAMILY, Level.GROUP, Level.TASK)
RIGHT = range(1, 8)  # columns of numbers
SPARE = (6, 7, 1, 2, 3, 5)  # columns that a narrow terminal does not show: counts first, the interval last
MANY = 8  # members of a gate unit; more are shown as their group alone
FEW_ERRORS = 5


def run_lines(results: Results, width: int | None = None) -> Iterator[str]:
    """Yield all lines at the end of a run: verdicts, a hint at `--explain`, overlap, drift and its forecast. Tables fit
    into `width` columns.
    """
    yield from verdict_lines(results, width)
    yield from unexplained(results)
    yield from map(plain, overlap.lines(results))
    yield from drift.lines(results)
    yield from drift_forecast.lines(results)


def verdict_lines(results: Results, width: int | None = None) -> Iterator[str]:
    """Yield a table for each candidate that fits into `width` columns, then the reference models, and what failed.

    A table shows the suite first, then groups, then tasks. The tasks of a large group are left out.
    """
    for model in results.models:
        if model.judged:
            yield from ("", model_line(model))
            yield from (f"  {line}" for line in _of_candidate(results, model, inner(width)))
    if in_rounds := list(early_stopping_table.sentences(results)):
        yield from ("", *map(plain, in_rounds))
    yield from _references(results)
    if results.errors:
        yield from ("", f"{len(results.errors)} examples got no answer; this run is incomplete:")
    for error in results.errors[:FEW_ERRORS]:
        yield plain(f"  {error.model} / {error.task} / {error.example}: {error.reason}")


def _of_candidate(results: Results, model: ModelRow, width: int | None) -> Iterator[str]:
    units = {c.task for c in results.comparisons if c.unit and c.level == Level.GROUP}
    large = {name: tasks for name, tasks in groups_of(results).items() if name in units and len(tasks) > MANY}
    hidden = {task for tasks in large.values() for task in tasks} - {model.target_task}
    own = [c for c in results.comparisons if c.candidate == model.name]
    rows = [c for c in own if c.level == Level.FAMILY or (c.primary and c.task not in hidden)]
    rows.sort(key=lambda c: ORDER.index(c.level))
    yield from aligned([_titles(rows), *(_row(c, model) for c in rows)], RIGHT, width, SPARE)
    yield from (plain(f"the {len(tasks)} tasks of {name} are in the report") for name, tasks in large.items())
    if unchanged := results.signature.get("unchanged", {}).get(model.name):
        yield plain(f"{model.name} changes nothing: {unchanged}")
    yield from map(plain, answers.sentences(own, groups_of(results)))
    yield from map(plain, _notes(own, results.signature.get("alpha", 0.05)))
    yield from (plain(f"{listed(tasks)}: {words}") for words, tasks in undecided_reasons(rows).items())
    for diagnosis in results.diagnoses:
        if diagnosis.candidate == model.name:
            yield plain(f"{diagnosis.task}: {diagnosis.says}")
    yield from map(plain, wordings.sentences(results, model.name))


def unexplained(results: Results) -> Iterator[str]:
    """Yield a hint at `--explain` if tasks of choice were lost and the option was not given."""
    tasks = diagnosis_rule.unexplained(results)
    if tasks and not results.signature.get("explain"):
        yield ""
        yield f"knowledge or format? The same command with --explain asks once more about {plain(', '.join(tasks))}."


def _notes(own: Sequence[Comparison], alpha: float) -> Iterator[str]:
    """Yield the notes below a candidate's table: the suite's median unit, parts of gate units, general ability, the
    published average.
    """
    for c in own:
        if c.level == Level.SUITE and c.primary and c.difference is not None and (beside := beside_mean(c)):
            yield f"over {c.task}, beside the verdict: {', '.join(beside)}"
    parts = [c for c in own if c.adjustment == Adjustment.BENJAMINI_HOCHBERG]
    if parts:
        fell, differ = (
            sum(q is not None and q <= alpha for q in values)
            for values in ([c.q_forgotten for c in parts], [c.q_difference for c in parts])
        )
        yield (
            f"of {len(parts)} tasks within gate units {fell} fell by more than the margin, {differ} differ from the "
            f"base at q ≤ {alpha:g} (Benjamini-Hochberg; they decide nothing)"
        )
    for c in own:
        if reason := nothing_shown(c.general):
            yield f"general ability: not shown, {reason}"
        elif c.general is not None:
            yield (
                f"general ability: {signed(c.general.value)} ({_interval(c.general)}), "
                f"the mean over {general_of(c.general, c)} (no verdict)"
            )
        if c.level == Level.SUITE and not c.primary:
            base, candidate, difference = _scores(c)
            yield (
                f"{c.metric}: base {base}, candidate {candidate}, difference {difference} "
                "(published average; no verdict)"
            )


def _references(results: Results) -> Iterator[str]:
    """Yield the lines on the reference models."""
    if noise := noise_text(results):
        yield from ("", plain(noise))
    if change_table := quantisation(results):
        yield from ("", plain(change_table.says))
        titles = ("", "n", "quantised", "unquantised", "difference", "interval")
        changes = [(change, change.scores) for change in change_table.changes if change.level != Level.SUITE]
        rows = [
            (change.task, str(change.n), scores.base, scores.candidate, scores.difference, scores.interval or NONE)
            for change, scores in changes
        ]
        yield from (f"  {line}" for line in aligned([titles, *rows], range(1, len(titles))))


def _titles(rows: Sequence[Comparison]) -> tuple[str, ...]:
    """Return the column titles, with the coverage that the intervals have (90 % at α = 0.05)."""
    levels = sorted({coverage(c.ci_level) for c in rows})
    interval = " ".join((*levels, "interval"))
    return ("", "n", "base", "candidate", "difference", interval, "lost", "gained", "verdict")


def model_line(model: ModelRow) -> str:
    """Return one line on the candidate: its name, its size, and whether it learned its target."""
    line = f"{model.name} ({model.kind})"
    if model.parameters and model.trainable is not None:
        share = "all" if model.trainable == model.parameters else f"{model.trainable_share:.2%}"
        line = f"{model.name} ({model.kind}, {model.trainable:,} parameters trained, {share} of the model)"
    if model.target_gain is not None:
        target = f"its target {model.target_task} ({signed(model.target_gain.value)})"
        words = (
            f"learned {target}" if model.learned_target else f"did not learn {target}{why_unlearned(model.target_gain)}"
        )
        line += ": " + (
            f"whether it learned {target} {why_learning_unknown(model)}" if model.learned_target is None else words
        )
    return plain(line)


def _row(c: Comparison, model: ModelRow) -> tuple[str, ...]:
    name = c.task + ("" if c.level == Level.TASK else f" ({c.level})")
    name += " (target)" if c.task == model.target_task else ""
    verdict = f"{VERDICTS[c.verdict][0]} {c.verdict}" if c.verdict else ""
    verdict += f", {leans}" if (leans := leaning(c)) else ""
    verdict += "" if c.unit or c.level in (Level.FAMILY, Level.SUITE) else " (describes)"
    verdict += "".join(f" ({flag_words(flag).words})" for flag in shown_flags(c) if flag in REASONS)
    verdict += f", {noise}" if c.verdict and (noise := engine_noise(c)) else ""
    counts = (NONE, NONE) if c.lost is None else (str(c.lost), str(c.gained))
    return (name, _units(c), *_scores(c), _interval(c.difference, _places(c)), *counts, verdict)


def _units(c: Comparison) -> str:
    """Return the number of units compared; "45 of 300" if the row was stopped early."""
    stopped = c.stopping is not None and c.stopping.stopped and c.level != Level.FAMILY
    return f"{c.n} of {c.stopping.planned}" if c.stopping and stopped else str(c.n)


def _scores(c: Comparison) -> tuple[str, str, str]:
    base, candidate = (NONE if score is None else number(score.value) for score in (c.base, c.candidate_score))
    unit = " margins" if c.metric == MARGINS else ""
    return base, candidate, NONE if c.difference is None else f"{signed(c.difference.value, _places(c))}{unit}"


def _places(c: Comparison) -> int:
    return finer(IN_MARGINS if c.metric == MARGINS else 3, [c.difference])


def _interval(estimate: Estimate | MeanDifference | None, places: int = 3) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return NONE
    return f"{signed(estimate.low, places)} … {signed(estimate.high, places)}"
