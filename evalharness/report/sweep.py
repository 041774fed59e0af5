"""sweep.json to what a reader sees of a sweep: its points as values, and the two tables that the terminal, the page and
docs/sweep.md share.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from evalharness.errors import UsageError
from evalharness.records.comparison import Estimate
from evalharness.report import wording

SWEEP, SCHEMA_VERSION = "sweep.json", 1
LOSS = "loss"  # of --select: the loss on the validation rows in place of a metric
REMARKS = "remarks"
TRAINED, DIVERGED, UNUSABLE = "trained", "diverged", "unusable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured of one candidate on one kind of rows. `metrics`: the target task's, by id; `gain`: by the one
    that decides.

    `suite`: mean difference of the gate units in units of skill, the target left out; `forgotten`: of how many `units`.
    """

    metrics: Mapping[str, float]
    gain: Estimate | None
    learned: bool | None
    suite: Estimate | None
    forgotten: tuple[str, ...]
    units: int


@dataclass(frozen=True, slots=True)
class Point:
    """One candidate of the grid. `series`: method and rank, of which one rate is chosen; `loss`: nats a completion
    token, validation rows.

    `made`: trainable, parameters, bytes, seconds, steps, examples of its training; `test`: of chosen ones only.
    """

    name: str
    series: str
    method: str
    rank: int | None
    learning_rate: float
    seed: int
    status: str
    reason: str = ""
    made: Mapping[str, float] = field(default_factory=dict)
    loss: float | None = None
    validation: Outcome | None = None
    test: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The rate that was chosen of a series, by `score`, the mean over its seeds on the validation rows."""

    series: str
    learning_rate: float
    score: float
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A whole sweep. `rows`: task to the split that was chosen on; `notices`: what a reader should know of it.

    `base_fingerprint`: of the base's content; "" in a sweep.json of before it was kept.
    """

    base: str
    task: str
    suite: str
    select: str
    rule: str
    rows: Mapping[str, str]
    points: tuple[Point, ...]
    chosen: tuple[Choice, ...] = ()
    notices: tuple[str, ...] = ()
    base_fingerprint: str = ""


def to_json(sweep: Sweep) -> str:
    """The content of sweep.json."""
    return (
        json.dumps({"schema_version": SCHEMA_VERSION, **asdict(sweep)}, indent=1, ensure_ascii=False, allow_nan=False)
        + "\n"
    )


