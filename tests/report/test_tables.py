"""Rows of the page's tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from evalharness.analysis.relative import reference_candidate, relative_scores
from evalharness.records.comparison import Comparison, Estimate, FlipShares
from evalharness.records.results import ModelRow, Results
from evalharness.report.details import details
from evalharness.report.matrix import matrix
from evalharness.report.score_tables import score_tables
from evalharness.report.targets import learned_words


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
    assert [cell.base for cell in sst2.cells if cell] == ["", "", "0.900, n 280", "", ""]


def test_targets_are_marked_for_the_candidates_that_have_them(run: Results) -> None:
    topics = next(row for row in matrix(run, {}) if row.task == "topics")
    assert topics.target
    assert [cell.target for cell in topics.cells if cell] == [True, True, True, True, False]


def test_bleu_is_written_on_its_own_scale(run: Results) -> None:
    wmt = next(row for row in matrix(run, {}) if row.task == "wmt16-en-de")
    assert wmt.base == "31.4" and wmt.margin == "1.0" and wmt.cells[0] is not None
    assert wmt.cells[0].difference == "−11.2" and wmt.cells[0].lost is None


FAMILIES = ("glue", "mmlu", "demo")


def _with_families(run: Results) -> Results:
    """Family rows between the others; a family, a group and a task may bear one name."""
    suites = [c for c in run.comparisons if c.level == "suite"]
    rows = [replace(c, level="family", unit=False, primary=False, margin=None, verdict=None) for c in suites]
    rows = [replace(row, task=name, family=name) for name in FAMILIES for row in rows]
    return replace(run, comparisons=(*rows, *run.comparisons))


def test_families_stand_below_the_suite_and_change_nothing_else(run: Results) -> None:
    results = _with_families(run)
    rows, alone = matrix(results, {("mmlu", "full-low"): 3}), matrix(run, {("mmlu", "full-low"): 3})
    assert [(row.task, row.level) for row in rows[:4]] == [("demo", "suite"), *((name, "family") for name in FAMILIES)]
    assert [rows[0], *rows[4:]] == alone
    for row in rows[1:4]:
        assert (
            not row.unit
            and not row.target
            and row.margin == "–"
            and all(cell and cell.verdict is cell.flips is None for cell in row.cells)
        )
    assert len(details(results).lines) == len(results.comparisons) and score_tables(results) == score_tables(run)


def test_what_describes_the_loss_is_in_the_table_of_all_comparisons(run: Results) -> None:
    first, *rest = (c for c in run.comparisons if c.primary)
    flips = FlipShares(share=0.3, lost=0.2, gained=0.1, forgotten=Estimate(value=0.15, low=0.1, high=0.2))
    told = replace(
        first, retention=Estimate(value=0.912, low=0.8, high=1.02), flips=flips, q_forgotten=0.04, q_difference=0.0001
    )
    line, other = details(replace(run, comparisons=(told, rest[0]))).lines
    shown = {title: (line[title].text, other[title].text) for title in line}
    assert shown["Retention"] == ("0.912 [0.800, 1.020]", "–") and shown["Forgotten without guesses"] == (
        "0.150 [0.100, 0.200]",
        "–",
    )
    assert shown["q forgotten (BH)"] == ("0.040", "–") and shown["q difference (BH)"] == ("<0.001", "–")
    cells = matrix(replace(run, comparisons=(told, rest[0])), {})[0].cells
    assert [cell.kept for cell in cells if cell] == ["91 % of the skill kept", ""]


def _score(candidate: str, metric: str, base: float, score: float) -> Comparison:
    gain = Estimate(value=score - base)
    return Comparison(
        task="dialogsum", family="summarization", level="task", unit=False, metric=metric, primary=metric == "rouge1",
        candidate=candidate, n=1500, base=Estimate(value=base), candidate_score=Estimate(value=score), difference=gain,
        ci_level=0.9, lost=None, gained=None, p_forgotten=None, p_forgotten_adjusted=None, p_retained=None,
        p_difference=None, margin=None, verdict=None, flags=(), examples_needed=None, available=1500,
    )  # fmt: skip


def test_the_two_relative_percentages_of_the_lab() -> None:
    """ROUGE-1 of FLAN-T5-base on DialogSum in the DeepLearning.AI / AWS fine-tuning lab: 0.2334, fully tuned 0.4216,
    PEFT 0.4081.
    """
    base = ModelRow(
        name="flan-t5", kind="base", fingerprint="b", base=None, parameters=1, trainable=0, trainable_share=0.0, bytes=1
    )
    full = ModelRow(
        name="instruct",
        kind="full",
        fingerprint="f",
        base="flan-t5",
        parameters=1,
        trainable=1,
        trainable_share=1.0,
        bytes=1,
        target_task="dialogsum",
        target_gain=Estimate(value=0.1882),
        learned_target=True,
    )
    peft = ModelRow(
        name="peft",
        kind="lora",
        fingerprint="p",
        base="flan-t5",
        parameters=1,
        trainable=1,
        trainable_share=0.01,
        bytes=1,
        target_task="dialogsum",
        target_gain=Estimate(value=0.1747),
        learned_target=True,
    )
    comparisons = (
        _score("instruct", "rouge1", 0.2334, 0.4216),
        _score("peft", "rouge1", 0.2334, 0.4081),
        _score("peft", "rouge2", 0.0, 0.1),
    )
    results = Results(signature={}, models=(base, full, peft), comparisons=comparisons)
    (table,) = score_tables(results)
    assert table.target and table.metrics == ("rouge1", "rouge2") and table.reference == "instruct"
    assert table.lines[0] == ("flan-t5", "the original", (("0.2334", "", ""), ("0.0000", "", "")))
    assert table.lines[1][2] == (("0.4216", "+80.63 %", "–"), ("–", "–", "–"))
    assert table.lines[2][2] == (("0.4081", "+74.85 %", "−3.20 %"), ("0.1000", "–", "–"))
    shown = [[line[title].text for title in ("Candidate", "vs base", "vs full")] for line in details(results).lines]
    assert shown[:2] == [["instruct", "+80.63 %", "–"], ["peft", "+74.85 %", "−3.20 %"]]


def test_a_full_fine_tuning_that_collapsed_is_no_reference() -> None:
    base = ModelRow(
        name="b", kind="base", fingerprint="b", base=None, parameters=1, trainable=0, trainable_share=0.0, bytes=1
    )
    full = ModelRow(
        name="full",
        kind="full",
        fingerprint="f",
        base="b",
        parameters=1,
        trainable=1,
        trainable_share=1.0,
        bytes=1,
        target_task="topics",
        target_gain=Estimate(value=0.7),
        learned_target=True,
    )
    lora = ModelRow(
        name="lora",
        kind="lora",
        fingerprint="l",
        base="b",
        parameters=1,
        trainable=1,
        trainable_share=0.01,
        bytes=1,
        target_task="topics",
        target_gain=Estimate(value=0.6),
        learned_target=True,
    )
    results = Results(
        signature={},
        models=(base, full, lora),
        comparisons=(_score("full", "rouge1", 0.8, 0.001), _score("lora", "rouge1", 0.8, 0.75)),
    )
    relative = relative_scores(results)
    assert relative["over_full"].isna().all()
    assert relative["over_base"][1] == pytest.approx(-0.0625)


def test_the_full_candidate_that_learned_most_is_the_reference(run: Results, only_base: Results) -> None:
    assert reference_candidate(run) == "full-high"
    unmeasured = tuple(replace(model, target_gain=None) for model in run.models)
    assert reference_candidate(replace(run, models=unmeasured)) == "full-high"
    assert reference_candidate(only_base) is None


def test_details_have_a_value_to_sort_by_in_every_column(make_run: Callable[..., Results]) -> None:
    results = make_run(0)
    lines = details(results).lines
    assert len(lines) == len(results.comparisons)
    for line in lines:
        assert list(line) == list(lines[0])
        for title, cell in line.items():
            assert cell.value is None or isinstance(cell.value, int | float) == (cell.kind == "number"), title


def test_a_run_without_candidates_has_empty_tables(only_base: Results) -> None:
    assert matrix(only_base, {}) == details(only_base).lines == score_tables(only_base) == []


def test_whether_it_learned_in_words(run: Results) -> None:
    words = {model.name: learned_words(model) for model in run.models}
    assert words == {
        "tiny-base": "–",
        "full-high": "learned",
        "full-low": "learned",
        "lora-r8": "learned",
        "lora-slow": "did not learn",
        "prompt-16": "target not known",
    }
    aimed = replace(run.models[-1], target_task="topics")
    assert learned_words(aimed) == "not measured"
    assert learned_words(replace(aimed, target_gain=Estimate(value=0.1))) == "cannot be told"
