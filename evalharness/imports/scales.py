"""Determine the direction, chance level and range of an imported metric.

The user's statements count first, then a table's columns or the log, then what is known of the metric's name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from evalharness import registry
from evalharness.errors import NotComparableError, UsageError, did_you_mean
from evalharness.imports.logged import LoggedTask, MetricStatement, ModelLog, plain_name
from evalharness.metrics import LOWER_IS_BETTER, REGISTRY, ROUGE
from evalharness.records.measurements import MetricFacts
from evalharness.records.tasks import Task
from evalharness.tasks.metadata import NO_SKILL

Statements = Mapping[str, MetricStatement]  # by metric, or by task: then of the metric that decides there

HIGHER_IS_BETTER = {"score", "accuracy", "correct"}
WITHOUT_END = {
    *("perplexity", "word_perplexity", "byte_perplexity", "ppl", "loss", "nll", "cross_entropy", "bits_per_byte"),
    *("wer", "cer", "mer", "ter", "mae", "mse", "rmse", "length", "nist"),
}
WIDER = {  # ends of scores that may all lie between 0 and 1 by luck
    **dict.fromkeys(("mcc", "matthews_correlation", "matthews_corrcoef", "pearson", "spearman"), (-1.0, 1.0)),
    "brier_score": (0.0, 2.0),
}
FROM_ZERO = {  # metrics with chance level 0; that of an accuracy depends on the number of choices
    *("exact_match", "em", "f1", "token_f1", "mcc", "matthews_correlation", "matthews_corrcoef", "pearson", "spearman"),
    *(*ROUGE, "bleu", "chrf", "chrf++", "meteor", "cider", "nist", "pass@1"),
}
SHARES = {*FROM_ZERO, *HIGHER_IS_BETTER, "acc", "acc_norm", "error", "error_rate"}  # also written from 0 to 100
STATE = "--metric {}:low=LOWEST,high=HIGHEST"


class Scale(NamedTuple):
    """The scale of a metric. `chance` is None if it is unknown; `low` and `high` are None if the range is unbounded."""

    higher_is_better: bool
    chance: float | None
    low: float | None
    high: float | None


def merged_statement(
    task: LoggedTask, metric: str, ours: Task | None, statements: Statements, decides: bool
) -> MetricStatement:
    """Merge the statements about a task's metric.

    Those of the user count first, then those of the log or the columns, then those of `ours`, our task file of that
    name.
    """
    of_names = (statements.get(name, MetricStatement()) for name in (plain_name(metric), metric))
    of_task = statements.get(task.name, MetricStatement()) if decides else MetricStatement()
    merged = MetricStatement() if ours is None or metric != ours.primary else MetricStatement(chance=ours.chance)
    for statement in (task.stated.get(metric, MetricStatement()), *of_names, of_task):
        merged = {**merged, **statement}
    return merged


def settle_scale(name: str, usual: tuple[bool, float | None, float | None], statement: MetricStatement) -> Scale:
    """Determine the scale of a metric. `usual` is used if nothing is stated: whether higher is better, and the ends."""
    higher = statement.get("higher_is_better", usual[0])
    chance = NO_SKILL.get(name, 0.0 if name in FROM_ZERO and higher else None)
    return Scale(
        higher, statement.get("chance", chance), statement.get("low", usual[1]), statement.get("high", usual[2])
    )


def check(where: str, scale: Scale, values: Sequence[float] = ()) -> None:
    """Raise UsageError unless scores and chance are within the ends of the range."""
    low = float("-inf") if scale.low is None else scale.low
    high = float("inf") if scale.high is None else scale.high
    ends = f"{low:g} to {high:g}"
    if low >= high:
        raise UsageError(where, f"its range is {ends}", f"two ends would be right: {STATE.format('METRIC')}")
    outside = next((value for value in values if not low <= value <= high), None)
    if outside is not None:
        raise UsageError(
            where, f"has the score {outside:g}, and its range is {ends}", "state ends that hold all scores"
        )
    if scale.chance is not None and not low <= scale.chance <= high:
        raise UsageError(where, f"its chance is {scale.chance:g}, and its range is {ends}", "state one within it")


def ends_of(name: str, least: float, most: float) -> tuple[float | None, float | None]:
    """Return the ends of a metric's range by its name, and by its least and largest score."""
    if name in WITHOUT_END:
        return (0.0 if least >= 0 else None), None
    low, high = WIDER.get(name, (0.0, 1.0))
    if low <= least and most <= high:
        return low, high
    return (0.0, 100.0) if name in SHARES and least >= 0 and most <= 100 else (None, None)


def notices_of(task: str, metric: MetricFacts, statement: MetricStatement, decides: bool) -> Iterator[str]:
    """Yield notices about what was assumed about a metric.

    One notice is about a metric without bounds: its task can be “forgotten”, never “retained”.
    """
    name = plain_name(metric.id)
    names = LOWER_IS_BETTER | HIGHER_IS_BETTER | FROM_ZERO | set(registry.names(REGISTRY, "metric"))
    if "higher_is_better" not in statement and name not in names:
        state = f"--metric {name}:higher_is_better=no"
        yield f"{task}: {metric.id} is assumed to be better when higher; if not: {state}"
    if decides and (metric.low is None or metric.high is None):
        state = f"if it is bounded: {STATE.format(name)}"
        yield f"{task}: nothing bounds {metric.id}, so that it can be forgotten and never retained; {state}"


def without_chance(unknown: Mapping[str, str]) -> Iterator[str]:
    """Yield a notice about tasks whose chance level is unknown. `unknown` maps a task to its metric."""
    if unknown:
        state = f"--metric {plain_name(next(iter(unknown.values())))}:chance=SCORE, or a column `chance`"
        tasks = ", ".join(f"{task} ({metric})" for task, metric in unknown.items())
        yield f"chance is unknown, so these show no skill of the base: {tasks}; state it: {state}"


def check_names(base: ModelLog, statements: Statements) -> None:
    """Raise UsageError for statements that name no task or metric of the base's log."""
    names = {name for task in base.tasks.values() for metric in task.answers for name in (metric, plain_name(metric))}
    for name in statements:
        if name not in names | base.tasks.keys():
            what = f"no metric or task of {base.name} is named {name!r}"
            raise UsageError("--metric", what, did_you_mean(name, names | base.tasks.keys()))


def check_alike(metric: str, tasks: Sequence[LoggedTask], names: Collection[str]) -> None:
    """Raise NotComparableError if logs state different things about one metric."""
    for key in ("higher_is_better", "low", "high"):
        if len({str(task.stated.get(metric, {}).get(key)) for task in tasks}) > 1:
            what = f"the logs of {', '.join(names)} state different {key} of {metric} of {tasks[0].name}"
            raise NotComparableError("compare", what, "give them the same, or leave it to --metric")
