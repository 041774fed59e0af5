"""Say in words what a comparison could decide: a table, advice, the odds of the gate, and the cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from evalharness.experiments.cost import TaskCost
from evalharness.experiments.forecast import Forecast, ForecastRow
from evalharness.records.comparison import Level
from evalharness.report.text_table import aligned
from evalharness.results.files import to_json
from evalharness.stats.forecast import WHY, Blocker
from evalharness.stats.gate_forecast import GateOdds
from evalharness.stats.verdict import SKILL_SHARE

TITLES = ("", "units", "of", "worth", "metric", "margin", "base", "flips", "certifies", "detects", "needs", "retained")
EXPECTED = "to be expected"
RIGHT = (1, 2, 3, 5, 6, 7, 8, 9, 10, 11)  # columns of numbers
LEGEND = (
    "certifies: the smallest margin that comes out retained if nothing is lost; "
    "detects: the smallest true drop that comes out forgotten;",
    "needs: units that certify the margin; retained: how often the margin is certified if nothing is lost; "
    "worth: independent units;",
    "base: its score, or from which score on the margin is small against what the base can do",
)
SIMULATED = (
    "simulated (~): drawn again from rows, with 60 to 300 draws; "
    "a drop is taken to come about by more changes being losses"
)


def document(forecast: Forecast) -> str:
    """Write a forecast as the content of plan.json."""
    return to_json({**forecast.document(), "advice": list(advice(forecast))})


def lines(forecast: Forecast) -> Iterator[str]:
    """Yield the lines that the terminal shows."""
    yield (
        f"{forecast.suite}: what {forecast.tests} gate units can decide "
        f"(power {forecast.power:g}, error rate {forecast.alpha:g})"
    )
    yield f"  {_assumption(forecast)}"
    rows = [(*TITLES, EXPECTED), *map(_cells, forecast.rows)]
    yield from (f"  {line}" for line in (*aligned(rows, RIGHT), *LEGEND))
    if any(row.draws for row in forecast.rows):
        yield f"  {SIMULATED}"
    if forecast.describing:
        yield f"  no gate units, so not here: {', '.join(forecast.describing)}"
    sentences = list(advice(forecast))
    yield from ("", *sentences) if sentences else ()
    yield ""
    yield from _gate(forecast)
    if forecast.work:
        yield ""
        yield from _costs(forecast.work, forecast.loading)
    yield from (f"note: {notice}" for notice in forecast.notices)


def _assumption(forecast: Forecast) -> str:
    assumed = (
        f"{100 * forecast.flips:.3g}% of the answers change, as many for the better as for the worse; "
        f"the base is {forecast.skill:.0%} of the way from chance to perfect"
    )
    if forecast.earlier is None:
        return f"assumed, not known: {assumed}. An earlier run would say (--from)"
    rest = f"; where it says nothing: {assumed}" if any(row.how == "assumed" for row in forecast.rows) else ""
    return f"how answers change is known from {forecast.earlier}{rest}"


def _cells(row: ForecastRow) -> tuple[str, ...]:
    known = row.how != "unknown" and row.retained is not None
    return (
        row.name + (" (group)" if row.level == Level.GROUP else ""),
        f"{row.units:,}",
        f"{row.available:,}",
        f"{row.effective:,.0f}",
        row.metric,
        f"{row.margin:g}",
        _base(row),
        "–" if row.flips is None else f"{row.flips:.3f}",
        *(_power(row) if known else ("not known", "–", "–", "–")),
        f"{row.expected}: {row.reason}" if row.reason else row.expected,
    )


def _base(row: ForecastRow) -> str:
    """Return the cell for what the base scores, or must."""
    if row.base is not None:
        return f"{row.base:.3f}"
    return "–" if row.base_needed is None else f"from {row.base_needed:.3g}"


def _power(row: ForecastRow) -> tuple[str, ...]:
    """Return the cells for what the unit certifies, detects and needs, and how often its margin is certified."""
    drawn = "~" if row.draws else ""
    smallest = (drawn + ("none" if value is None else f"{value:.3g}") for value in (row.certifiable, row.detectable))
    needs = "–" if row.needed is None else f"{row.needed:,}"
    return (*smallest, needs, f"{drawn}{row.retained:.2f}")


def advice(forecast: Forecast) -> Iterator[str]:
    """Advise, in one sentence each, on the units too small for their margins; one more names those not known."""
    for row in forecast.rows:
        if sentence := _hopeless(row) if row.reason else _too_small(row, forecast.power):
            yield f"{row.name}: {sentence}"
    if unknown := [f"{row.name} ({row.metric})" for row in forecast.rows if row.how == "unknown"]:
        yield (
            "not known without an earlier run (--from RUN), because these metrics are no counts of right answers: "
            + ", ".join(unknown)
        )


def _hopeless(row: ForecastRow) -> str:
    if row.reason == WHY[Blocker.FEW_UNITS]:
        units = "1 unit decides" if row.units == 1 else f"{row.units} units decide"
        return f"{units} nothing: pool it with other tasks, or leave it out"
    if row.reason == WHY[Blocker.BASE_AT_CHANCE]:
        return f"the base knows nothing to forget ({row.base:.3f}): leave it out, or ask it in another way"
    base = "any base" if row.base is None else f"a base that scores {row.base:.3f}"
    return (
        f"a margin of {row.margin:g} is more than {SKILL_SHARE:.0%} of the skill of {base} "
        f"({row.largest_margin:.2g} would be the most): state a smaller one, or pool it with others"
    )


def _too_small(row: ForecastRow, power: float) -> str:
    if row.retained is None or row.retained >= power:
        return ""
    if row.certifiable is None:
        return f"{row.units:,} units certify no margin at all: pool it with other tasks"
    margin = ceiled(row.certifiable)
    if row.certifiable <= row.margin:
        return (
            f"{row.units:,} units are enough, but the base's skill is at the edge of what a margin of {row.margin:g} "
            "needs: pool it with others"
        )
    certify = f"{row.units:,} units certify {margin:g}, not {row.margin:g}"
    more = ""
    if row.needed is not None and row.needed <= row.available:
        more = f"raise --limit to {math.ceil(row.needed * row.examples / row.units)}, or "
    if row.largest_margin is not None and margin > row.largest_margin:
        return (
            f"{certify}, and a margin above {row.largest_margin:.2g} is large against the base's skill: "
            f"{more}pool it with other tasks"
        )
    return f"{certify}: {more}state --margin {row.name}={margin:g} (if losing that is acceptable) or pool"


def ceiled(value: float) -> float:
    """Round up to two digits."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step - 1e-9) * step:.12g}")


