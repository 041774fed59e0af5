"""Drift on inputs of a target, and drift with its forecast alone: no task is answered, and nothing is judged."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import exit_code
from drift_tables import table_text

from evalharness import results
from evalharness.analysis.drift import INPUTS, NEUTRAL, OWN
from evalharness.analysis.drift_forecast import OWN_QUESTIONS
from evalharness.analysis.gate import judge
from evalharness.records.drift_table import TableCandidate
from evalharness.records.policy import Policy
from evalharness.report.drift_forecast import NOTHING_JUDGED
from evalharness.report.terminal import run_lines

SUITE = "suite: small\ntasks: [yes_no, echo]\n"


@pytest.fixture
def run(zoo: dict[str, Path], small_world: Path, tmp_path: Path) -> Callable[..., int]:
    (tmp_path / "tasks" / "suites").mkdir(parents=True)
    (tmp_path / "tasks" / "suites" / "small.yaml").write_text(SUITE)
    (tmp_path / "neutral.txt").write_text("the cat sat on a mat\n\nred blue green houses\n")

    def invoke(*options: object, out: str = "out", base: str = "llama", target: str = "yes_no") -> int:
        places = ["--include-path", small_world / "tasks", "--include-path", tmp_path / "tasks"]
        shared = ["--suite", "small", "--data-dir", small_world / "data", "--drift-text", tmp_path / "neutral.txt"]
        files = ["--out", tmp_path / out, "--store", tmp_path / "store.sqlite", "--device", "cpu"]
        models = ["--base", f"base={zoo[base]}", *(["--target", target] if target else [])]
        arguments = [*models, *places, *shared, *files, *options]
        return exit_code("run", *arguments)

    return invoke


def table_of(document: dict[str, object], tmp_path: Path) -> Path:
    """Twelve candidates of the run's base, on the run's neutral texts."""
    base = next(model for model in document["models"] if model["base"] is None)
    texts = next(drift["digest"] for drift in document["drift"] if drift["text"] == NEUTRAL)
    lines = [
        TableCandidate(
            base="base", base_fingerprint=base["fingerprint"], suite="small", target="yes_no", method="full",
            rate=float(i), replay=0.0, seed=1, neutral_texts=texts, kl={"neutral": i / 10, "outputs": i / 10},
            margins=-float(i), ability=None, run="r",
        )
        for i in range(1, 13)
    ]  # fmt: skip
    path = tmp_path / "table.csv"
    path.write_text(table_text(lines))
    return path


def test_nothing_is_answered_or_judged_and_the_forecast_is_there(
    run: Callable[..., int], zoo: dict[str, Path], tmp_path: Path
) -> None:
    lora = ("--model", f"lora={zoo['llama-lora']}", "--drift-only")
    assert run(*lora) == 0
    found = results.read_results(tmp_path / "out")
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {drift.text for drift in found.drift} == {NEUTRAL, OWN, f"{INPUTS}yes_no"}
    assert all(drift.kl is not None and drift.kl.value > 0 for drift in found.drift)
    assert not any(row.n for row in found.comparisons) and not any(found.signature["tasks"])
    assert not list((tmp_path / "out" / "samples").glob("**/*.jsonl"))
    assert int(judge(found, Policy()).exit_code) == 5 and run(*lora, "--gate") == 5
    (none,) = found.drift_forecasts
    assert none.change is None and "no candidate of this base on the suite small" in none.reason

    assert run(*lora, "--drift-table", table_of(document, tmp_path)) == 0
    found = results.read_results(tmp_path / "out")
    (forecast,) = found.drift_forecasts
    assert forecast.change is not None and forecast.change.value < 0 and forecast.n == 12
    assert forecast.change.low is not None and forecast.change.low <= forecast.change.value <= forecast.change.high
    lines = "\n".join(run_lines(found))
    page = html.unescape((tmp_path / "out" / "report.html").read_text())
    assert NOTHING_JUDGED in lines and "forecast of small, its change in margins (" in lines
    assert "Nothing was judged" in page and "Forecast of small" in page and "without <code>--drift-only</code>" in page
    assert page.index("Forecast of small") < page.index('id="matrix"'), "what was measured comes first"
    assert "fitted on 12 candidates of this base" in lines and "fitted on 12 candidates of this base" in page


def test_questions_that_are_not_the_suites_are_noted_beside_the_forecast(
    run: Callable[..., int], zoo: dict[str, Path], tmp_path: Path
) -> None:
    lora = ("--model", f"lora={zoo['llama-lora']}", "--drift-only")
    assert run(*lora) == 0
    table = table_of(json.loads((tmp_path / "out" / "results.json").read_text()), tmp_path)
    for options, ways in (((), None), (("--num-fewshot", 1), "other shots")):
        assert run(*lora, "--drift-table", table, *options, out=f"{ways}") == 0
        (forecast,) = results.read_results(tmp_path / f"{ways}").drift_forecasts
        assert forecast.change is not None
        assert [note for note in forecast.notes if "asks otherwise" in note] == (
            [OWN_QUESTIONS.format(ways)] if ways else []
        )


def test_beside_verdicts_the_forecast_stands_with_what_was_measured_and_changes_nothing_else(
    run: Callable[..., int], zoo: dict[str, Path], tmp_path: Path
) -> None:
    lora = ("--model", f"lora={zoo['llama-lora']}", "--limit", 8)
    assert run(*lora) == 0
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert run(*lora, "--drift-table", table_of(document, tmp_path), out="forecast") == 0
    other = json.loads((tmp_path / "forecast" / "results.json").read_text())
    assert {key for key in other if other[key] != document.get(key)} == {"digest", "drift_forecasts"}
    (row,) = [line for line in run_lines(results.read_results(tmp_path / "forecast")) if "measured" in line]
    assert row.split()[-1] == "measured"
    assert exit_code("compare", tmp_path / "forecast", "--out", tmp_path / "c") == 0
    assert (tmp_path / "c" / "results.json").read_bytes() == (tmp_path / "forecast" / "results.json").read_bytes()


def test_without_a_target_there_is_no_third_kind_and_a_copy_of_the_base_has_not_drifted(
    run: Callable[..., int], zoo: dict[str, Path], tmp_path: Path
) -> None:
    same = ("--model", f"same={zoo['llama']}", "--allow-noop", "--drift-only")
    assert run(*same, target="") == 0
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [(drift["text"], drift["kl"]["value"]) for drift in document["drift"]] == [(NEUTRAL, 0), (OWN, 0)]
    assert run(*same, "--drift-table", table_of(document, tmp_path), target="") == 0
    (forecast,) = results.read_results(tmp_path / "out").drift_forecasts
    assert forecast.change is not None and forecast.change.value == 0 and "not known" in forecast.notes[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--drift-only", "--explain"), "--drift-only: given together with --explain"),
        (("--drift-only", "--until-decided"), "--drift-only: given together with --until-decided"),
        (("--drift-only", "--baseline", "."), "given together with --baseline"),
        (("--drift-only", "--describe", "calibration"), "given together with --describe"),
        (("--drift-table", "nowhere.csv"), "--drift-table: nowhere.csv does not exist"),
        (("--drift-table", "bad.csv"), "bad.csv: its columns are not base, base_fingerprint"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_answered(
    options: tuple[str, ...], says: str, run: Callable[..., int], zoo: dict[str, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("a,b\n1,2\n")
    assert run("--model", f"lora={zoo['llama-lora']}", *options) == 2
    assert says in capfd.readouterr().err
    assert not (tmp_path / "store.sqlite").exists()
