"""`evalharness plan`: what a comparison could decide, before any model has answered."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from evalharness.cli import progress
from evalharness.cli.options import (
    data_options,
    debug_option,
    engine_options,
    engine_settings,
    margins,
    paths,
    with_options,
)
from evalharness.errors import UsageError
from evalharness.experiments.cost import Work
from evalharness.experiments.power_forecast import Asked, Forecast, Row, forecast
from evalharness.paths import default_store
from evalharness.records.comparison import Level
from evalharness.records.job import Job
from evalharness.report.escape import plain
from evalharness.report.text_table import aligned
from evalharness.results import write_text
from evalharness.stats.forecast import WHY
from evalharness.stats.verdict import SKILL_SHARE

PLAN = "plan.json"
HEAD = (
    "",
    "units",
    "of",
    "worth",
    "metric",
    "margin",
    "base",
    "flips",
    "certifies",
    "detects",
    "needs",
    "retained",
    "to be expected",
)
RIGHT = (1, 2, 3, 5, 6, 7, 8, 9, 10, 11)  # columns of numbers


@click.command("plan")
@click.option("--suite", help="A suite of tasks (see `evalharness tasks list`).")
@click.option("--task", "tasks", multiple=True, help="A task, group, tag or glob. Repeatable.")
@with_options(*data_options)
@click.option("--limit", type=click.IntRange(min=1), help="At most this many examples a task, as in `run`.")
@click.option("--num-fewshot", type=click.IntRange(min=0), help="Examples in front of each question.")
@click.option("--split", help="Evaluate this split instead of each task's own.")
@click.option("--seed", default=1234, show_default=True, help="Of shots, --limit and the draws.")
@click.option(
    "--margin",
    "margin_texts",
    multiple=True,
    metavar="[TASK=]DELTA",
    help="The largest drop that is acceptable. Repeatable.",
)
@click.option(
    "--alpha",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    help="Error rate of either verdict.",
)
@click.option("--power", default=0.8, show_default=True, help="With which probability a verdict should come out.")
@click.option(
    "--flips",
    default=0.1,
    show_default=True,
    help="Share of answers that is assumed to change, where no earlier run says.",
)
@click.option(
    "--skill",
    default=0.5,
    show_default=True,
    help="How far from chance to perfect the base is assumed to be, where no earlier run says.",
)
@click.option(
    "--from",
    "earlier",
    metavar="RUN[#NAME]",
    help="A finished run: how answers changed there, of this candidate or the most changed one.",
)
@click.option(
    "--base",
    metavar="[NAME=]PATH",
    help="The model that will be the base: count tokens, and cut prompts to its window.",
)
@click.option(
    "--probe",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Take the time of N requests a task on --base [default: none].",
)
@with_options(*engine_options)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help=f"Folder to leave {PLAN} in.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@debug_option
def plan_command(**given: Any) -> None:
    """Say, gate unit by gate unit, what a run could decide: the margin that can be certified, the drop that would be
    found, the examples that are needed, and how often the gate passes if nothing was forgotten.

    Nothing is answered but the --probe. How many answers change is assumed (--flips), or known from an earlier run
    (--from).
    """
    asked = _asked(given)
    with progress.listener(given["quiet"] or given["as_json"], False) as listener:
        found = forecast(asked, listener)
    document = {**found.document(), "advice": list(advice(found))}
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    if given["out"] is not None:
        write_text(given["out"] / PLAN, text)
    if given["as_json"]:
        click.echo(text, nl=False)
        return
    for line in lines(found):
        click.echo(plain(line))


def _asked(given: dict[str, Any]) -> Asked:
    if not (given["suite"] or given["tasks"]):
        raise UsageError("plan", "nothing to plan", "name a --suite or one or more --task")
    margin, named = margins(given["margin_texts"])
    job = Job(
        models=(),
        **{
            key: given[key]
            for key in (
                "base",
                "suite",
                "tasks",
                "data_dir",
                "include",
                "limit",
                "num_fewshot",
                "split",
                "seed",
                "alpha",
            )
        },
        data=paths("--data", given["data"]),
        margin=margin,
        margins=named,
        out=given["out"] or Path(),
        store=default_store(os.environ),
        settings=engine_settings(given),
    )
    return Asked(job, **{field.name: given[field.name] for field in fields(Asked) if field.name != "job"})


# ---- words -----------------------------------------------------------------------------------------------------------


def lines(found: Forecast) -> Iterator[str]:
    """What the terminal shows."""
    yield f"{found.suite}: what {found.tests} gate units can decide (power {found.power:g}, error rate {found.alpha:g})"
    yield f"  {_assumption(found)}"
    yield from (f"  {line}" for line in aligned([HEAD, *(_cells(row, found.power) for row in found.rows)], RIGHT))
    yield "  certifies: the smallest margin that comes out retained if nothing is lost; detects: the smallest true drop that comes out forgotten;"
    yield "  needs: units that certify the margin; retained: how often the margin is certified if nothing is lost; worth: independent units;"
    yield "  base: its score, or from which score on the margin is small against what the base can do"
    if any(row.draws for row in found.rows):
        yield "  simulated (~): drawn again from rows, with 60 to 300 draws; a drop is taken to come about by more changes being losses"
    if found.describing:
        yield f"  no gate units, so not here: {', '.join(found.describing)}"
    said = list(advice(found))
    if said:
        yield ""
        yield from said
    yield ""
    yield from _gate(found)
    if found.work:
        yield ""
        yield from _work(found.work, found.loading)
    yield from (f"note: {notice}" for notice in found.notices)


def _assumption(found: Forecast) -> str:
    changes = f"{100 * found.flips:.3g}% of the answers change, as many for the better as for the worse"
    assumed = f"{changes}; the base is {found.skill:.0%} of the way from chance to perfect"
    if found.earlier is None:
        return f"assumed, not known: {assumed}. An earlier run would say (--from)"
    rest = f"; where it says nothing: {assumed}" if any(row.how == "assumed" for row in found.rows) else ""
    return f"how answers change is known from {found.earlier}{rest}"


def _cells(row: Row, power: float) -> tuple[str, ...]:
    draws = "~" if row.draws else ""
    known = row.how != "unknown" and row.retained is not None
    base = f"{row.base:.3f}" if row.base is not None else f"from {row.base_needed:.3g}"
    flips = "–" if row.flips is None else f"{row.flips:.3f}"
    numbers = ("not known", "–", "–", "–")
    if known:
        needs = "–" if row.needed is None else f"{row.needed:,}"
        numbers = (
            draws + _number(row.certifiable),
            draws + _number(row.detectable),
            needs,
            f"{draws}{row.retained:.2f}",
        )
    expected = f"{row.expected}: {row.reason}" if row.reason else row.expected
    name = row.name + (" (group)" if row.level == Level.GROUP else "")
    worth = f"{row.effective:,.0f}"
    return (
        name,
        f"{row.units:,}",
        f"{row.available:,}",
        worth,
        row.metric,
        f"{row.margin:g}",
        base,
        flips,
        *numbers,
        expected,
    )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"


def advice(found: Forecast) -> Iterator[str]:
    """One sentence for each unit that is too small for its margin, and one for those of which nothing is known."""
    for row in found.rows:
        said = _hopeless(row) if row.reason else _too_small(row, found.power)
        if said:
            yield f"{row.name}: {said}"
    unknown = [f"{row.name} ({row.metric})" for row in found.rows if row.how == "unknown"]
    if unknown:
        yield f"not known without an earlier run (--from RUN), because these metrics are no counts of right answers: {', '.join(unknown)}"


def _hopeless(row: Row) -> str:
    if row.reason == WHY["few_units"]:
        return f"{row.units} {'unit decides' if row.units == 1 else 'units decide'} nothing: pool it with other tasks, or leave it out"
    if row.reason == WHY["base_at_chance"]:
        return f"the base knows nothing to forget ({row.base:.3f}): leave it out, or ask it in another way"
    of = "any base" if row.base is None else f"a base that scores {row.base:.3f}"
    most = f"{row.largest_margin:.2g} would be the most"
    return f"a margin of {row.margin:g} is more than {SKILL_SHARE:.0%} of the skill of {of} ({most}): state a smaller one, or pool it with others"


def _too_small(row: Row, power: float) -> str:
    if row.retained is None or row.retained >= power:
        return ""
    if row.certifiable is None:
        return f"{row.units:,} units certify no margin at all: pool it with other tasks"
    margin = ceiled(row.certifiable)
    certify = f"{row.units:,} units certify {margin:g}, not {row.margin:g}"
    if row.certifiable <= row.margin:
        return f"{row.units:,} units are enough, but the base's skill is at the edge of what a margin of {row.margin:g} needs: pool it with others"
    more = ""
    if row.needed is not None and row.needed <= row.available:
        more = f"raise --limit to {math.ceil(row.needed * row.examples / row.units)}, or "
    if margin > row.largest_margin:
        return f"{certify}, and a margin above {row.largest_margin:.2g} is large against the base's skill: {more}pool it with other tasks"
    return f"{certify}: {more}state --margin {row.name}={margin:g} (if losing that is acceptable) or pool"


def ceiled(value: float) -> float:
    """Rounded up to two digits."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / step - 1e-9) * step:.12g}")


