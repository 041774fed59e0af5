"""A repository's policy: `run` begins with it, `gate` judges by it, and both say where each value came from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import exit_code

import evalharness
from evalharness.analysis.policy_file import find_policy
from evalharness.errors import UsageError
from evalharness.records.comparison import Flag
from evalharness.records.measurements import ExampleError
from evalharness.results import read_results, write_results

MakeRun = Callable[..., Path]


def policy(folder: Path, *lines: str) -> None:
    (folder / "evalharness.toml").write_text("\n".join(("[gate]", *lines, "")))


def test_the_gate_judges_by_the_policy_of_the_repository(
    make_run: MakeRun, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run("run", {"a": 12})  # 12 of 30 echoes lost
    assert exit_code("gate", run) == 3
    capsys.readouterr()
    policy(repository, "margins = { echo = 0.9 }", 'on_inconclusive = "pass"', 'severities = { yes_no = "warn" }')
    assert exit_code("gate", run, "--explain") == 0
    _, first, of_units, others, notice, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("gate passed (under another policy than the run was started with: margins none then, echo=")
    assert "on inconclusive pass (evalharness.toml), ceiling none (default), alpha 0.05 (the run)" in of_units
    assert of_units.endswith("margin 0.02 (default), echo=0.9 (evalharness.toml)")
    assert "severity yes_no=warn (evalharness.toml), suite any (default), requires nothing (default)" in others
    assert notice.strip().startswith("judged again from what was measured: the policy has other margins")
    assert any(line.startswith("  a: 0, because nothing is shown") and "evalharness.toml" in line for line in rest)
    # options over the file, and the file left out
    assert exit_code("gate", run, "--margin", "echo=0.02") == 3
    assert "echo=0.02 (option)" in capsys.readouterr().out
    assert exit_code("gate", run, "--on-inconclusive", "fail") == 4
    assert exit_code("gate", run, "--policy", "none") == 3
    (repository / "other.toml").write_text("[gate]\nrequire = ['mmlu']\n")
    capsys.readouterr()
    assert exit_code("gate", run, "--policy", "other.toml", "--json") == 5
    document = json.loads(capsys.readouterr().out)
    assert document["policy"]["require"] == ["mmlu"] and document["policy"]["sources"]["require"] == "other.toml"
    assert document["candidates"][0]["reasons"][0].startswith("forgotten: a on echo")


def test_what_is_wrong_in_the_policy_ends_with_2(
    make_run: MakeRun, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run("run", {"a": 0})
    for line, said in (
        ("celing = 0.1", "Error: evalharness.toml: gate.celing: there is no such key; did you mean ceiling"),
        ("margins = { ecko = 0.1 }", "evalharness.toml: margins.ecko: no task, group or family 'ecko'; did you mean"),
        ("severities = { ecko = 'off' }", "evalharness.toml: severities.ecko: no gate unit 'ecko' in what is compared"),
    ):
        policy(repository, line)
        assert exit_code("gate", run) == 2
        assert said in capsys.readouterr().err
    policy(repository, "margin = 0.1")
    (run / "measurements.parquet").unlink()
    assert exit_code("gate", run) == 2
    assert "measurements.parquet, from which it would be judged again, is missing" in capsys.readouterr().err


def test_no_variable_of_the_environment_changes_a_verdict(
    make_run: MakeRun, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("run", {"a": 12})
    for name in ("MARGIN", "ALPHA", "ON_INCONCLUSIVE", "POLICY", "GATE_ON_INCONCLUSIVE", "CEILING", "SEVERITY"):
        for prefix in ("EVALHARNESS_", "EVALHARNESS_GATE_", ""):
            monkeypatch.setenv(f"{prefix}{name}", "pass")
    assert exit_code("gate", run, "--no-github") == 3
    assert "EVALHARNESS_POLICY" in os.environ


def command(zoo: dict[str, Path], small_world: Path, tmp_path: Path, *more: object) -> list[object]:
    models = ("run", "--model", f"a={zoo['llama-lora']}", "--base", f"base={zoo['llama']}")
    rows = ("--include-path", small_world / "tasks", "--data-dir", small_world / "data")
    places = ("--out", tmp_path / "out", "--store", tmp_path / "s.sqlite", "--quiet")
    return [*models, *rows, *places, *more]


def test_a_run_is_judged_by_the_policy_and_records_it(
    make_run: MakeRun, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names of other tasks in it do no harm; a gate under the same policy has nothing to say of another one."""
    policy(repository, "alpha = 0.01", "margins = { echo = 0.9, mmlu = 0.1 }", 'severities = { copa = "off" }')
    run = make_run("run", {"a": 12}, policy=find_policy())
    signature = read_results(run).signature
    assert (signature["alpha"], signature["margins"]) == (0.01, {"echo": 0.9, "mmlu": 0.1})
    assert signature["policy"]["severities"] == {"copa": "off"}
    rows = {row.task: row.margin for row in read_results(run).comparisons if row.is_gate_unit}
    assert rows == {"echo": 0.9, "yes_no": 0.02}
    assert exit_code("gate", run) == 4
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "gate undecided" and "alpha 0.01 (evalharness.toml)" in out[2]
    assert not any("judged again" in line for line in out)


