"""Tabulate the change of the suite that candidates' drift forecasts, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from evalharness.analysis.drift_forecast import COVERAGE
from evalharness.analysis.number_text import coverage
from evalharness.records.comparison import Estimate, Level
from evalharness.records.results import DriftForecast, Results
from evalharness.report import wording
from evalharness.report.drift import LONGEST
from evalharness.report.escape import plain
from evalharness.report.text_table import aligned

WAIVER = (
    "from the drift and loss of other candidates of this base: no verdict, the gate does not use it, and it cannot say "
    "which task is lost"
)
NOTHING_JUDGED = (
    "Nothing was judged: drift alone was measured (--drift-only), no task was answered, and the gate ends with 5"
)
TEXTS = {"neutral": "neutral text", "outputs": "the base's own outputs", "inputs": "inputs of the target"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftForecastRow:
    """One candidate's forecast of its change over the suite. `cells`: forecast, its interval, and the measured value
    (words if there is none); empty if `reason` says why there is no forecast. `notes`: what makes the forecast less
    sure.
    """

    model: str
    cells: tuple[str, ...]
    reason: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftForecastTable:
    """The forecasts of all candidates. `level`: coverage of the intervals. `waiver`: a sentence that forecasts decide
    nothing. `basis`: sentences on the data behind them.
    """

    suite: str
    level: str
    waiver: str
    basis: tuple[str, ...]
    rows: tuple[DriftForecastRow, ...]


def table(results: Results) -> DriftForecastTable | None:
    """Return the table of a run's forecasts; None if drift was not measured, or there is no table to forecast from."""
    forecasts = results.drift_forecasts
    if not forecasts:
        return None
    suite = wording.one_line(forecasts[0].suite or "the suite", LONGEST)
    basis = dict.fromkeys(_basis(forecast) for forecast in forecasts if forecast.change is not None)
    return DriftForecastTable(
        suite=suite,
        level=coverage(COVERAGE),
        waiver=WAIVER,
        basis=tuple(basis),
        rows=tuple(_row(results, forecast) for forecast in forecasts),
    )


def lines(results: Results) -> Iterator[str]:
    """Yield the table as terminal lines. If only drift was measured, a first line says that nothing was judged."""
    if results.signature.get("drift_only"):
        yield from ("", NOTHING_JUDGED)
    if (forecasts := table(results)) is None:
        return
    yield from ("", f"forecast of {plain(forecasts.suite)}, its change in margins ({forecasts.waiver})")
    titles = ("", "forecast", f"{forecasts.level} interval", "measured")
    if rows := [(row.model, *row.cells) for row in forecasts.rows if row.cells]:
        yield from (f"  {line}" for line in aligned([titles, *rows], range(1, len(titles))))
    yield from (plain(f"  {row.model}: no forecast: {row.reason}") for row in forecasts.rows if not row.cells)
    yield from (plain(f"  {row.model}: {note}") for row in forecasts.rows for note in row.notes)
    yield from (plain(f"  {sentence}") for sentence in forecasts.basis)


def _basis(forecast: DriftForecast) -> str:
    texts = wording.listed([TEXTS[kind] for kind in forecast.kinds])
    of = wording.counted(forecast.n, "candidate")
    return f"fitted on {of} of this base (table {forecast.table[:8]}), from the drift on {texts}"


def _row(results: Results, forecast: DriftForecast) -> DriftForecastRow:
    name = wording.one_line(forecast.model, LONGEST)
    reason = wording.one_line(forecast.reason, 5 * LONGEST)
    notes = tuple(wording.one_line(note, 5 * LONGEST) for note in forecast.notes)
    if forecast.change is None:
        return DriftForecastRow(model=name, cells=(), reason=reason, notes=notes)
    measured = _measured(results, forecast.model)
    cells = (
        _margins(forecast.change.value),
        wording.interval(forecast.change, wording.IN_MARGINS) or "none",
        wording.NONE if measured is None else _margins(measured.value),
    )
    return DriftForecastRow(model=name, cells=cells, reason="", notes=notes)


def _measured(results: Results, candidate: str) -> Estimate | None:
    suites = (c for c in results.comparisons if c.level == Level.SUITE and c.primary and c.candidate == candidate)
    return next((c.difference for c in suites), None)


def _margins(value: float) -> str:
    return wording.signed(value, wording.IN_MARGINS)