def read_sweep(folder: Path) -> Sweep | None:
    """The sweep whose sweep.json lies in a folder; None where there is none. Raises UsageError for another file of that
    name.
    """
    path = folder / SWEEP
    if not path.is_file():
        return None
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
        if found.pop("schema_version") != SCHEMA_VERSION:
            raise UsageError(path, "a sweep of another version of evalharness", "give the command again")
        points = tuple(
            Point(**{**of, "validation": _outcome(of["validation"]), "test": _outcome(of["test"])})
            for of in found.pop("points")
        )
        chosen = tuple(Choice(**{**of, "names": tuple(of["names"])}) for of in found.pop("chosen"))
        return Sweep(**{**found, "points": points, "chosen": chosen, "notices": tuple(found["notices"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            path, f"not a sweep.json of evalharness ({type(error).__name__}: {error})", "give the command again"
        ) from error


def _outcome(of: Mapping[str, Any] | None) -> Outcome | None:
    if of is None:
        return None
    gain, suite = (None if of[key] is None else Estimate(**of[key]) for key in ("gain", "suite"))
    return Outcome(of["metrics"], gain, of["learned"], suite, tuple(of["forgotten"]), of["units"])


# ---- tables ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    """A title, what to know of it, column titles, and rows of as many texts; columns in `numbers` are set to the right,
    remarks are words.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def numbers(self) -> range:
        return range(1, len(self.columns) - (self.columns[-1] == REMARKS))


def tables(sweep: Sweep) -> list[Table]:
    """What was chosen, on test rows, and the whole grid, on validation rows."""
    return [table for table in (chosen_table(sweep), rate_table(sweep)) if table.rows]


def chosen_table(sweep: Sweep) -> Table:
    """One row a series at its chosen rate: the rank table of the LoRA paper with what was forgotten and what it
    cost.
    """
    by_name = {point.name: point for point in sweep.points}
    metrics = tuple(
        dict.fromkeys(
            metric for point in sweep.points for outcome in [point.test] if outcome for metric in outcome.metrics
        )
    )
    rows = []
    for choice in sweep.chosen:
        points = [by_name[name] for name in choice.names]
        tested = [point.test for point in points if point.test is not None]
        first = points[0]
        rows.append(
            (
                wording.one_line(first.method),
                wording.NONE if first.rank is None else str(first.rank),
                f"{choice.learning_rate:g}",
                wording.plain(mean(point.loss for point in points), 3),
                *(
                    _mean_of(tested, lambda outcome, metric=metric: outcome.metrics.get(metric), wording.plain)
                    for metric in metrics
                ),
                _gain(tested),
                _forgotten(tested),
                _mean_of(tested, lambda outcome: outcome.suite.value if outcome.suite else None, wording.signed),
                f"{round(mean(point.made.get('trainable') for point in points) or 0):,}",
                wording.in_bytes(mean(point.made.get("bytes") for point in points) or 0),
                wording.in_seconds(mean(point.made.get("seconds") for point in points) or 0),
            )
        )
    seeds = max((len(choice.names) for choice in sweep.chosen), default=0)
    over = f"means over {seeds} seeds" if seeds > 1 else "one seed"
    note = f"Test rows of {sweep.task}, {over}; each at the rate chosen on other rows. val_loss: nats a token of the answer, on the rows chosen on."
    columns = (
        "method",
        "rank",
        "rate",
        "val_loss",
        *metrics,
        "gain on the target",
        "forgotten",
        "suite, in skill",
        "trainable",
        "size",
        "training",
    )
    return Table("Chosen, on test rows", note, columns, tuple(rows))


def rate_table(sweep: Sweep) -> Table:
    """One row a series and rate: gain against forgetting, over seeds, on the rows that were chosen on."""
    chosen = {(choice.series, choice.learning_rate) for choice in sweep.chosen}
    rows, every = [], grouped(sweep)
    for (series, rate), points in every.items():
        found = [point.validation for point in points if point.validation is not None]
        learned = sum(outcome.learned is True for outcome in found)
        lost = [point for point in points if point.status != TRAINED]
        remarks = [_chosen(rate, [of for name, of in every if name == series])] if (series, rate) in chosen else []
        if learned < len(found):
            remarks.append(
                f"learned its target in {learned} of {len(found)} seeds" if learned else "did not learn its target"
            )
        for status in dict.fromkeys(point.status for point in lost):
            remarks.append(f"{status}: seed {', '.join(str(point.seed) for point in lost if point.status == status)}")
        rows.append(
            (
                series,
                f"{rate:g}",
                str(len(points)),
                _gain(found),
                _suite(found),
                _forgotten(found),
                wording.plain(mean(point.loss for point in points), 3),
                "; ".join(remarks),
            )
        )
    note = f"Rows that were chosen on, never test rows; mean over seeds and (smallest … largest), one seed with its interval. {sweep.rule}"
    columns = ("series", "rate", "seeds", "gain on the target", "suite, in skill", "forgotten", "val_loss", REMARKS)
    return Table("Every rate, on validation rows", note, columns, tuple(rows))


def _chosen(rate: float, rates: Sequence[float]) -> str:
    """A choice at an end of the rates that were tried: a better one may lie beyond."""
    end = "largest" if rate == max(rates) else "smallest" if rate == min(rates) else ""
    return f"chosen, the {end} tried" if end and len(rates) > 1 else "chosen"


def grouped(sweep: Sweep) -> dict[tuple[str, float], list[Point]]:
    """The points of each series and rate, in the order of the grid."""
    found: dict[tuple[str, float], list[Point]] = {}
    for point in sweep.points:
        found.setdefault((point.series, point.learning_rate), []).append(point)
    return found


def mean(values: Sequence[float | None] | Iterator[float | None]) -> float | None:
    """The mean of those that are there; None of none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _mean_of(
    outcomes: Sequence[Outcome], read: Callable[[Outcome], float | None], write: Callable[[float | None, int], str]
) -> str:
    value = mean([read(outcome) for outcome in outcomes])
    return write(value, wording.places_for((value,)))


def _over_seeds(estimates: Sequence[Estimate | None]) -> str:
    """ "+0.41 (+0.38 … +0.44)" of several seeds, "+0.41 [+0.36, +0.45]" of one."""
    known = [estimate for estimate in estimates if estimate is not None]
    if not known:
        return wording.NONE
    values = [estimate.value for estimate in known]
    places = wording.places_for(values)
    if len(known) == 1:
        return f"{wording.signed(values[0], places)} {wording.interval(known[0], places)}".strip()
    return f"{wording.signed(fmean(values), places)} ({wording.signed(min(values), places)} … {wording.signed(max(values), places)})"


def _gain(outcomes: Sequence[Outcome]) -> str:
    return _over_seeds([outcome.gain for outcome in outcomes])


def _suite(outcomes: Sequence[Outcome]) -> str:
    return _over_seeds([outcome.suite for outcome in outcomes])


def _forgotten(outcomes: Sequence[Outcome]) -> str:
    """ "3 of 12", "3–5 of 12" where seeds differ."""
    if not outcomes:
        return wording.NONE
    counts = sorted(len(outcome.forgotten) for outcome in outcomes)
    return f"{counts[0]}{f'–{counts[-1]}' if counts[-1] > counts[0] else ''} of {max(outcome.units for outcome in outcomes)}"


def lines_of(table: Table) -> Iterator[str]:
    """The table as Markdown."""
    yield f"### {table.title}"
    yield ""
    yield table.note
    yield ""
    yield f"| {' | '.join(table.columns)} |"
    yield "|" + "---|" * len(table.columns)
    for row in table.rows:
        yield f"| {' | '.join(cell.replace('|', '∣') for cell in row)} |"
