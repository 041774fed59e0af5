"""Other ways of asking on the page: tables and the overview."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest

from evalharness.records.comparison import Comparison, Estimate, Level
from evalharness.records.results import Results
from evalharness.records.tasks import Variant, VariantKind
from evalharness.records.wordings import WordingSpread, WorstToBest
from evalharness.report import variants, wordings
from evalharness.report.calibration import calibration
from evalharness.report.details import details
from evalharness.report.facts import fact_tables
from evalharness.report.matrix import matrix
from evalharness.report.page import render
from evalharness.report.score_tables import score_tables
from evalharness.report.terminal import verdict_lines
from evalharness.report.together import together
from evalharness.stats.enums import Verdict

VARIANTS = {
    name: Variant(of=of, way=way, kind=VariantKind(kind), metric=metric)
    for name, (of, way, kind, metric) in {
        "boolq@claim": ("boolq", "claim", "wording", "acc"),
        "boolq@bare": ("boolq", "bare", "wording", "acc"),
        "boolq@typos": ("boolq", "typos", "disturbed", "acc"),
        "boolq@worst": ("boolq", "worst", "worst", "acc"),
        "boolq@written": ("boolq", "written", "written", "exact_match,lenient"),
        "cola@typos": ("cola", "typos", "disturbed", "mcc"),
        "cola@worst": ("cola", "worst", "worst", "acc"),
        "mmlu@written": ("mmlu", "written", "written", "exact_match,lenient"),
        "mmlu_anatomy@written": ("mmlu_anatomy", "written", "written", "exact_match,lenient"),
    }.items()
}


def aside(like: Comparison, task: str, metric: str, base: float, change: float, width: float = 0.02) -> Comparison:
    return replace(
        like, task=task, metric=metric, primary=False, unit=False, verdict=None, margin=None, flags=(),
        base=Estimate(value=base), candidate_score=Estimate(value=base + change),
        difference=Estimate(value=change, low=change - width, high=change + width), p_forgotten=None,
        p_forgotten_adjusted=None, p_retained=None, would_decide=None, variant=VARIANTS.get(task),
    )  # fmt: skip


@pytest.fixture(scope="session")
def otherwise(run: Results) -> Results:
    """The run with three tasks and a group asked in other ways: lora-r8 no longer writes answers, and full-low writes
    others than it chooses.
    """
    of = {(c.task, c.candidate): c for c in run.comparisons if c.primary}
    more = []
    for candidate in run.candidates:
        like, kept = of["boolq", candidate], 0.0
        more += [
            aside(like, "boolq@claim", "acc", 0.70, kept),
            aside(like, "boolq@bare", "acc", 0.81, -0.005),
            aside(like, "boolq@typos", "acc", 0.75, kept),
        ]
        more.append(aside(like, "boolq@worst", "acc", 0.66, -0.06))
        lost, unread = (
            (-0.4, -0.5) if candidate == "lora-r8" else (-0.4, 0.0) if candidate == "full-low" else (0.0, 0.0)
        )
        for name, parent in (
            ("boolq@written", "boolq"),
            ("mmlu@written", "mmlu"),
            ("mmlu_anatomy@written", "mmlu_anatomy"),
        ):
            for metric, base, change in (
                ("exact_match,lenient", 0.7, lost),
                ("exact_match,strict", 0.6, lost),
                ("unparsed,lenient", 0.1, unread),
            ):
                more.append(aside(of[parent, candidate], name, metric, base, change))
        like = of["cola", candidate]
        more += [
            aside(like, "cola@typos", "mcc", 0.3, -0.1),
            aside(like, "cola", "acc", 0.7, 0.0),
            aside(like, "cola@worst", "acc", 0.6, 0.0),
        ]
        more += [
            aside(like, "cola", "ece", 0.08, 0.02),
            aside(of["demo", candidate], "demo", "glue_score", 0.7123, -0.0146),
        ]
    more = [
        replace(c, candidate_score=Estimate(value=c.base.value - c.difference.value))
        if c.metric == "unparsed,lenient"
        else c
        for c in more
    ]
    signature = {
        **run.signature,
        "groups": {"mmlu": ["mmlu_anatomy", "mmlu_astronomy", "mmlu_virology", "mmlu_world_religions"]},
    }
    return replace(run, signature=signature, comparisons=(*run.comparisons, *more))


def by_task(found: list[variants.VariantTable]) -> Mapping[str, variants.VariantTable]:
    return {table.task: table for table in found}


def test_every_way_is_a_line_with_base_and_candidates(otherwise: Results) -> None:
    found = by_task(variants.variant_tables(otherwise))
    assert list(found) == ["cola", "boolq", "mmlu", "mmlu_anatomy"]
    lines = found["boolq"].rows
    assert [row.words for row in lines] == [
        "as the task asks",
        "wording “claim”",
        "wording “bare”",
        "with typos",
        "worst of plain and disturbed, row by row",
        "written, the answer anywhere in the text",
        "written, the answer and nothing else",
        "written, share without an answer",
    ]
    assert [row.plain for row in lines] == [True] + [False] * 7
    assert (lines[1].base, lines[1].cells[0]) == (
        "0.700",
        variants.VariantCell(score="0.700", difference="0.000", interval="[−0.020, +0.020]", moved="", change=0.0),
    )
    worst = lines[4].cells[2]
    assert worst is not None
    assert (worst.difference, worst.moved) == ("−0.060", "fell")


@pytest.fixture(scope="session")
def spread_out(otherwise: Results) -> Results:
    """The same with what boolq's wordings show of two candidates, one of which was asked in rounds."""
    first, second = otherwise.candidates[:2]
    own = WordingSpread(
        task="boolq",
        level=Level.TASK,
        candidate=first,
        metric="acc",
        wordings=("", "claim", "bare"),
        base=WorstToBest(worst=0.7, mean=0.7633, best=0.81),
        candidate_score=WorstToBest(worst=0.6, mean=0.7, best=0.8),
        difference=WorstToBest(worst=-0.1, mean=-0.0633, best=0.01),
        verdicts=(Verdict.RETAINED, Verdict.FORGOTTEN, Verdict.RETAINED),
    )
    return replace(otherwise, wordings=(own, replace(own, candidate=second, verdicts=None)))


