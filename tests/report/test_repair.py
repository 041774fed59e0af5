"""A repair on the page: sentences, table, figure; and repair.json there and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from report.page_outline import Outline

from evalharness.errors import UsageError
from evalharness.records.comparison import Estimate
from evalharness.records.results import Results
from evalharness.report.page import render
from evalharness.report.repair import REPAIR, PathPoint, Repair
from evalharness.report.repair_curve import repair_curve
from evalharness.report.repair_table import path_table, sentences

BAD = "<script>alert(1)</script>"


def point(scale: float, gain: float, loss: float) -> PathPoint:
    around = Estimate(value=loss, low=loss - 0.3, high=loss + 0.3)
    return PathPoint(scale=scale, gain=Estimate(value=gain), suite=around, fingerprint="f")


REPAIRED = Repair(
    candidate="full", candidate_fingerprint="a", base="tiny", base_fingerprint="b", target="topics", suite="demo",
    seed=1, limit=None, rule="knee", rule_words="The rule.", rows_a=30, rows_b=31, chosen=0.5, repaired="c",
    points=(point(0.0, 0.0, 0.0), point(0.5, 0.4, -0.2), point(1.0, 0.5, -3.0)),
)  # fmt: skip


def test_it_is_read_back_as_it_was_written_and_refused_when_changed(tmp_path: Path) -> None:
    assert REPAIR.read(tmp_path) is None
    (tmp_path / REPAIR.name).write_text(REPAIR.text(REPAIRED))
    assert REPAIR.read(tmp_path) == REPAIRED
    (tmp_path / REPAIR.name).write_text(REPAIR.text(REPAIRED).replace("0.4", "0.9"))
    with pytest.raises(UsageError, match="changed after it was written"):
        REPAIR.read(tmp_path)


def test_the_page_has_the_curve_the_table_and_the_rule(run: Results) -> None:
    page = render(run, repairs=[REPAIRED])
    outline = Outline(page)
    assert not outline.wrong and 'id="repair"' in page and "The rule." in outline.text()
    assert "full was taken back to tiny + 0.5" in outline.text() and 'id="repair"' not in render(run)
    hostile = replace(REPAIRED, candidate=BAD, base=BAD, target=BAD)
    assert BAD not in render(run, repairs=[hostile]) and not Outline(render(run, repairs=[hostile])).wrong


def test_several_repairs_have_a_part_each_and_a_split_is_named(run: Results) -> None:
    second = replace(REPAIRED, candidate="lora", choose_split="validation")
    page = render(run, repairs=[REPAIRED, second])
    assert not Outline(page).wrong and 'id="repair-1"' in page and "The repair of lora" in page
    assert "chosen on the validation rows (30 rows of all tasks)" in " ".join(sentences(second))


def test_the_figure_marks_every_point_and_needs_two() -> None:
    svg = ElementTree.fromstring(repair_curve(REPAIRED))
    ids = {each.get("id") for each in svg.iter()}
    assert sum(str(each).endswith(("point-0", "point-1", "point-2")) for each in ids) == 3
    unmeasured = replace(REPAIRED.points[2], gain=None)
    assert repair_curve(replace(REPAIRED, points=(REPAIRED.points[0], unmeasured))) == ""


def test_the_table_has_a_row_for_each_point() -> None:
    table = path_table(REPAIRED)
    assert [row[0] for row in table.rows] == ["0", "0.5", "1"]
    assert [row[-1] for row in table.rows] == ["the base", "● chosen", "the candidate"]
    none = replace(REPAIRED, chosen=None, repaired="", reason="none helps")
    assert "by half A (30 rows of all tasks) and no verdict; half B was not asked" in " ".join(sentences(none))
    assert "not finished" in " ".join(sentences(replace(none, reason="")))
    assert "of which at most 9 a task" in " ".join(sentences(replace(REPAIRED, limit=9)))


def test_blocks_have_rows_and_marks_of_their_own_and_the_chosen_one_is_said() -> None:
    own = (replace(point(0.5, 0.45, -0.3), blocks=(0.75, 0.5)), replace(point(0.5, 0.2, -0.1), blocks=(0.75, 0.25)))
    layers = ("model.layers.0–1", "model.layers.2–3")
    blocks = replace(REPAIRED, block_count=2, block_layers=layers, block_points=own, chosen_blocks=(0.75, 0.5))
    table = path_table(blocks)
    assert [row[0] for row in table.rows] == ["0", "0.5", "1", "0.75 · 0.5", "0.75 · 0.25"]
    assert [row[-1] for row in table.rows] == ["the base", "the one for all blocks", "the candidate", "● chosen", ""]
    said = " ".join(sentences(blocks))
    assert "tiny + (model.layers.0–1: 0.75, model.layers.2–3: 0.5) × what" in said and "by 2 more looks" in said
    ids = {str(each.get("id")) for each in ElementTree.fromstring(repair_curve(blocks)).iter()}
    assert any(each.endswith("-4") for each in ids)
    same = replace(blocks, chosen_blocks=(0.5, 0.5))
    assert "tiny + 0.5 ×" in " ".join(sentences(same)) and "and none was better" in " ".join(sentences(same))
    assert path_table(same).rows[1][-1] == "● chosen"
