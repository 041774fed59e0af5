"""Write a forecast as text: a table, advice, the odds of the gate, and the cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from evalharness.analysis.number_text import plain
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
NAME = "TASK"  # placeholder for one of several units with the same advice
ALONE = (
    "single units (the gate passes by the suite and needs no unit retained; "
    "a loss in one unit alone is found from what it detects on):"
)
GATE_LEGEND = (
    "passes: the suite retained, no unit forgotten or suspect; found: the unit that loses, each in turn, is forgotten"
)
RIGHT = (1, 2, 3, 5, 6, 7, 8, 9, 10, 11)  # columns of numbers
LEGEND = (
    "certifies: the smallest margin that comes out retained if nothing is lost; "
    "detects: the smallest true drop that comes out forgotten;",
    "needs: units that certify the margin; retained: how often the margin is certified if nothing is lost; "
    "worth: independent units;",
    "base: its score, or from which score on the margin is small against what it can do (none: no base is good enough)",
)
SIMULATED = (
    "simulated (~): drawn again from rows, with 60 to 300 draws; "
    "a drop is taken to come about by more changes being losses"
)


def document(forecast: Forecast) -> str:
    """Write a forecast as the content of plan.json."""
    return to_json({**forecast.document(), "advice": list(advice(forecast))})


def lines(forecast: Forecast) -> Iterator[str]:
    """Yield the lines for the terminal."""
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
    yield from ("", ALONE, *(f"  {sentence}" for sentence in sentences)) if sentences else ()
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
    has_odds = row.how != "unknown" and row.retained is not None
    return (
        row.name + (" (group)" if row.level == Level.GROUP else ""),
        f"{row.units:,}",
        f"{row.available:,}",
        f"{row.effective:,.0f}",
        row.metric,
        f"{row.margin:g}",
        _base(row),
        "–" if row.flips is None else f"{row.flips:.3f}",
        *(_power(row) if has_odds else ("not known", "–", "–", "–")),
        f"{row.expected}: {row.reason}" if row.reason else row.expected,
    )


def _base(row: ForecastRow) -> str:
    """Return the cell for the base's score, or for the score that it needs."""
    if row.base is not None:
        return plain(row.base)
    if row.base_needed is None:
        return "–" if row.largest_margin is None else "none"
    return f"from {row.base_needed:.3g}"


def _power(row: ForecastRow) -> tuple[str, ...]:
    """Return the cells for what the unit certifies, detects and needs, and how often its margin is certified."""
    mark = "~" if row.draws else ""
    smallest = (mark + ("none" if value is None else f"{value:.3g}") for value in (row.certifiable, row.detectable))
    needs = "–" if row.needed is None else f"{row.needed:,}"
    return (*smallest, needs, f"{mark}{row.retained:.2f}")


def advice(forecast: Forecast) -> Iterator[str]:
    """Yield advice on units that are too small for their margins, one sentence for all with the same advice, and one on
    units that are not known.
    """
    alike: dict[str, list[str]] = {}
    for row in forecast.rows:
        if sentence := _never_retained(row) if row.reason else _too_small(row, forecast.power):
            alike.setdefault(sentence, []).append(row.name)
    for sentence, names in alike.items():
        yield f"{', '.join(names)}: {sentence.replace(NAME, names[0]) if len(names) == 1 else sentence}"
    if unknown := [f"{row.name} ({row.metric})" for row in forecast.rows if row.how == "unknown"]:
        yield (
            "not known without an earlier run (--from RUN), because these metrics are no counts of right answers: "
            + ", ".join(unknown)
        )


