"""Tabulate a sweep for the terminal, the page and docs/sweep_world.md: the choices, and every learning rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from evalharness.records.comparison import Estimate
from evalharness.report import wording
from evalharness.report.sweep import PEAKS, TRAINED, Choice, Outcome, Point, Sweep, grouped
from evalharness.report.targets import why_unlearned
from evalharness.report.text_table import REMARKS, TextTable, from_rows

PUBLISHED = {  # a metric's name -> its title in the LoRA paper's rank table, and its decimals there
    "bleu": ("BLEU", 2),
    "nist": ("NIST", 4),
    "meteor": ("METEOR", 4),
    "rougeL": ("ROUGE_L", 4),
    "cider": ("CIDEr", 4),
}
LOSS_PLACES = 2


def tables(sweep: Sweep) -> list[TextTable]:
    """Return the tables of ranks and of choices, on test rows, and of the whole grid, on validation rows."""
    return [table for table in (rank_table(sweep), chosen_table(sweep), rate_table(sweep)) if table.rows]


def rank_table(sweep: Sweep) -> TextTable:
    """Return one row for each rank at its chosen rate, in the form of the LoRA paper, with the best marked; no rows if
    no series has a rank.
    """
    by_name = {point.name: point for point in sweep.points}
    ranked = {choice.series: [by_name[name] for name in choice.names] for choice in sweep.chosen}
    ranked = {series: points for series, points in ranked.items() if points[0].rank is not None}
    measured = {metric for points in ranked.values() for point in points if point.test for metric in point.test.metrics}
    order = list(PUBLISHED)
    metrics = sorted(measured, key=lambda metric: (order.index(_name(metric)) if _name(metric) in order else 9, metric))
    several = len({points[0].method for points in ranked.values()}) > 1
    rows = [
        {
            "rank": f"{points[0].method} {points[0].rank}" if several else str(points[0].rank),
            "val_loss": wording.plain(_mean(point.loss for point in points), LOSS_PLACES),
            **dict(_published(metric, points) for metric in metrics),
            REMARKS: _mark(series, sweep.best),
        }
        for series, points in ranked.items()
    ]
    return from_rows("Ranks, on test rows", sweep.best_rule or "No rank is marked.", rows)


def _name(metric: str) -> str:
    return metric.partition(",")[0]


def _published(metric: str, points: Sequence[Point]) -> tuple[str, str]:
    """Return the title of a metric's column, and its mean over seeds in the decimals of the paper."""
    score = _mean(point.test.metrics.get(metric) for point in points if point.test)
    title, places = PUBLISHED.get(_name(metric), (_name(metric), wording.places_for((score,))))
    return title + metric[len(_name(metric)) :], wording.plain(score, places)


def _mark(series: str, best: Sequence[str]) -> str:
    if series not in best:
        return ""
    return "● best" if series == best[0] else "● not separated from the best"


def chosen_table(sweep: Sweep) -> TextTable:
    """Return one row for each series at its chosen rate: scores, what was forgotten, and the cost."""
    by_name = {point.name: point for point in sweep.points}
    metrics = dict.fromkeys(metric for point in sweep.points if point.test for metric in point.test.metrics)
    rows = [_chosen_row(choice, [by_name[name] for name in choice.names], tuple(metrics)) for choice in sweep.chosen]
    seeds = max((len(choice.names) for choice in sweep.chosen), default=0)
    over = f"means over {seeds} seeds" if seeds > 1 else "one seed"
    note = (
        f"Test rows of {sweep.task}, {over}; each at the rate chosen on other rows. "
        "val_loss: nats a token of the answer, on the rows chosen on."
    )
    return from_rows("Chosen, on test rows", note, rows)


def _chosen_row(choice: Choice, points: Sequence[Point], metrics: Sequence[str]) -> dict[str, str]:
    tested = [point.test for point in points if point.test is not None]
    suite = _mean(outcome.suite.value for outcome in tested if outcome.suite)
    cost = {key: _mean(point.made.get(key) for point in points) or 0 for key in ("trainable", "bytes", "seconds")}
    return {
        "method": wording.one_line(points[0].method),
        "rank": wording.NONE if points[0].rank is None else str(points[0].rank),
        "rate": f"{choice.learning_rate:g}",
        "val_loss": wording.plain(_mean(point.loss for point in points)),
        **dict(_published(metric, points) for metric in metrics),
        "gain on the target": _over_seeds(outcome.gain for outcome in tested),
        "forgotten": _forgotten(tested),
        "suite, in margins": wording.signed(suite, wording.IN_MARGINS),
        "trainable": f"{round(cost['trainable']):,}",
        "size": wording.in_bytes(cost["bytes"]),
        "training": wording.in_seconds(cost["seconds"]),
        "tokens/s": _text(_mean(point.made.get("tokens_per_second") for point in points), "{:,.0f}".format),
        "peak memory": _text(_mean(map(_peak, points)), wording.in_bytes),
    }


