"""What the gate writes for other programs: documents, JUnit XML, Markdown, and commands of GitHub Actions."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from evalharness.analysis.candidate_order import JudgedCandidate
from evalharness.analysis.gate import judge
from evalharness.errors import StoreError
from evalharness.records.comparison import Comparison, Estimate, Flag
from evalharness.records.policy import Policy
from evalharness.records.results import ModelRow, Results
from evalharness.report import gate_files, github
from evalharness.report.gate_lines import GateText, headline

HOSTILE = "a::error::x\n::stop-commands::t ##[error]y <b>@me</b> [l](http://h) www.h.de |`*_# %0A\x1b[31m\u202e"
ROW = Comparison(
    task="rte", family="glue", level="task", unit=True, metric="acc", primary=True, candidate="lora", n=300,
    base=Estimate(value=0.8), candidate_score=Estimate(value=0.8),
    difference=Estimate(value=0.0, low=-0.041, high=0.04),
    ci_level=0.9, lost=4, gained=4, p_forgotten=0.99, p_forgotten_adjusted=1.0, p_retained=0.01, p_difference=1.0,
    margin=0.02, verdict="retained", available=3270, points=True, span=1.0,
)  # fmt: skip
SUITE = replace(
    ROW, task="demo", level="suite", metric="margins", margin=1.0, difference=Estimate(value=0.1, low=-0.4, high=0.4),
    points=False, span=None,
)  # fmt: skip
LOST = {"verdict": "forgotten", "difference": Estimate(value=-0.1, low=-0.14, high=-0.06)}
OPEN = {"verdict": "inconclusive", "p_retained": 0.3}
EVERY = (
    SUITE,
    ROW,
    replace(ROW, task="cola", **LOST),
    replace(ROW, task="sst2", **OPEN),
    replace(ROW, task="mrpc", **OPEN, flags=(Flag.SUSPECT,)),
    replace(ROW, task="wsc", **OPEN, n=0, difference=None),
)


def text_of(*rows: Comparison, policy: Policy | None = None, **other: object) -> GateText:
    names = dict.fromkeys(row.candidate for row in rows)
    models = tuple(
        ModelRow(name=name, kind="lora", fingerprint="f", base="base", parameters=1, trainable=1, trainable_share=1.0,
                 bytes=1)
        for name in names
    )  # fmt: skip
    results = Results(signature={}, models=models, comparisons=rows, **other)
    return GateText(judge(results, policy or Policy()), results, policy or Policy())


def test_the_headline_names_the_candidate_its_units_the_suite_and_the_largest_loss() -> None:
    (candidate,) = text_of(*EVERY).decision.candidates
    assert headline(JudgedCandidate(candidate)) == (
        "lora is incomplete: 5 gate units, 1 not measured, 1 forgotten, 1 suspect, 1 inconclusive and 1 retained; "
        "suite +0.10 margins [−0.40, +0.40]; lowest cola −10.0 points [−14.0, −6.0]"
    )
    (candidate,) = text_of(SUITE, ROW).decision.candidates
    assert headline(JudgedCandidate(candidate)).startswith("lora may ship: 1 gate unit, 1 retained; suite ")


def test_the_document_states_every_unit_with_what_it_does_not_exclude() -> None:
    document = json.loads(json.dumps(gate_files.document(text_of(*EVERY, policy=Policy(ceiling=0.05)))))
    assert set(document) == {
        *("exit_code", "outcome", "reasons", "remarks", "candidates", "policy", "changed", "notice")
    }  # fmt: skip
    (candidate,) = document["candidates"]
    suite, *units = candidate["units"]
    assert (suite["level"], suite["outcome"], suite["loss_not_excluded"]) == ("suite", "retained", None)
    assert [(unit["name"], unit["outcome"], unit["loss_not_excluded"]) for unit in units] == [
        ("rte", "retained", 0.041),
        ("cola", "forgotten", 0.14),
        ("sst2", "inconclusive", 0.041),
        ("mrpc", "suspect", 0.041),
        ("wsc", "not measured", None),
    ]
    assert [bool(unit["reason"]) for unit in units] == [False, True, False, True, True]
    assert units[0]["base"]["value"] == 0.8 and units[0]["difference"]["low"] == -0.041


def test_forgotten_fails_undecided_is_skipped_and_broken_is_an_error() -> None:
    """As a JUnit reader of its own sees it."""
    (suite,) = JUnitXml.fromstring(gate_files.junit(text_of(*EVERY).decision))
    kinds = {case.name: [type(result) for result in case.result] for case in suite}
    assert kinds == {
        "suite demo": [],
        "rte": [],
        "cola": [Failure],
        "sst2": [Skipped],
        "mrpc": [Skipped],
        "wsc": [Error],
        "complete": [Error],
    }
    assert (suite.tests, suite.failures, suite.skipped, suite.errors) == (7, 1, 2, 2)
    (nothing,) = JUnitXml.fromstring(gate_files.junit(text_of().decision))
    assert nothing.errors == 1


def test_hostile_names_stay_text_in_every_format() -> None:
    rows = [replace(row, candidate=HOSTILE, task=row.task + HOSTILE) for row in EVERY]
    text = text_of(*rows)
    root = ElementTree.fromstring(gate_files.junit(text.decision))
    assert len(list(root.iter("testcase"))) == 7
    comment = gate_files.markdown(text)
    ours = re.compile(r"</?(details|summary|sub)>|^### |^\* [!✗] |^\* ", re.MULTILINE)
    assert not re.search(r"[<>@|`*_\[\]!#](?!\d+;)", ours.sub("", comment).replace("evalharness: gate no verdict:", ""))
    assert "http:" not in comment and "www." not in comment and "\x1b" not in comment and "\u202e" not in comment
    commands = list(github.commands(text))
    assert len(commands) == 1
    for line in commands:
        assert "\n" not in line and "##[" not in line and "\x1b" not in line
        kind, _, message = line[2:].partition("::")
        assert kind.startswith("error title=evalharness gate%3A ") and kind.count(":") == 0 and kind.count(",") == 0
        assert message


def test_a_comment_is_as_long_as_github_takes() -> None:
    rows = [replace(ROW, task=f"task {n} " + "x" * 300, **LOST) for n in range(400)]
    comment = gate_files.markdown(text_of(SUITE, *rows))
    assert len(comment) <= 65_536 and comment.endswith("\n</details>\n\n… shortened\n")


@pytest.mark.parametrize("length", (100, 200, 300))
def test_a_shortened_comment_names_every_candidate_and_closes_what_it_opens(length: int) -> None:
    rows = [replace(ROW, task=f"task {n} " + "x" * length, **LOST) for n in range(40)]
    comment = gate_files.markdown(
        text_of(*(replace(row, candidate=f"c{n}") for n in range(30) for row in (SUITE, *rows)))
    )
    assert comment.endswith("… shortened\n") and len(comment) <= 65_536
    assert [len(re.findall(rf"^\* ✗ c{n} may not ship&#58; ", comment, re.MULTILINE)) for n in range(30)] == [1] * 30
    tags = re.findall(r"</?details>", comment)
    assert tags == ["<details>", "</details>"] * (len(tags) // 2) and len(tags) > 2


def test_ten_annotations_of_a_kind_are_shown_and_the_last_says_how_many_more() -> None:
    rows = [replace(row, candidate=f"c{n}") for n in range(14) for row in (SUITE, replace(ROW, **LOST))]
    commands = list(github.commands(text_of(*rows)))
    assert len(commands) == 10
    assert commands[-1] == "::error title=evalharness gate%3A more::5 more candidates, see the log of this step"


def test_a_summary_is_added_to_what_the_step_says_already(tmp_path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    github.write_summary("after\n", {"GITHUB_STEP_SUMMARY": str(path)})
    github.write_summary("nowhere\n", {})
    assert path.read_text() == "before\nafter\n"
    for place in (tmp_path, tmp_path / "none" / "x", "a\0b"):
        with pytest.raises(StoreError, match="GITHUB_STEP_SUMMARY: cannot be written"):
            github.write_summary("x", {"GITHUB_STEP_SUMMARY": str(place)})
    assert github.is_runner({"GITHUB_ACTIONS": "true"}) and not github.is_runner({"GITHUB_ACTIONS": "false"})
