"""Rows of the page's tables of scores, of all comparisons and of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from evalharness.analysis.relative import reference_candidate, relative_scores
from evalharness.records.comparison import Comparison, Estimate, FlipShares
from evalharness.records.results import ModelRow, Results
from evalharness.records.tasks import HumanLevel
from evalharness.report.details import details
from evalharness.report.matrix import matrix
from evalharness.report.page import render
from evalharness.report.score_tables import score_tables
from evalharness.report.targets import learned_words

FAMILIES = ("glue", "mmlu", "demo")


def _with_families(run: Results) -> Results:
    """Family rows between the others; a family, a group and a task may bear one name."""
    suites = [c for c in run.comparisons if c.level == "suite"]
    rows = [replace(c, level="family", unit=False, primary=False, margin=None, verdict=None) for c in suites]
    rows = [replace(row, task=name, family=name) for name in FAMILIES for row in rows]
    return replace(run, comparisons=(*rows, *run.comparisons))


def test_families_stand_last_and_change_nothing_else(run: Results) -> None:
    results = _with_families(run)
    rows, alone = matrix(results, {("mmlu", "full-low"): 3}), matrix(run, {("mmlu", "full-low"): 3})
    assert [(row.task, row.level) for row in rows[-3:]] == [(name, "family") for name in FAMILIES]
    assert rows[:-3] == alone
    for row in rows[-3:]:
        assert (
            not row.unit
            and not row.target
            and row.margin == "–"
            and all(cell and cell.verdict is cell.flips is None for cell in row.cells)
        )
    assert len(details(results).lines) == len(results.comparisons) and score_tables(results) == score_tables(run)


def test_what_describes_the_loss_is_in_the_table_of_all_comparisons(run: Results) -> None:
    first, *rest = (c for c in run.comparisons if c.primary and c.task == "sst2")
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
    assert [cell.skill_kept for cell in cells if cell] == ["91 % of the skill kept", ""]


def test_what_a_bleu_is_made_of_stands_below_its_table(run: Results) -> None:
    table = next(table for table in score_tables(run) if table.task == "wmt16-en-de")
    assert table.parts[0] == (
        "bleu of tiny-base: precision1 61.25, precision4 18, brevity_penalty 0.970, words 5012, reference_words 5165"
    )
    assert len(table.parts) == 6 and table.parts[1].startswith("bleu of full-high: precision1 60,")


def _score(candidate: str, metric: str, base: float, score: float) -> Comparison:
    gain = Estimate(value=score - base)
    return Comparison(
        task="dialogsum", family="summarization", level="task", unit=False, metric=metric, primary=metric == "rouge1",
        candidate=candidate, n=1500, base=Estimate(value=base), candidate_score=Estimate(value=score), difference=gain,
        ci_level=0.9, available=1500,
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
    assert learned_words(aimed) == "learning not measured"
    assert learned_words(replace(aimed, target_gain=Estimate(value=0.1))) == "learning cannot be told"


def test_what_was_not_measured_is_a_dash_and_sorted_last(half_measured: Results, unmeasured: Results) -> None:
    relative = relative_scores(half_measured)
    for c, over_base, line in zip(
        half_measured.comparisons, relative["over_base"], details(half_measured).lines, strict=True
    ):
        cells = [line[title] for title in ("Base", "Candidate score", "Difference", "Interval", "vs base")]
        if c.difference is None:
            assert all((cell.text, cell.value) == ("–", None) for cell in cells) and over_base != over_base
        elif c.level == "suite":
            assert [cell.text for cell in cells[:2]] == ["–", "–"] and cells[2].value == c.difference.value
    (table,) = (table for table in score_tables(half_measured) if table.task == "dialogsum")
    scores = {name: [score for score, *_ in cells] for name, _, cells in table.lines}
    assert scores["full-low"] == ["–"] * 4 and "–" not in scores["lora-r8"] + scores["tiny-base"]
    assert all(
        cell == ("–", "–", "–") for table in score_tables(unmeasured) for *_, cells in table.lines[1:] for cell in cells
    )


def test_what_people_score_is_a_line_and_a_column_where_it_is_published(run: Results) -> None:
    level = HumanLevel(metric="acc", value=0.978, source="those who asked people")
    rows = [replace(c, human=level) if c.task == "sst2" and c.primary else c for c in run.comparisons]
    rows += [replace(c, metric="mcc", primary=False, human=None) for c in rows if c.human]
    results = replace(run, comparisons=tuple(rows))
    table = next(table for table in score_tables(results) if table.task == "sst2")
    assert table.lines[-1] == ("people", f"as published: {level.source}", (("0.9780", "", ""), *[("–", "", "")] * 2))
    texts = {line["Task"].text: line["People"].text for line in reversed(details(results).lines)}
    assert (texts["sst2"], texts["boolq"]) == ("0.978", "–")
    assert details(results).people == level.source
    assert "People" not in details(run).lines[0]
    assert level.source in render(results)