def test_a_run_of_something_else_than_the_policy_says_is_refused_before_it_asks(
    zoo: dict[str, Path], small_world: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy(repository, 'suite = "forgetting"', "margins = { mmlu = 0.05 }")
    asked = command(zoo, small_world, repository, "--task", "echo", "--gate")
    assert exit_code(*asked) == 2
    says = "evalharness.toml: suite: asks for the suite forgetting, and this run is to ask none"
    assert says in capsys.readouterr().err
    assert exit_code(*command(zoo, small_world, repository, "--suite", "glue", "--gate")) == 2
    assert "asks for the suite forgetting, and this run is to ask glue" in capsys.readouterr().err
    policy(repository, 'require = ["echo", "mmlu"]')
    assert exit_code(*asked) == 2
    assert "evalharness.toml: require: mmlu is not among what this run is to ask" in capsys.readouterr().err
    policy(repository, "margins = { mmluu = 0.05 }")
    assert exit_code(*asked) == 2
    assert "evalharness.toml: margins.mmluu: no task or group 'mmluu'; did you mean mmlu" in capsys.readouterr().err
    assert not (repository / "out").exists()


def test_the_command_line_runs_gates_and_accepts_by_the_policy(
    zoo: dict[str, Path], small_world: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a run with its base, through its baseline file, to a run without it, judged against both."""
    policy(repository, 'on_inconclusive = "pass"', 'require = ["echo"]', 'baseline = "b.json"')
    asked = command(
        zoo, small_world, repository, "--task", "echo", "--task", "yes_no", "--engine", "scripted", "--gate"
    )
    assert exit_code(*asked) == 0
    output = capsys.readouterr().out
    assert "\npolicy: evalharness.toml\n" in output and "requires echo (evalharness.toml)" in output
    assert exit_code("baseline", "accept", repository / "out") == 0
    without = [each for each in asked if each not in ("--base", f"base={zoo['llama']}")]
    assert exit_code(*without, "--baseline", "b.json", "--against", "both") == 0
    output = capsys.readouterr().out
    assert "✓ a against base (original base) may ship" in output and "baseline b.json (option)" in output
    (repository / "b.json").write_text("{}")
    assert exit_code(*asked, "--against", "both") == 5  # before anything is asked
    assert "b.json: not the baseline file of evalharness" in capsys.readouterr().err


def test_from_python_a_policy_is_what_is_given(make_run: MakeRun, repository: Path) -> None:
    run = make_run("run", {"a": 12})
    policy(repository, "margins = { echo = 0.9 }", 'on_inconclusive = "pass"')
    assert evalharness.gate(run).exit_code == 3  # no file is looked for
    assert evalharness.gate(run, policy="evalharness.toml").exit_code == 0
    assert evalharness.gate(run, policy="evalharness.toml", margins={"echo": 0.02}).exit_code == 3
    with pytest.raises(UsageError, match="the policy has other margins than its verdicts; give the run's folder"):
        evalharness.gate(read_results(run), policy="evalharness.toml")


def test_every_verdict_that_results_may_hold_gives_its_code(make_run: MakeRun, repository: Path) -> None:
    """results.json, rewritten row by row as if the verdicts were others; one that was changed by hand is refused."""
    run = make_run("run", {"a": 0})
    found = read_results(run)
    unit = next(row.task for row in found.comparisons if row.is_gate_unit)

    def code(of_unit: dict[str, object], of_suite: dict[str, object], errors: tuple[ExampleError, ...] = ()) -> int:
        changes = {unit: of_unit, "suite": of_suite}
        rows = (replace(row, **changes.get(row.task, {})) if row.unit else row for row in found.comparisons)
        write_results(run, replace(found, comparisons=tuple(rows), errors=errors))
        return exit_code("gate", run)

    retained, forgotten, unsure = ({"verdict": verdict} for verdict in ("retained", "forgotten", "inconclusive"))
    assert code(retained, retained) == 0 and code(unsure, retained) == 0
    assert code(forgotten, retained) == 3 and code(retained, forgotten) == 3 and code(forgotten, unsure) == 3
    assert code(retained, unsure) == 4 and code({**unsure, "flags": (Flag.SUSPECT,)}, retained) == 4
    assert code({"n": 0}, retained) == 5 and code({"flags": (Flag.INCOMPLETE,)}, retained) == 5
    assert code(forgotten, retained, (ExampleError(task=unit, model="a", example="1", reason="deaf"),)) == 5
    assert code(retained, retained) == 0
    results = run / "results.json"
    results.write_text(results.read_text().replace('"retained"', '"inconclusive"', 1))
    assert exit_code("gate", run) == 2