def test_worst_mean_and_best_over_wordings_and_the_verdicts_are_said(spread_out: Results) -> None:
    first, second = spread_out.candidates[:2]
    numbers = (
        "boolq in 3 wordings (worst, mean, best): base 0.700, 0.763, 0.810; candidate 0.600, 0.700, 0.800; "
        "difference −0.100, −0.063, +0.010"
    )
    depends = (
        "the verdict depends on the wording in 1 of 1 gate unit asked in other wordings (unadjusted; described only)"
    )
    assert list(wordings.sentences(spread_out, first)) == [
        f"{numbers}; on its own forgotten in 1, retained in 2",
        depends,
    ]
    assert list(wordings.sentences(spread_out, second)) == [numbers]
    assert numbers in "\n".join(verdict_lines(spread_out))
    page = render(spread_out)
    assert "<b>forgotten in 1, retained in 2</b>" in page and "0.700 · 0.763 · 0.810" in page and depends in page
    assert "Worst, mean and best over wordings" not in render(replace(spread_out, wordings=()))


def test_a_worst_case_by_another_metric_has_its_plain_score_beside_it(otherwise: Results) -> None:
    lines = by_task(variants.variant_tables(otherwise))["cola"].rows
    assert [(row.words, row.metric) for row in lines] == [
        ("as the task asks", "mcc"),
        ("with typos", "mcc"),
        ("as the task asks", "acc"),
        ("worst of plain and disturbed, row by row", "acc"),
    ]


def test_the_overview_has_a_line_a_task_and_groups_for_their_members(otherwise: Results) -> None:
    seen = variants.overview(otherwise)
    assert seen is not None
    assert seen.columns == ("as asked", "other wording, lowest", "typos", "worst of all", "written")
    assert [(task, level) for task, level, _ in seen.lines] == [("cola", "task"), ("boolq", "task"), ("mmlu", "group")]
    cells = {task: of for task, _, of in seen.lines}
    lowest = cells["boolq"][1][2]
    assert lowest is not None
    assert lowest.difference == "−0.005"
    assert cells["cola"][4] == ()
    assert len(cells["mmlu"][4]) == 5


