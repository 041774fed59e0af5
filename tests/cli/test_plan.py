"""`evalharness plan` as a user meets it: the table, the advice, the document, errors, and no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from evalharness.cli.plan import advice, ceiled, lines, plan_command
from evalharness.errors import UsageError
from evalharness.experiments import power_forecast as campaign
from evalharness.experiments.cost import Work
from evalharness.experiments.power_forecast import Forecast, Row
from evalharness.stats.forecast import WHY
from evalharness.stats.gate_forecast import GateOdds

ROW = Row(
    name="rte", level="task", family="glue", metric="acc", kind="binary", available=277, units=277, examples=277, effective=277.0, margin=0.02,
    how="assumed", flips=0.1, base=None, base_needed=0.6, largest_margin=0.1, reason=None, certifiable=0.0487, detectable=0.0824, needed=1565,
    retained=0.27, forgotten=0.0001, expected="inconclusive",
)  # fmt: skip
ODDS = GateOdds(0.35, 0.0, 0.65, 0.02, 0.031, 300)


def told(*rows: Row, **about: object) -> Forecast:
    unknown = tuple(row.name for row in rows if row.how == "unknown")
    found = Forecast(
        "glue", 0.02, 0.05, 0.8, len(rows), 0.1, 0.5, None, rows, (), ODDS, tuple(row.name for row in rows), unknown
    )
    return replace(found, **about)  # type: ignore[arg-type]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DRAWS", "FEWEST"):
        monkeypatch.setattr(campaign, name, 10)


def plan(world: Path, *arguments: str) -> Result:
    places = ["--include-path", str(world / "tasks"), "--data-dir", str(world / "data"), "-q"]
    return CliRunner().invoke(plan_command, [*places, *arguments], standalone_mode=False)


def test_a_table_with_advice_and_the_gate(small_world: Path, quick: None, tmp_path: Path) -> None:
    done = plan(
        small_world,
        "--task",
        "yes_no",
        "--task",
        "echo",
        "--flips",
        "0.5",
        "--margin",
        "yes_no=0.1",
        "--out",
        str(tmp_path),
    )
    assert done.exception is None, done.output
    head, assumption, titles, first, second = done.output.splitlines()[:5]
    assert (
        head == "suite: what 2 gate units can decide (power 0.8, error rate 0.05)"
        and "assumed, not known: 50% of the answers" in assumption
    )
    assert titles.split()[:4] == ["units", "of", "worth", "metric"]
    assert first.split()[:6] == ["yes_no", "30", "30", "30", "acc", "0.1"] and second.split()[:2] == ["echo", "30"]
    assert "yes_no: 30 units certify 0." in done.output and "gate, if nothing was forgotten" in done.output
    document = json.loads((tmp_path / "plan.json").read_text())
    assert (
        [row["name"] for row in document["rows"]] == ["yes_no", "echo"]
        and document["gate"]["draws"] == 10
        and document["advice"]
    )


def test_one_json_document(small_world: Path, quick: None) -> None:
    done = plan(small_world, "--task", "yes_no", "--flips", "0.5", "--limit", "12", "--json")
    document = json.loads(done.output)
    assert (document["rows"][0]["units"], document["rows"][0]["available"], document["flips"], document["earlier"]) == (
        12,
        30,
        0.5,
        None,
    )
    assert document["work"] == [] and document["loading"] is None


def test_what_is_wrong_is_said(small_world: Path, tmp_path: Path) -> None:
    for arguments, what in (
        ([], "nothing to plan"),
        (["--task", "yes_no", "--probe", "3"], "no model to answer"),
        (["--task", "yes_no", "--power", "1.5"], "--power"),
        (["--task", "yes_no", "--margin", "rte=0.1"], "no task, group or suite 'rte'"),
        (["--task", "yes_no", "--from", str(tmp_path)], "no measurements here"),
        (["--task", "yes_no", "--base", str(tmp_path / "none")], "none"),
    ):
        done = plan(small_world, *arguments)
        assert isinstance(done.exception, UsageError) or done.exception.exit_code == 2, arguments  # type: ignore[union-attr]
        assert what in str(done.exception)


def test_advice_is_one_sentence_a_unit_that_is_too_small() -> None:
    def said(**changes: object) -> str:
        return " ".join(advice(told(replace(ROW, **changes))))  # type: ignore[arg-type]

    assert (
        said()
        == "rte: 277 units certify 0.049, not 0.02: state --margin rte=0.049 (if losing that is acceptable) or pool"
    )
    assert "raise --limit to 1565, or state" in said(available=3000)
    assert said(retained=0.85) == ""
    assert "above 0.04 is large against the base's skill: pool" in said(largest_margin=0.04)
    assert "certify no margin at all" in said(certifiable=None)
    assert "at the edge" in said(certifiable=0.019)
    assert "8 units decide nothing" in said(units=8, reason=WHY["few_units"])
    assert "knows nothing to forget (0.510)" in said(base=0.51, reason=WHY["base_at_chance"])
    assert "20% of the skill of any base (0.1 would be the most)" in said(reason=WHY["margin_exceeds_skill"])
    unknown = said(how="unknown", metric="rougeL", certifiable=None, detectable=None, needed=None, retained=None)
    assert (
        unknown
        == "not known without an earlier run (--from RUN), because these metrics are no counts of right answers: rte (rougeL)"
    )


def test_what_the_lines_say_of_the_gate_and_of_the_work() -> None:
    text = "\n".join(lines(told(ROW)))
    assert "35.0% ± 2.8%  passes" in text and "below 1.0%  fails, wrongly" in text
    assert "the suite certifies 0.031 of skill, not 0.02: state --margin glue=0.031" in text
    work = (Work("rte", 10, 2000, 40, False, 2.0), Work("xsum", 5, 5000, 640, True, 120.0))
    text = "\n".join(lines(told(ROW, work=work, loading=3.0, gate=None, earlier="runs/a#lora")))
    assert "gate: not known" in text and "known from runs/a#lora; where it says nothing" in text
    assert "≤ 640" in text and "2 min" in text and "base and one candidate together about 4 min" in text
    assert "time" not in "\n".join(lines(told(ROW, work=work)))


def test_rounding_up_keeps_two_digits() -> None:
    assert [ceiled(value) for value in (0.0487, 0.05, 2.86, 0.00598, 0.999)] == [0.049, 0.05, 2.9, 0.006, 1.0]


def test_no_torch_without_a_base(small_world: Path) -> None:
    arguments = [
        "plan",
        "--include-path",
        str(small_world / "tasks"),
        "--data-dir",
        str(small_world / "data"),
        "--task",
        "echo",
        "-q",
    ]
    code = (
        "import sys\nfrom evalharness.experiments import power_forecast\npower_forecast.DRAWS = power_forecast.FEWEST = 2\nfrom evalharness.cli.main import main\n"
        f"try:\n    main({[*arguments, '--flips', '0.9']!r})\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "assert not {'torch', 'transformers', 'peft', 'datasets', 'evaluate'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
