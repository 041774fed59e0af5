"""How far a run that stops early asked, on the page and in words."""

from __future__ import annotations

from dataclasses import replace

from evalharness.records.comparison import Certificate, StoppingState
from evalharness.records.results import Results
from evalharness.report import early_stopping_table
from evalharness.report.page import render


def in_rounds(run: Results) -> Results:
    """The run as if it had been asked in rounds: boolq stopped after three of them, the rest asked to the end."""
    rows = []
    for c in run.comparisons:
        of = StoppingState(asked=c.n, planned=c.n, rounds=20, of=20, stopped=False)
        if c.task == "boolq" and c.primary:
            of = StoppingState(
                asked=45,
                planned=c.n,
                rounds=3,
                of=20,
                stopped=True,
                p_forgotten=0.004,
                p_retained=0.9,
                certificate=Certificate(verdict="forgotten", population=c.n, p_forgotten=0.01, p_retained=1.0),
            )
        rows.append(replace(c, stopping=of, flags=("stopped_early", *c.flags) if of.stopped else c.flags))
    return replace(run, comparisons=tuple(rows))


def test_a_run_that_asked_everything_at_once_has_no_such_table(run: Results) -> None:
    assert early_stopping_table.early_stopping(run) is None and not list(early_stopping_table.sentences(run))
    assert 'id="asked"' not in render(run, None)


def test_every_gate_unit_of_every_candidate_has_a_row(run: Results) -> None:
    found = in_rounds(run)
    shown = early_stopping_table.early_stopping(found)
    assert shown is not None
    rows = shown.rows
    units = [c for c in found.comparisons if c.unit and c.primary]
    assert len(rows) == len(units) and len({row.candidate for row in rows}) == 5
    (boolq,) = [row for row in rows if (row.task, row.candidate) == ("boolq", "full-high")]
    assert (boolq.units, boolq.rounds, boolq.early, boolq.stopped) == ("45 of 300", "3 of 20", "0.004, 0.900", True)
    assert boolq.whole == "▼ fell by more than the margin" and boolq.verdict == "▼ forgotten"
    assert all(row.whole == "" and row.early == "–" for row in rows if row.task != "boolq")


def test_what_was_saved_is_said_in_a_sentence(run: Results) -> None:
    found = in_rounds(run)
    units = [c for c in found.comparisons if c.candidate == "lora-r8" and c.unit and c.primary and c.level != "suite"]
    planned = sum(c.n for c in units)
    expected = f"lora-r8: 1 of {len(units)} gate units stopped early; {planned - 255:,} of {planned:,} units were asked"
    assert any(line.startswith(expected) for line in early_stopping_table.sentences(found))


def test_the_page_shows_it_and_explains_its_flag(run: Results) -> None:
    page = render(in_rounds(run), None)
    assert 'id="asked"' in page and "45 of 300" in page and "stopped early" in page and "half of α" in page
