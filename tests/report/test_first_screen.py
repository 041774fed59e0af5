"""What the first screen and the terminal say of several candidates, on tables that were compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from compared_tables import Changes, compared_candidates
from report.page_outline import Outline

import evalharness
from evalharness.analysis.candidate_order import candidate_order
from evalharness.analysis.gate import judge
from evalharness.records.policy import Policy
from evalharness.records.results import Results
from evalharness.report.candidate_lines import candidate_lines
from evalharness.report.first_screen import first_screen
from evalharness.report.forest import forest
from evalharness.report.gate_files import markdown
from evalharness.report.gate_lines import GateText
from evalharness.report.page import render
from evalharness.report.sentences import headline
from evalharness.report.tradeoff import tradeoff

LONG = "abstract_algebra_of_the_longest_name_that_anyone_gave_a_task_in_five_shots"
CUT = "bigbench_language_identification_multiple_choice_grade"
MIXED: Changes = {
    "lost": {"topics": (0, 190), "boolq": (180, 0), "copa": (0, 150), LONG: (0, 150)},
    "kept": {"topics": (0, 150), "boolq": (2, 0), "copa": (0, 0), LONG: (0, 0)},
    "more": {"topics": (0, 190), "boolq": (0, 0), "copa": (0, 0), LONG: (9, 0)},
    "same": {"topics": (0, 1), "boolq": (0, 0), "copa": (0, 0), LONG: (0, 0)},
    "open": {"topics": (0, 150), "boolq": (30, 0), "copa": (30, 0), LONG: (10, 0)},
    "gone": {"topics": (0, 170), "boolq": (700, 0), "copa": (700, 0), LONG: (700, 0)},
    "half": {"topics": (0, 170), "boolq": (600, 0), "copa": (600, 0), LONG: (600, 0)},
}
TARGET = {"target": "topics"}


def results_of(folder: Path, changes: Changes, examples: int = 1000, **options: Any) -> Results:
    return evalharness.load(compared_candidates(folder, changes, examples, **options)).record


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return results_of(tmp_path_factory.mktemp("mixed"), MIXED, **TARGET)


def said_by_the_terminal(results: Results) -> list[str]:
    policy = Policy()
    return list(GateText(judge(results, policy), results, policy).lines())


def test_page_terminal_comment_and_notebook_name_the_same_first_and_the_rule(mixed: Results) -> None:
    choice = (
        "Of the 2 that may ship, more has the largest shown gain on topics; that it gained more than kept is shown "
        "(their 90 % intervals do not overlap)."
    )
    order = ["more", "kept", "same", "open", "lost", "half", "gone"]
    page, lines = Outline(render(mixed)).text(), said_by_the_terminal(mixed)
    page = " ".join(page.split())
    assert choice in page.replace(" _ ", "_") and f"  {choice}" in lines
    rule = "Order: by decision; those that may ship by their gain on topics, the largest shown first; others by"
    assert rule in page and any(rule in line for line in lines)
    marked = [line.split()[:2] for line in lines if re.match(r"  [✓○?✗!] ", line)]
    assert marked == [["✓", "more"], ["✓", "kept"], ["○", "same"], ["?", "open"], *(["✗", each] for each in order[4:])]
    policy = Policy()
    comment = markdown(GateText(judge(mixed, policy), mixed, policy))
    assert [line.split()[1:3] for line in comment.splitlines() if re.match(r"\* [✓○?✗!] ", line)] == marked
    assert "the largest shown gain on topics" in comment and "the largest shown gain on topics" in first_screen(mixed)
    assert [each.name for each in candidate_lines(mixed, candidate_order(mixed))] == order


def test_the_lines_tell_a_shown_loss_from_one_that_is_possible(mixed: Results) -> None:
    lines = {each.name: each for each in candidate_lines(mixed, candidate_order(mixed))}
    assert (lines["kept"].loss, lines["kept"].loss_note) == (
        "−0.2 points [−0.6, +0.1]", "on boolq: within its margin, 2.0"
    )  # fmt: skip
    assert lines["lost"].loss.startswith("−18.0 points [−2")
    assert lines["lost"].loss_note == "on boolq: exceeds its margin, 2.0"
    assert lines["open"].loss_note == "on boolq: may exceed its margin, 2.0"
    assert lines["gone"].loss_note == "on boolq, one of 3 over the margin"
    assert lines["more"].loss_note == f"on {LONG}: within its margin, 2.0"
    assert lines["more"].next_step == "Ship it." and lines["kept"].next_step == "It can ship in place of more."
    same = lines["same"]
    assert (same.mark, same.words, same.but, same.decision) == ("○", "may ship", "but did not learn", "inconclusive")


def test_long_names_are_whole_and_break_behind_their_underscores(mixed: Results) -> None:
    page = render(mixed)
    first = page[: page.index('id="matrix"')]
    assert "…" not in re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", first, flags=re.DOTALL)
    assert LONG.replace("_", "_<wbr>") in first


def test_no_name_is_cut_in_the_figures(tmp_path: Path) -> None:
    kept = {LONG: (0, 190), LONG[:-6]: (2, 0), "copa": (0, 0)}
    of_long = results_of(tmp_path, {"a": kept}, target=LONG)
    assert "learned: the target, points" in tradeoff(of_long) and f"{LONG} +19.0 points" in tradeoff(of_long)
    lines = re.findall(r"<text[^>]*>([^<]*)</text>", forest(results_of(tmp_path, {"a": {"copa": (0, 0), CUT: (2, 0)}})))
    assert "…" not in "".join(lines) and CUT in "".join(lines)


def test_the_figure_marks_the_decisions_and_says_where_the_axis_is_uneven(mixed: Results) -> None:
    svg = tradeoff(mixed)
    marks = dict(re.findall(r'id="tradeoff-decision-label-(\d+)".*?<text[^>]*>([^<]+)</text>', svg, re.DOTALL))
    shown = {mixed.candidates[int(i)]: mark for i, mark in marks.items()}
    assert shown == {"more": "✓", "kept": "✓", "same": "○", "open": "?", "lost": "✗", "gone": "✗", "half": "✗"}
    assert "beyond 3 margins the axis is compressed" in svg and ">margin</text>" in svg
    assert "✗ lost (may not ship): +" in svg, "right of the line, and may not ship all the same"
    page = " ".join(Outline(render(mixed)).text().split())
    assert "✓ may ship ○ may ship, did not learn ? undecided ✗ may not ship 90 % interval" in page


def test_an_axis_that_is_to_scale_says_nothing_of_breaks(tmp_path: Path) -> None:
    kept = results_of(tmp_path, {"a": MIXED["kept"], "b": MIXED["kept"]}, **TARGET)
    assert "compressed" not in tradeoff(kept)
    assert headline(candidate_order(kept).candidates) == ("Both candidates may ship",)
    assert "that it gained more than b is not shown" in candidate_order(kept).choice


def test_one_of_sixty_small_tasks_may_stop_a_candidate(tmp_path: Path) -> None:
    tasks = {f"tiny{i}": (0, 0) for i in range(60)}
    sixty = results_of(tmp_path, {"one": {**tasks, "tiny7": (12, 0)}, "two": {**tasks, "tiny7": (1, 0)}}, examples=20)
    lines = {each.name: each for each in candidate_lines(sixty, candidate_order(sixty))}
    assert headline(candidate_order(sixty).candidates) == ("two may ship", "one may not")
    assert lines["one"].loss_note == "on tiny7: exceeds its margin, 2.0"
    assert lines["two"].loss_note == "on tiny7: may exceed its margin, 2.0"
    assert candidate_order(sixty).rule.startswith("Order: by decision, then by the mean loss")


def test_a_pass_that_learned_nothing_is_no_success_anywhere(tmp_path: Path) -> None:
    alone = results_of(tmp_path, {"same": MIXED["same"]}, **TARGET)
    assert headline(candidate_order(alone).candidates) == ("same did not learn topics, though it may ship",)
    (line,) = (line for line in said_by_the_terminal(alone) if "same may ship" in line)
    assert line.startswith("  ○ same may ship, but did not learn topics: ")
    assert "✓" not in Outline(render(alone)).text().partition("Tasks and candidates")[0]