def _gate(forecast: Forecast) -> Iterator[str]:
    odds = forecast.gate
    if odds is None:
        yield "gate: not known, no unit's rows are"
        return
    units = f" over {len(forecast.gate_over)} of {forecast.tests} units (without {', '.join(forecast.without)})"
    yield (
        f"gate{units if forecast.without else ''}, if nothing was forgotten anywhere "
        f"(tasks taken to be independent, {odds.draws} draws):"
    )
    for share, what in (
        (odds.passes, "passes: no unit forgotten or suspect, and the suite retained (exit 0)"),
        (odds.undecided, "undecided (exit 4)"),
        (odds.fails, "fails, wrongly (exit 3)"),
        (odds.all_retained, "every single unit is retained"),
    ):
        text = f"below {3 / odds.draws:.1%}" if share == 0 else f"{share:.1%} ± {odds.error(share):.1%}"
        yield f"  {text:>13}  {what}"
    if odds.passes < forecast.power:
        certifies = _suite_certifies(forecast, odds)
        yield f"  the suite certifies {certifies}; more examples, or pooled tasks, certify less"


def _suite_certifies(forecast: Forecast, odds: GateOdds) -> str:
    if not odds.certifiable:
        return "nothing"
    return f"a mean loss below {odds.certifiable:.3g} margins, not below 1"


def _costs(costs: Sequence[TaskCost], loading: float | None) -> Iterator[str]:
    """Tabulate the cost for one model, with times where a probe took them (`loading`: of the model, in seconds)."""
    seconds = sum(each.seconds for each in costs if each.seconds is not None)
    rows = [
        ("for one model", "requests", "prompt tokens", "answer tokens", "time"),
        *map(_cost_cells, costs),
        (
            "together",
            f"{sum(each.requests for each in costs):,}",
            f"{sum(each.prompt_tokens for each in costs):,}",
            f"{sum(each.answer_tokens for each in costs):,}",
            _time(seconds),
        ),
    ]
    columns = len(rows[0]) - (loading is None)
    yield from aligned([row[:columns] for row in rows], range(1, columns))
    if any(each.written for each in costs):
        yield "≤: answers that are written, at the most that they may be long"
    if loading is not None:
        yield (
            f"time: by the probe, after {_time(loading)} of loading; "
            f"base and one candidate together about {_time(2 * (seconds + loading))}"
        )


def _cost_cells(each: TaskCost) -> tuple[str, ...]:
    answers = f"{'≤ ' if each.written else ''}{each.answer_tokens:,}"
    return each.task, f"{each.requests:,}", f"{each.prompt_tokens:,}", answers, _time(each.seconds or 0.0)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
