"""What runs found as CSV, Markdown, LaTeX and JSON."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import exit_code

from evalharness.errors import UsageError
from evalharness.records.comparison import Comparison, Estimate
from evalharness.records.results import Results
from evalharness.report.formats import COLUMNS, format_runs
from evalharness.results import write_results

ROW = Comparison(
    task="rte", family="glue", level="task", unit=True, metric="acc", primary=True, candidate="lora", n=1300,
    base=Estimate(value=0.8), candidate_score=Estimate(value=0.75),
    difference=Estimate(value=-0.05, low=-0.1, high=0.001), ci_level=0.9, margin=0.02, verdict="inconclusive",
    available=1300, points=True, span=1.0,
)  # fmt: skip
NOTHING = replace(ROW, task="wsc", n=0, base=None, candidate_score=None, difference=None)
BESIDE = replace(ROW, metric="f1", primary=False, margin=None, verdict=None)
HOSTILE = replace(ROW, candidate="=cmd|'/c x'!A", task="<b>|_&_%_\\[x](http://h)")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_results(tmp_path, Results(signature={}, models=(), comparisons=(ROW, NOTHING, BESIDE)))
    return tmp_path


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    (tmp_path / "=hostile").mkdir()
    write_results(tmp_path / "=hostile", Results(signature={}, models=(), comparisons=(HOSTILE,)))
    return tmp_path / "=hostile"


def test_csv_has_every_comparison_with_every_number(run: Path, hostile: Path) -> None:
    first, nothing, beside = csv.DictReader(io.StringIO(format_runs([run], "csv")[0]))
    assert tuple(first) == COLUMNS
    assert {key: first[key] for key in ("base", "score", "difference", "low", "high", "margin", "verdict")} == {
        "base": "0.8", "score": "0.75", "difference": "-0.05", "low": "-0.1", "high": "0.001", "margin": "0.02",
        "verdict": "inconclusive",
    }  # fmt: skip
    assert (nothing["n"], nothing["base"], nothing["low"]) == ("0", "", "")
    assert (beside["metric"], beside["primary"], beside["verdict"]) == ("f1", "False", "")
    *_, last = rows = list(csv.DictReader(io.StringIO(format_runs([run, hostile], "csv")[0])))
    assert [row["run"] for row in rows] == [str(run)] * 3 + [str(hostile)]
    assert last["candidate"] == "'=cmd|'/c x'!A"  # text to a spreadsheet


def test_markdown_shows_what_decides_and_is_no_markup(run: Path, hostile: Path) -> None:
    lines = format_runs([run], "md")[0].splitlines()
    assert lines[2:] == [
        "| lora | rte | acc | 1,300 | 0.800 | 0.750 | −0.050 | &#91;−0.100, +0.001&#93; | 0.02 | inconclusive |",
        "| lora | wsc | acc | 0 | – | – | – | – | 0.02 | inconclusive |",
    ]
    text = format_runs([run, hostile], "md")[0]
    assert text.count("\n### ") == 1 and "<b>" not in text and "http:" not in text
    assert [line.count("|") for line in text.splitlines() if line.startswith("|")] == [11] * 7


def test_latex_is_escaped(hostile: Path) -> None:
    text = format_runs([hostile], "latex")[0]
    assert "\\begin{tabular}" in text and r"\textbackslash" in text and r"\&" in text and "$-$0.050" in text
    assert "−" not in text


def test_json_is_the_results_of_one_run(run: Path, hostile: Path) -> None:
    assert format_runs([run], "json")[0] == (run / "results.json").read_text()
    with pytest.raises(UsageError, match="takes one run, and 2 are given"):
        format_runs([run, hostile], "json")


def test_the_command_prints_them_and_writes_nothing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("md", "csv", "latex", "json"):
        assert exit_code("report", run, "--format", form) == 0
        said = capsys.readouterr().out
        assert (json.loads(said)["comparisons"][0]["task"] if form == "json" else said) and "rte" in said
    assert [path.name for path in run.iterdir()] == ["results.json"]
    assert exit_code("report", run / "none", "--format", "csv") == 2
    assert exit_code("report", run, "--format", "pdf") == 2
