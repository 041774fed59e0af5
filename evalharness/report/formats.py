"""Write results for other programs and papers: CSV, Markdown, LaTeX, JSON, and metadata of a model card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from evalharness import registry, report
from evalharness.analysis.judging import judged_results
from evalharness.analysis.relative import relative_scores
from evalharness.errors import UsageError
from evalharness.records.comparison import Comparison, value_of
from evalharness.records.results import Results
from evalharness.report.wording import NONE, inert, interval, one_line, places_of, plain, signed
from evalharness.results.documents import results_text

NAMES = ("candidate", "task", "family", "level", "metric")
TESTS = ("ci_level", "lost", "gained", "margin", "p_forgotten", "p_forgotten_adjusted", "p_retained")
COLUMNS = (
    *NAMES,
    "gate_unit",
    "primary",
    "n",
    "base",
    "score",
    "difference",
    "low",
    "high",
    *TESTS,
    "verdict",
    "flags",
    *("over_base", "over_full"),  # relative changes of the score (analysis/relative.py)
)
SHOWN = ("candidate", "task", "metric", "n", "base", "score", "difference", "interval", "margin", "verdict")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet computes a cell that begins so
Runs = Mapping[str, Results]  # by the user's path


def format_runs(runs: Sequence[Path], form: str) -> tuple[str, list[str]]:
    """Write the runs' results in one of FORMS; return the text, and notices of runs that were judged again.

    Raises UsageError for a folder without results, and for several runs if the form takes only one.
    """
    judged = {str(run): judged_results(run) for run in runs}
    notices = [f"{run}: {notice}" for run, (_, notice) in judged.items() if notice]
    return FORMS[form]({run: results for run, (results, _) in judged.items()}), notices


def frame(results: Results) -> pd.DataFrame:
    """Return a table of every comparison, (comparisons, COLUMNS), with numbers in the metric's unit, empty if nothing
    was measured.
    """
    relative = relative_scores(results)[["over_base", "over_full"]]
    table = pd.DataFrame([_cells(row) for row in results.comparisons], columns=list(COLUMNS[: -len(relative.columns)]))
    return table.assign(**relative)


def _cells(row: Comparison) -> tuple[object, ...]:
    difference = row.difference
    bounds = (None, None, None) if difference is None else (difference.value, difference.low, difference.high)
    names, tests = ([getattr(row, name) for name in each] for each in (NAMES, TESTS))
    scores = (value_of(row.base), value_of(row.candidate_score), *bounds)
    last = (row.verdict, " ".join(row.flags))
    return (*map(str, names), row.is_gate_unit, row.primary, row.n, *scores, *tests, *last)


def _inert_names(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with quotes around names that a spreadsheet would execute as formulas."""
    return table.assign(**{name: table[name].map(_no_formula) for name in NAMES})


def _no_formula(name: str) -> str:
    return f"'{name}" if str(name).startswith(FORMULA) else str(name)


def _csv(runs: Runs) -> str:
    """Return a line for every comparison. If there are several runs, the first column is `run`."""
    frames = {_no_formula(run): _inert_names(frame(results)) for run, results in runs.items()}
    if len(frames) == 1:
        return str(next(iter(frames.values())).to_csv(index=False))
    return str(pd.concat(frames, names=["run", None]).reset_index("run").to_csv(index=False))


def _only(runs: Runs, form: str) -> Results:
    if len(runs) > 1:
        raise UsageError(f"--format {form}", f"takes one run, and {len(runs)} are given", "give them one by one")
    return next(iter(runs.values()))


def _json(runs: Runs) -> str:
    return results_text(_only(runs, "json"))


def _card(runs: Runs) -> str:
    return str(registry.find(report.REGISTRY, "model_card", "form")(_only(runs, "card")))


def _text_rows(results: Results) -> list[tuple[str, ...]]:
    """Return the primary comparisons as texts, with the columns SHOWN, each in its metric's unit."""
    rows: list[tuple[str, ...]] = []
    for row in (each for each in results.comparisons if each.primary):
        places = places_of(row)
        scores = (plain(value_of(row.base), places), plain(value_of(row.candidate_score), places))
        difference = (signed(value_of(row.difference), places), interval(row.difference, places) or NONE)
        margin = NONE if row.margin is None else f"{row.margin:g}"
        names = (one_line(row.candidate), one_line(row.task), one_line(row.metric))
        rows.append((*names, f"{row.n:,}", *scores, *difference, margin, str(row.verdict or NONE)))
    return rows


def _markdown(runs: Runs) -> str:
    lines = []
    for run, results in runs.items():
        lines += [] if len(runs) == 1 else [f"### {inert(run)}", ""]
        lines += [f"| {' | '.join(SHOWN)} |", "|" + "---|" * 3 + "---:|" * 6 + "---|"]
        lines += [f"| {' | '.join(map(inert, cells))} |" for cells in _text_rows(results)] + [""]
    return "\n".join(lines[:-1]) + "\n"


def _latex(runs: Runs) -> str:
    """Return a `tabular` for each run, of the package booktabs."""
    tables = [pd.DataFrame(_text_rows(results), columns=list(SHOWN)) for results in runs.values()]
    texts = (table.to_latex(index=False, escape=True, column_format="lllrrrrrrl") for table in tables)
    return "\n".join(text.replace("−", "$-$") for text in texts)


FORMS: Mapping[str, Callable[[Runs], str]] = {
    "csv": _csv,
    "md": _markdown,
    "latex": _latex,
    "json": _json,
    "card": _card,
}