def _gate(found: Forecast) -> Iterator[str]:
    odds = found.gate
    if odds is None:
        yield "gate: not known, no unit's rows are"
        return
    over = (
        f" over {len(found.gate_over)} of {found.tests} units (without {', '.join(found.without)})"
        if found.without
        else ""
    )
    yield f"gate{over}, if nothing was forgotten anywhere (tasks taken to be independent, {odds.draws} draws):"
    for share, what in (
        (odds.passes, f"passes: no unit forgotten and the suite retained at {found.suite_margin:g} of skill (exit 0)"),
        (odds.undecided, "undecided (exit 4)"),
        (odds.fails, "fails, wrongly (exit 3)"),
        (odds.all_retained, "every single unit is retained"),
    ):
        text = f"below {3 / odds.draws:.1%}" if share == 0 else f"{share:.1%} ± {odds.error(share):.1%}"
        yield f"  {text:>13}  {what}"
    if odds.passes < found.power:
        most = (
            f"{odds.certifiable:.3g} of skill"
            if odds.certifiable is not None
            else f"nothing up to {SKILL_SHARE:g} of skill"
        )
        stated = (
            f": state --margin {found.suite}={ceiled(odds.certifiable):g} (if losing that is acceptable)"
            if odds.certifiable
            else ""
        )
        yield f"  the suite certifies {most}, not {found.suite_margin:g}{stated}; more examples, or pooled tasks, certify less"


def _work(work: Sequence[Work], loading: float | None) -> Iterator[str]:
    head = ("for one model", "requests", "prompt tokens", "answer tokens", *(("time",) if loading is not None else ()))
    rows = [_work_cells(each, loading is not None) for each in work]
    seconds = [each.seconds for each in work if each.seconds is not None]
    totals = (
        sum(each.requests for each in work),
        sum(each.prompt_tokens for each in work),
        sum(each.answer_tokens for each in work),
    )
    last = ("together", *(f"{total:,}" for total in totals), *((_time(sum(seconds)),) if loading is not None else ()))
    yield from aligned([head, *rows, last], range(1, len(head)))
    if any(each.written for each in work):
        yield "≤: answers that are written, at the most that they may be long"
    if loading is not None:
        yield f"time: by the probe, after {_time(loading)} of loading; base and one candidate together about {_time(2 * (sum(seconds) + loading))}"


def _work_cells(each: Work, timed: bool) -> tuple[str, ...]:
    answers = f"{'≤ ' if each.written else ''}{each.answer_tokens:,}"
    return (
        each.task,
        f"{each.requests:,}",
        f"{each.prompt_tokens:,}",
        answers,
        *((_time(each.seconds or 0.0),) if timed else ()),
    )


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