def test_the_other_tables_leave_them_out(otherwise: Results, run: Results) -> None:
    assert {lab.task for lab in score_tables(otherwise)} - {lab.task for lab in score_tables(run)} == {"cola"}
    assert [row.task for row in matrix(otherwise, {})] == [row.task for row in matrix(run, {})]
    assert {line["Task"].text for line in details(otherwise).lines} == {row.task for row in run.comparisons}
    assert details(otherwise).shortened and not details(run).shortened


def test_calibration_has_a_table_of_its_own(otherwise: Results, run: Results) -> None:
    table = calibration(otherwise)
    assert table is not None and table.columns[:3] == ("Task", "Measure", "Base") and calibration(run) is None
    assert table.rows[0][:4] == ("cola", "calibration error", "0.080", "0.100")


def test_the_published_average_stands_beside_the_suite(otherwise: Results, run: Results) -> None:
    assert together(otherwise)[0].beside[-1] == "glue_score 0.698 (base 0.712, −0.015)"
    assert not any("glue_score" in words for row in together(run) for words in row.beside)


def test_the_page_shows_them_and_a_run_without_them_has_no_such_section(otherwise: Results, run: Results) -> None:
    page, plain = render(otherwise), render(run)
    for words in ("Other ways of asking", "wording “claim”", "calibration error", "glue_score 0.698"):
        assert words in page
    assert (count := re.search(r"\d+ tasks</span>", plain)) and count[0] in page
    assert 'id="ways"' not in plain


def test_efficiency_is_one_table_of_tasks_and_models() -> None:
    spent = {
        "sst2": {"base": {"seconds": 12.5, "computed": 10, "stored": 0, "prompt_tokens": 41250, "answer_tokens": 20}}
    }
    (table,) = fact_tables({"efficiency": spent})
    assert table.columns == ("seconds", "computed", "stored", "prompt tokens", "answer tokens")
    assert [(name, [fact.text for fact in row]) for name, row in table.rows] == [
        ("sst2 · base", ["12.5 s", "10", "0", "41,250", "20"])
    ]


def test_groups_speak_for_many_members_asked_otherwise(run: Results) -> None:
    """Twenty members, each with a twin: the page has the group's ways, results.json the rest."""
    like = next(c for c in run.comparisons if c.task == "mmlu_anatomy" and c.candidate == "lora-r8")
    group = next(c for c in run.comparisons if c.task == "mmlu" and c.candidate == "lora-r8")
    names = [f"subject_{i}" for i in range(20)]
    twin = VARIANTS["mmlu@written"]
    rows = [
        *(replace(like, task=name) for name in names),
        *(
            replace(aside(like, f"{name}@written", twin.metric, 0.7, 0.0), variant=replace(twin, of=name))
            for name in names
        ),
    ]
    whole = aside(group, "mmlu@written", "exact_match,lenient", 0.7, 0.0)
    signature = {**run.signature, "groups": {"mmlu": names, "mmlu@written": [f"{name}@written" for name in names]}}
    many = replace(run, signature=signature, comparisons=(group, *rows, whole))
    assert [table.task for table in variants.variant_tables(many)] == ["mmlu"]
    page = render(many)
    assert "subject_3@written" not in page.split('id="measured"')[0]
    assert "what 20 other ways of asking single members gave is in results.json" in page


def test_what_was_not_measured_is_a_dash_and_no_largest_fall(otherwise: Results) -> None:
    def without(c: Comparison) -> Comparison:
        gone = c.candidate == "full-high" and c.task in ("boolq@bare", "boolq@typos")
        return replace(c, n=0, base=None, candidate_score=None, difference=None) if gone else c

    results = replace(otherwise, comparisons=tuple(map(without, otherwise.comparisons)))
    rows = {row.words: row for row in by_task(variants.variant_tables(results))["boolq"].rows}
    typos, bare = rows["with typos"], rows["wording “bare”"]
    assert (typos.base, bare.base) == ("0.750", "0.810")
    assert typos.cells[0] == bare.cells[0] == variants.VariantCell(score="–", difference="–")
    view = variants.overview(results)
    assert view is not None
    line = next(cells for task, _, cells in view.lines if task == "boolq")
    lowest = line[view.columns.index("other wording, lowest")][0]
    assert lowest and lowest.difference == "0.000"