def _never_retained(row: ForecastRow) -> str:
    if row.reason == WHY[Blocker.FEW_UNITS]:
        units = "1 unit decides" if row.units == 1 else f"{row.units} units decide"
        return f"{units} nothing: pool it with other tasks, or leave it out"
    if row.reason == WHY[Blocker.NO_RANGE]:
        return f"{row.metric} has no finite range, so no loss is excluded: it can be forgotten, never retained"
    if row.reason == WHY[Blocker.BASE_AT_CHANCE]:
        return (
            f"the base does not do it ({plain(row.base)}): it can fall further and be forgotten, never be retained; "
            "ask it in another way, or leave it out"
        )
    base = "any base" if row.base is None else f"a base that scores {plain(row.base)}"
    return (
        f"a margin of {row.margin:g} is more than {SKILL_SHARE:.0%} of what {base} has over chance "
        f"({row.largest_margin:.2g} would be the most): it can be forgotten, never retained; "
        "state a smaller one, or pool it with others"
    )


def _too_small(row: ForecastRow, power: float) -> str:
    if row.retained is None or row.retained >= power:
        return ""
    all_of_them = ", all there are," if row.units >= row.available else ""
    if row.certifiable is None:
        return f"{row.units:,} units{all_of_them} certify no margin at all: pool it with other tasks"
    margin = ceiled(row.certifiable)
    if row.certifiable <= row.margin:
        return (
            f"{row.units:,} units are enough, but the base's skill is at the edge of what a margin of {row.margin:g} "
            "needs: pool it with others"
        )
    certify = f"{row.units:,} units{all_of_them} certify {margin:g}, not {row.margin:g}"
    more = ""
    if row.needed is not None and row.needed <= row.available:
        more = f"raise --limit to {math.ceil(row.needed * row.examples / row.units)}, or "
    if row.largest_margin is not None and margin > row.largest_margin:
        return (
            f"{certify}, and a margin above {row.largest_margin:.2g} is large against the base's skill: "
            f"{more}pool it with other tasks"
        )
    return f"{certify}: {more}state --margin {NAME}={margin:g} (if losing that is acceptable) or pool"


def ceiled(value: float) -> float:
    """Round up to two digits."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step - 1e-9) * step:.12g}")


def _gate(forecast: Forecast) -> Iterator[str]:
    """Tabulate the gate's decisions if nothing is lost and if one unit loses, then what the suite excludes."""
    odds = forecast.gate
    if odds is None:
        yield "gate: not known, no unit's rows are"
        return
    units = f" over {len(forecast.gate_over)} of {forecast.tests} units (without {', '.join(forecast.without)})"
    yield f"gate{units if forecast.without else ''}, tasks taken to be independent, {odds.draws} draws:"
    rows = [
        ("if", "passes (exit 0)", "undecided (4)", "fails (3)", "that unit found"),
        ("nothing is lost", *_shares(odds, odds.passes, odds.undecided, odds.fails), "–"),
    ]
    for each in odds.losing:
        lost = f"one unit loses {each.margins:g} margin{'s' if each.margins > 1 else ''}"
        rows.append((lost, *_shares(odds, each.passes, each.undecided, each.fails, each.found)))
    yield from (f"  {line}" for line in aligned(rows, range(1, 5)))
    yield f"  {GATE_LEGEND}"
    suspects, retained = _shares(odds, odds.suspects, odds.all_retained)
    yield f"  if nothing is lost: some unit suspect {suspects}; every single unit retained {retained}"
    yield f"  the suite {_suite_excludes(odds, forecast.power)}"


def _shares(odds: GateOdds, *shares: float) -> list[str]:
    """Write shares of the gate's draws with their Monte Carlo errors."""
    return [
        f"below {3 / odds.draws:.1%}" if share == 0 else f"{share:.1%} ± {odds.error(share):.1%}" for share in shares
    ]


def _suite_excludes(odds: GateOdds, power: float) -> str:
    if odds.certifiable is None:
        why = "units have too few rows" if odds.too_few else "units' bases are too near chance for their margins"
        return f"excludes no loss: its {why}"
    more = "" if odds.certifiable <= 1 else ", and must exclude 1: more examples or more units exclude less"
    return f"excludes a mean loss of {odds.certifiable:.2g} margins with probability {power:g} if nothing is lost{more}"


def _costs(costs: Sequence[TaskCost], loading: float | None) -> Iterator[str]:
    """Tabulate the cost for one model, with times from a probe (`loading`: of the model, in seconds)."""
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
