"""Stages on the page: sentences, the three tables, the figure, the section; and stages.json there and back."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evalharness import fingerprint
from evalharness import results as folder_of
from evalharness.errors import UsageError
from evalharness.records.comparison import Estimate
from evalharness.records.results import Results
from evalharness.report.folder import write
from evalharness.report.page import render
from evalharness.report.stage_tables import matrix_table, measure_table, task_table
from evalharness.report.stage_text import notes, sentences
from evalharness.report.stages import STAGES, ContinualMeasure, Stages, StageScore, StageTask, read_stages
from evalharness.report.svg import COLOURS
from evalharness.report.trajectories import trajectories
from evalharness.results.structuring import structure_json

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("full-low", "full-high", "lora-r8")  # of the candidates of `run`


def around(value: float, half: float = 0.02) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half)


def cell(number: int, score: float, known: float | None, state: str | None, base: float = 0.5) -> StageScore:
    blank = StageScore(stage=NAMES[number], n=100, score=around(score), difference=around(score - base), verdict=None)
    if known is None:
        return blank
    since, kept = around(score - known), around(score / known)
    return replace(
        blank, reference="base", since=since, retained=kept, p_forgotten=0.0001, p_adjusted=0.0004, state=state
    )


def column(
    name: str, scores: tuple[float, float, float], states: tuple[str | None, ...], learned: int = 0
) -> StageTask:
    known = [0.5 if i < learned else [0.5, *scores][learned] for i in range(3)]
    cells = tuple(
        cell(i, score, known[i] if i != learned - 1 else None, state)
        for i, (score, state) in enumerate(zip(scores, states, strict=True))
    )
    first = next((each.stage for each in cells if each.state == "forgotten"), None)
    after = None if first is None else "stays" if states[-1] == "forgotten" else "comes_back"
    head = (name, "task", "acc", "binary", True, True, 0.02, 0.0, learned, around(0.5), cells)
    return StageTask(*head, joint=around(0.95), scale=1.0, first=first, after=after)


@pytest.fixture
def stages() -> Stages:
    columns = (
        column("topics", (0.9, 0.7, 0.6), (None, "forgotten", "forgotten"), learned=1),
        column("rte", (0.2, 0.5, 0.5), ("forgotten", "inconclusive", "retained")),
        column("sst2", (0.5, 0.5, 0.5), ("retained", "retained", "retained")),
        replace(
            column("points", (0.5, 0.4, 0.3), (None, None, None)), kind="opaque", reason="it has no rows", scale=None
        ),
    )
    measures = [
        ContinualMeasure(over=kind, name=name, tasks=1, estimate=around(-0.2))
        for kind in ("learned", "all")
        for name in ("accuracy", "backward_transfer", "forgetting")
    ]
    measures += [
        ContinualMeasure(over=kind, name=name, tasks=1, estimate=None, reason="none")
        for kind in ("learned", "all")
        for name in ("forward_transfer", "intransigence")
    ]
    measures += [
        ContinualMeasure(over="general", name=name, tasks=0, estimate=None, reason="no such task")
        for name in ("accuracy", "backward_transfer", "forgetting", "forward_transfer", "intransigence")
    ]
    learned = {NAMES[0]: ("topics",), NAMES[1]: (), NAMES[2]: ()}
    return Stages(
        base="base",
        stages=NAMES,
        learned=learned,
        joint="joint",
        fresh=None,
        alpha=0.05,
        level=0.9,
        tests=8,
        rule="The rule.",
        scaled=False,
        columns=columns,
        measures=tuple(measures),
        of="",
    )


def test_sentences_name_the_first_stage_and_what_came_after(stages: Stages) -> None:
    found = sentences(stages)
    assert (
        found[0]
        == "rte is forgotten at full-low (−0.300 since base, adjusted p <0.001): retained again at the last stage"
    )
    assert (
        found[1]
        == "topics is forgotten at full-high (−0.200 since base, adjusted p <0.001): forgotten at every stage after it"
    )
    assert found[2:4] == ["Not shown to be forgotten at any stage: sst2", "Retained at the last stage: sst2"]
    assert found[4].endswith(": points") and list(notes(stages)) == [
        "The rule.",
        "points is in no measure: it has no rows.",
    ]


def test_what_was_lost_before_it_was_taught(stages: Stages) -> None:
    again = replace(
        column("late", (0.1, 0.2, 0.9), ("forgotten", "forgotten", None), learned=3),
        first=None,
        after=None,
        untaught="full-low",
    )
    found = replace(stages, columns=(again,))
    assert sentences(found) == [
        "late is forgotten at full-low (−0.400 since base, adjusted p <0.001): before lora-r8 taught it"
    ]
    assert task_table(found).rows[0][1:4] == ("lora-r8", "full-low (before it was taught)", "–")
    assert "late after full-low: 0.20, forgotten" in trajectories(found)
    assert list(notes(found)) == ["The rule."]


def test_the_matrix_lies_along_its_shorter_side(stages: Stages) -> None:
    table = matrix_table(stages)
    assert table.columns == ("", "topics", "rte", "sst2", "points") and [row[0] for row in table.rows] == [
        "base",
        *NAMES,
        "joint (joint)",
    ]
    assert table.rows[1][1:3] == ("0.900 (+0.400)*", "0.200 (−0.300)▼") and table.rows[2][1] == "0.700 (+0.200)▼"
    many = replace(stages, columns=stages.columns * 2)
    assert (
        matrix_table(many).columns == ("", "base", *NAMES, "joint (joint)")
        and matrix_table(many).rows[0][2] == "0.900 (+0.400)*"
    )


def test_measures_and_tasks(stages: Stages) -> None:
    table = measure_table(stages)
    assert table.columns == ("", "tasks that were learned (1)", "all tasks (1)")
    assert [row[1] for row in table.rows] == [
        "−0.200 [−0.220, −0.180]",
        "−0.200 [−0.220, −0.180]",
        "– (none)",
        "−0.200 [−0.220, −0.180]",
        "– (none)",
    ]
    rows = {row[0]: row[1:] for row in task_table(stages).rows}
    assert rows["topics"] == (
        "full-low",
        "full-high",
        "forgotten at every stage after it",
        "−0.300 [−0.320, −0.280]",
        "0.67",
    )
    assert rows["sst2"][1:3] == ("–", "–")


def test_there_and_back_and_only_with_its_results(stages: Stages, tmp_path: Path) -> None:
    assert read_stages(tmp_path) is None
    (tmp_path / "results.json").write_text("{}")
    own = replace(stages, of=fingerprint.of_file(tmp_path / "results.json"))
    (tmp_path / "stages.json").write_text(STAGES.text(own))
    assert read_stages(tmp_path) == own
    (tmp_path / "results.json").write_text("{} ")
    assert read_stages(tmp_path) is None
    for text, words in (
        (STAGES.text(own).replace('"schema_version": 1', '"schema_version": 9'), "stages of schema version 9, "),
        ("[]", "not the stages of evalharness"),
    ):
        (tmp_path / "stages.json").write_text(text)
        with pytest.raises(UsageError, match=words):
            read_stages(tmp_path)


def test_the_figure_fills_what_is_forgotten_and_is_the_same_every_time(stages: Stages) -> None:
    text = trajectories(stages)
    assert text == trajectories(stages) and not any(colour in text for colour in COLOURS)
    root = ElementTree.fromstring(text)
    ids = [str(element.get("id")) for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids)) and all(key.startswith("trajectories-") for key in ids)
    tips = [str(element.text) for element in root.iter(f"{SVG}title")]
    assert "topics after full-high: 0.78, forgotten" in tips and "sst2 after lora-r8: 1.00" in tips
    fills = {
        str(g.get("id")): str(next(g.iter(f"{SVG}use")).get("style"))
        for g in root.iter(f"{SVG}g")
        if "-task-" in str(g.get("id"))
    }
    assert (
        "fill: var(--c0)" in fills["trajectories-task-0-2"] and "fill: var(--paper)" in fills["trajectories-task-0-1"]
    )
    assert trajectories(replace(stages, columns=())) == ""
    long = replace(stages, stages=tuple(f"a rather long name of stage {i}" for i in range(3)))
    assert "rotate" in trajectories(long)


def test_the_page_has_the_section_where_the_folder_has_stages_of_its_run(
    run: Results, stages: Stages, tmp_path: Path
) -> None:
    page = render(run, stages=stages)
    assert (
        'id="stages"' in page
        and "The rule." in page
        and "learned here" in page
        and 't-forgotten"><span><b>0.200</b> −0.300' in page
    )
    assert 'id="stages"' not in render(run)
    folder_of.write_results(tmp_path, run)
    (tmp_path / "stages.json").write_text(STAGES.text(stages))
    assert 'id="stages"' not in write(tmp_path).read_text()
    (tmp_path / "stages.json").write_text(
        STAGES.text(replace(stages, of=fingerprint.of_file(tmp_path / "results.json")))
    )
    assert 'id="stages"' in write(tmp_path).read_text()


def test_hostile_names_stay_text(run: Results, stages: Stages) -> None:
    bad = "<script>alert(1)</script>\u202e"
    hostile = replace(stages, base=bad, rule=bad, columns=tuple(replace(each, name=bad) for each in stages.columns))
    page = render(run, stages=hostile)
    assert "<script>alert" not in page and "\u202e" not in page


def test_a_stage_that_was_not_measured_is_a_dash(stages: Stages, tmp_path: Path) -> None:
    topics, *others = stages.columns
    gap = StageScore(stage=NAMES[2], n=0, score=None, difference=None, verdict=None, reference="full-low")
    first, second, _ = topics.cells
    found = replace(stages, columns=(replace(topics, cells=(first, second, gap)), *others))
    assert matrix_table(found).rows[3][1] == "– (–)" and task_table(found).rows[0][4:] == ("–", "–")
    assert "topics after lora-r8" not in trajectories(found) and "topics after full-high" in trajectories(found)
    assert structure_json(json.loads(json.dumps(asdict(found))), Stages, "stages.json") == found