def _text(value: float | None, text: Callable[[float], str]) -> str:
    return wording.NONE if value is None else text(value)


def _peak(point: Point) -> float | None:
    """Return the peak memory of a training: of its device if it had one, else of the process."""
    return next((point.made[key] for key in PEAKS if key in point.made), None)


def rate_table(sweep: Sweep) -> TextTable:
    """Return one row for each series and rate: gain against forgetting, over seeds, on the validation rows that
    choose.
    """
    every = grouped(sweep)
    choices = {(choice.series, choice.learning_rate) for choice in sweep.chosen}
    rows = []
    for (series, rate), points in every.items():
        measured = [point.validation for point in points if point.validation is not None]
        rates = [tried for name, tried in every if name == series]
        remarks = [_choice_remark(rate, rates)] if (series, rate) in choices else []
        row = {
            "series": series,
            "rate": f"{rate:g}",
            "seeds": str(len(points)),
            "gain on the target": _over_seeds(outcome.gain for outcome in measured),
            "suite, in margins": _over_seeds((outcome.suite for outcome in measured), wording.IN_MARGINS),
            "forgotten": _forgotten(measured),
            "val_loss": wording.plain(_mean(point.loss for point in points)),
            REMARKS: "; ".join([*remarks, *_not_learned(measured), *_failed(points)]),
        }
        rows.append(row)
    note = (
        "Rows that were chosen on, never test rows; "
        f"mean over seeds and (smallest … largest), one seed with its interval. {sweep.rule}"
    )
    return from_rows("Every rate, on validation rows", note, rows)


def _choice_remark(rate: float, rates: Sequence[float]) -> str:
    """Return the remark on a chosen rate. If it is the lowest or the highest that was tried, a better one may lie
    beyond.
    """
    end = "largest" if rate == max(rates) else "smallest" if rate == min(rates) else ""
    return f"chosen, the {end} tried" if end and len(rates) > 1 else "chosen"


def _not_learned(measured: Sequence[Outcome]) -> list[str]:
    learned, refuted = (sum(outcome.learned is which for outcome in measured) for which in (True, False))
    if learned == len(measured):
        return []
    why = next(filter(None, (why_unlearned(outcome.gain) for outcome in measured)), "")
    never = f"did not learn its target{why}" if refuted == len(measured) else "not shown to have learned its target"
    return [f"learned its target in {learned} of {len(measured)} seeds" if learned else never]


def _failed(points: Sequence[Point]) -> list[str]:
    """Return the seeds that could not be trained or used, as one text for each status."""
    seeds: dict[str, list[str]] = {}
    for point in points:
        if point.status != TRAINED:
            seeds.setdefault(point.status, []).append(str(point.seed))
    return [f"{status}: seed {', '.join(of)}" for status, of in seeds.items()]


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are not None; None if there are none."""
    numbers = [value for value in values if value is not None]
    return fmean(numbers) if numbers else None


def _over_seeds(estimates: Iterable[Estimate | None], places: int | None = None) -> str:
    """Return several seeds as "+0.41 (+0.38 … +0.44)", one seed as "+0.41 [+0.36, +0.45]". `places`: decimals; None: as
    many as needed.
    """
    measured = [estimate for estimate in estimates if estimate is not None]
    if not measured:
        return wording.NONE
    values = [estimate.value for estimate in measured]
    places = wording.places_for(values) if places is None else places
    if len(measured) == 1:
        return wording.with_interval(measured[0], places)
    mean, least, most = (wording.signed(value, places) for value in (fmean(values), min(values), max(values)))
    return f"{mean} ({least} … {most})"


def _forgotten(outcomes: Sequence[Outcome]) -> str:
    """Return the number of forgotten tasks as text: "3 of 12", or "3–5 of 12" if seeds differ."""
    if not outcomes:
        return wording.NONE
    counts = sorted(len(outcome.forgotten) for outcome in outcomes)
    span = f"–{counts[-1]}" if counts[-1] > counts[0] else ""
    return f"{counts[0]}{span} of {max(outcome.units for outcome in outcomes)}"
