"""The matrix of verdicts: its rows, their order, its cells."""

from __future__ import annotations

from dataclasses import replace

from evalharness.records.comparison import Estimate
from evalharness.records.results import Results
from evalharness.report.matrix import matrix


def test_suite_first_and_members_under_their_group(run: Results) -> None:
    shuffled = replace(run, comparisons=tuple(reversed(run.comparisons)))
    for results in (run, shuffled):
        rows = matrix(results, {})
        names = [row.task for row in rows]
        assert names[0] == "demo" and rows[0].level == "suite"
        at = names.index("mmlu")
        assert {row.task for row in rows if row.member} == set(names[at + 1 : at + 5]) and len(names) == len(
            set(names)
        ) == 15
        assert all(row.task.startswith("mmlu_") for row in rows if row.member)


def test_groups_named_by_the_signature_win(run: Results) -> None:
    named = replace(run, signature={**run.signature, "groups": {"mmlu": ["mmlu_virology", "sst2"]}})
    assert [row.task for row in matrix(named, {}) if row.member] == ["sst2", "mmlu_virology"]


def test_a_large_group_speaks_for_its_tasks_but_not_for_a_target(run: Results) -> None:
    many = [f"mmlu_{i}" for i in range(12)]
    like = next(c for c in run.comparisons if c.task == "sst2" and c.primary)
    more = tuple(replace(like, task=task, unit=False, family="mmlu") for task in many)
    half = replace(like, task="half", level="group", unit=False, family="mmlu")
    whole = replace(half, task="whole", unit=True)
    groups = {"half": many[:10], "whole": many}
    results = replace(
        run, signature={**run.signature, "groups": groups}, comparisons=(*more, half, whole, *run.comparisons)
    )
    rows = {row.task: row for row in matrix(results, {})}
    assert list(rows)[1:3] == ["whole", "half"]
    assert (rows["whole"].folded, rows["half"].folded, rows["sst2"].folded) == (12, 10, 0)
    assert not any(name.startswith("mmlu_") and name in many for name in rows)


def test_a_group_that_only_describes_leaves_its_members_alone(run: Results) -> None:
    loose = tuple(
        replace(c, unit=c.level == "task") if c.family == "mmlu" and c.primary else c for c in run.comparisons
    )
    assert not any(row.member for row in matrix(replace(run, comparisons=loose), {}))


def test_cells_follow_the_candidates_and_gaps_stay_gaps(run: Results) -> None:
    without = replace(
        run, comparisons=tuple(c for c in run.comparisons if (c.task, c.candidate) != ("copa", "lora-r8"))
    )
    copa = next(row for row in matrix(without, {("copa", "full-low"): 3}) if row.task == "copa")
    assert [cell is None for cell in copa.cells] == [False, False, True, False, False]
    assert [cell.candidate for cell in copa.cells if cell] == [0, 1, 3, 4]
    assert [cell.flips for cell in copa.cells if cell] == [None, 3, None, None]


def test_a_cell_paired_on_other_examples_shows_its_own_base(run: Results) -> None:
    fewer = tuple(
        replace(c, n=280, base=Estimate(value=0.9)) if (c.task, c.candidate) == ("sst2", "lora-r8") and c.primary else c
        for c in run.comparisons
    )
    sst2 = next(row for row in matrix(replace(run, comparisons=fewer), {}) if row.task == "sst2")
    assert [cell.base for cell in sst2.cells if cell] == ["", "", "90.0, n 280", "", ""]


def test_targets_are_marked_for_the_candidates_that_have_them(run: Results) -> None:
    topics = next(row for row in matrix(run, {}) if row.task == "topics")
    assert topics.target
    assert [cell.target for cell in topics.cells if cell] == [True, True, True, True, False]


def test_bleu_is_written_on_its_own_scale(run: Results) -> None:
    wmt = next(row for row in matrix(run, {}) if row.task == "wmt16-en-de")
    assert (wmt.base, wmt.margin, wmt.unit_name) == ("31.40", "1.00", "bleu") and wmt.cells[0] is not None
    assert wmt.cells[0].difference == "−11.20" and wmt.cells[0].lost is None


def test_what_was_not_measured_is_a_dash(half_measured: Results) -> None:
    rows = {row.task: row for row in matrix(half_measured, {})}
    suite, sst2 = rows["demo"].cells[0], rows["sst2"].cells[1]
    assert suite and sst2 and rows["demo"].base == "–" and suite.difference == "−17.00"
    assert (sst2.difference, sst2.interval, sst2.lost) == ("–", "", None)
    assert (rows["sst2"].base, rows["sst2"].unit_name) == ("87.0", "points")


def test_what_answers_are_like_stands_beside_the_scores(run: Results) -> None:
    rows = {row.task: row for row in matrix(run, {})}
    (cell, *_), said = (
        rows["dialogsum"].cells,
        "writes nothing in 15 % of the rows; is cut off at the length limit in 25 %",
    )
    assert rows["rte"].base_answers == "answers “True” to every row (right in 51 %)" and not rows["sst2"].base_answers
    assert cell is not None and cell.answers == rows["dialogsum"].base_answers == f"{said} of the rows"
