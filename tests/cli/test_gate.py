"""`gate`: its exit codes, the policy it prints, and runs that an older rule judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from command_line import exit_code
from junitparser import JUnitXml

from evalharness.errors import UsageError
from evalharness.records.job_options import make_job
from evalharness.records.policy import OnInconclusive, Policy
from evalharness.results import read_results
from evalharness.results.measurements import FACTS_KEY
from evalharness.whole_file import whole_file

MakeRun = Callable[..., Path]
OLD = "judged again by rule 2 from what was measured: the verdicts in its results.json are of rule 1"


def of_rule_1(run: Path) -> Path:
    """The run's files as the first rule of verdicts left them: another form of rows, a margin of the suite."""
    document = json.loads((run / "results.json").read_text())
    del document["verdict_rule"], document["digest"], document["signature"]["policy"]
    for row in document["comparisons"]:
        del row["would_decide"], row["points"], row["median"]
        row |= {"examples_needed": None, "flags": ["forgotten_unadjusted"], "verdict": row["verdict"] and "retained"}
    (run / "results.json").write_text(json.dumps(document))
    table = pq.read_table(run / "measurements.parquet")
    head = json.loads(table.schema.metadata[FACTS_KEY])
    head["plan"]["suite_margin"] = 0.02
    del head["digest"], head["signature"]["policy"]
    changed = table.replace_schema_metadata({FACTS_KEY: json.dumps(head).encode()})
    pq.write_table(changed, run / "measurements.parquet")
    return run


def test_gate_codes(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    forgot, same = make_run("forgot", {"a": 12}), make_run("same", {"a": 0})
    assert exit_code("gate", forgot) == 3
    assert "echo" in capsys.readouterr().out
    assert exit_code("gate", same) == 4  # 30 examples cannot certify a margin of .02
    assert exit_code("gate", same, "--on-inconclusive", "pass") == 0
    capsys.readouterr()
    assert exit_code("gate", forgot, "--json") == 3
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 3 and document["policy"]["sources"]["on_inconclusive"] == "default"
    (candidate,) = document["candidates"]
    assert (candidate["name"], candidate["exit_code"], candidate["outcome"]) == ("a", 3, "failed: forgotten")
    assert [(unit["name"], unit["outcome"]) for unit in candidate["units"]][1:] == [
        ("echo", "forgotten"),
        ("yes_no", "inconclusive"),
    ]


def test_one_candidate_may_be_judged_alone(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("run", {"a": 12, "b": 0})
    undecided = ("--on-inconclusive", "pass")
    assert exit_code("gate", run, *undecided) == 3
    both = capsys.readouterr().out
    assert "  ✗ a may not ship: 2 gate units, 1 forgotten and 1 inconclusive; suite " in both
    assert "; lowest echo −40.0 points [" in both and "  ✓ b may ship: 2 gate units, 2 inconclusive; " in both
    assert exit_code("gate", run, *undecided, "--candidate", "b") == 0
    alone = capsys.readouterr().out
    assert "✗" not in alone and "2 candidates were tried" in alone  # as many as were tried, whoever is judged
    assert exit_code("gate", run, "--candidate", "c") == 2
    assert "--candidate: no candidate 'c' in the run" in capsys.readouterr().err


def test_it_explains_by_which_rule_the_code_came(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("run", {"a": 12, "b": 0})
    exit_code("gate", run, "--explain")
    output = capsys.readouterr().out
    assert "  a: 3, because a gate unit is shown to have lost more than its margin" in output
    assert "  b: 4, because nothing is shown to be forgotten, but the suite is not shown to be retained" in output
    assert "  exit code 3: that of the candidate of which it is worst" in output
    exit_code("gate", run, "--explain", "--on-inconclusive", "pass")
    assert "  b: 0, because nothing is shown to be forgotten, and the policy lets" in capsys.readouterr().out


def test_it_writes_junit_markdown_and_what_github_reads(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("run", {"a": 12, "b": 0})
    cases, comment, summary = tmp_path / "cases.xml", tmp_path / "comment.md", tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert exit_code("gate", run, "--junit", cases, "--markdown", comment) == 3
    assert "::" not in capsys.readouterr().out and not summary.exists()
    suites = {suite.name: suite for suite in JUnitXml.fromfile(str(cases))}
    assert {name: (len(suite), suite.failures, suite.skipped, suite.errors) for name, suite in suites.items()} == {
        "a": (3, suites["a"].failures, 3 - suites["a"].failures, 0),
        "b": (3, 0, 3, 0),
    }
    assert suites["a"].failures >= 1
    assert comment.read_text().startswith("### evalharness: gate failed: forgotten\n\n* ? b is undecided")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert exit_code("gate", run) == 3
    commands = [line for line in capsys.readouterr().out.splitlines() if line.startswith("::")]
    assert [line.split("::")[1] for line in commands] == [
        "warning title=evalharness gate%3A b",
        "error title=evalharness gate%3A a",
    ]
    assert summary.read_text() == comment.read_text()
    assert exit_code("gate", run, "--no-github", "--json") == 3
    json.loads(capsys.readouterr().out)
    for option in ("--junit", "--markdown"):
        for place in (tmp_path, tmp_path / "none" / "file"):
            assert exit_code("gate", run, option, place) == 2
            assert f"{option}: {place} is no place for a file" in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    for arguments in ((), ("--json",)):
        assert exit_code("gate", run, *arguments) == 3
        output = capsys.readouterr()
        assert "warning: GITHUB_STEP_SUMMARY: cannot be written" in output.err and output.out


def test_what_the_gate_reads_is_not_written_over(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("run", {"a": 12})
    monkeypatch.chdir(tmp_path)
    policy, settings, baseline = tmp_path / "ours.toml", tmp_path / "evalharness.toml", tmp_path / "accepted.json"
    for path in (policy, settings):
        path.write_text('[gate]\non_inconclusive = "pass"\nbaseline = "accepted.json"\n')
    baseline.write_text("{}")
    (tmp_path / "link").symlink_to(run)
    sample = next((run / "samples").rglob("*.jsonl"))
    for place, said in (
        (run / "results.json", "is the run's results.json"),
        (tmp_path / "link" / "measurements.parquet", "is the run's measurements.parquet"),
        (sample, "is among the run's samples"),
        ("ours.toml", "is the policy's file"),
        ("evalharness.toml", "is a file of settings"),
        (baseline, "is the baseline file"),
    ):
        before = Path(place).read_bytes()
        for option in ("--junit", "--markdown"):
            assert exit_code("gate", run, option, place, "--policy", policy) == 2
            err = capsys.readouterr().err
            assert f"{option}: {place} {said}, and would be written over; a file of its own" in err
        assert Path(place).read_bytes() == before
    assert exit_code("gate", run, "--junit", "one", "--markdown", tmp_path / "one") == 2
    assert "is the file of --junit, too; a file of its own" in capsys.readouterr().err and not Path("one").exists()
    assert exit_code("gate", run, "--junit", run / "junit.xml", "--markdown", run / "comment.md") == 3
    assert (run / "junit.xml").is_file() and (run / "comment.md").is_file()


def test_two_gates_may_write_the_same_file(make_run: MakeRun, tmp_path: Path) -> None:
    run, comment = make_run("run", {"a": 12}), tmp_path / "comment.md"
    with whole_file(comment) as other:  # another gate, in the middle of its writing
        other.write(b"other")
        assert exit_code("gate", run, "--markdown", comment) == 3
        assert comment.read_text().startswith("### evalharness: gate failed")
    assert comment.read_text() == "other"


def test_the_policy_is_printed_and_another_one_than_the_runs_is_said_first(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run("run", {"a": 0}, on_inconclusive="pass", ceiling=0.5)
    recorded = read_results(run).signature["policy"]
    assert (recorded["on_inconclusive"], recorded["ceiling"], recorded["alpha"]) == ("pass", 0.5, 0.05)
    assert exit_code("gate", run, "--on-inconclusive", "pass", "--ceiling", 0.5) == 0
    _, first, policy, *_ = capsys.readouterr().out.splitlines()
    assert first == "gate passed"
    values = "on inconclusive pass (option), ceiling 0.5 (option), alpha 0.05 (the run), margin 0.02 (default)"
    assert policy == f"  policy {recorded['digest'][:8]}: {values}"
    assert exit_code("gate", run, "--ceiling", "echo=0.05") == 4
    _, first, policy, *reasons = capsys.readouterr().out.splitlines()
    assert first == (
        "gate undecided (under another policy than the run was started with: on_inconclusive pass then, fail now; "
        "ceiling 0.5 then, none now; ceilings none then, echo=0.05 now)"
    )
    assert "on inconclusive fail (default), ceiling none (default), ceiling echo=0.05 (option)" in policy
    assert any(line.startswith("    ceiling: a on echo: a loss of ") for line in reasons)
    # judged at another margin than the run was started with
    assert exit_code("compare", run, "--margin", "echo=0.3", "--out", tmp_path / "wide") == 0
    exit_code("gate", tmp_path / "wide", "--on-inconclusive", "pass", "--ceiling", 0.5)
    output = capsys.readouterr().out
    assert "with: margins none then, echo=0.3 now)" in output and "margin 0.02 (default), echo=0.3 (option)" in output
    assert exit_code("compare", run, "--margin", 0.3, "--out", tmp_path / "all") == 0
    exit_code("gate", tmp_path / "all")
    assert "margin 0.3 (option)" in capsys.readouterr().out


def test_a_ceiling_is_read_like_a_margin(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("run", {"a": 0})
    for ceiling, said in (
        ("ecko=0.1", "--ceiling: no gate unit 'ecko' in what is compared; did you mean echo?"),
        ("suite=0.1", "no gate unit 'suite'"),
        ("-1", "--ceiling: '-1' is not a ceiling"),
        ("much", "--ceiling: 'much' is not a ceiling"),
    ):
        assert exit_code("gate", run, f"--ceiling={ceiling}") == 2
        assert said in capsys.readouterr().err
    assert exit_code("gate", run, "--ceiling", "0.1", "--ceiling", "0.2") == 2
    assert "--ceiling: several without a task name (0.1, 0.2)" in capsys.readouterr().err


def test_a_run_refuses_a_ceiling_of_no_gate_unit_before_it_asks(make_run: MakeRun) -> None:
    with pytest.raises(UsageError, match="no gate unit 'ecko' in what is compared; did you mean echo"):
        make_run("run", {"a": 0}, ceilings={"ecko": 0.1})
    for loss in ({"ceiling": 5.0}, {"margin": 2.0}, {"margins": {"echo": 1.0}}):
        with pytest.raises(UsageError, match=f"{next(iter(loss)).rstrip('s')} of echo: .*0.05 is five points"):
            make_run("run", {"a": 0}, **loss)
    job = make_job("a", on_inconclusive="pass", ceiling=0.1, ceilings={"rte": 0.2})
    assert job.policy == Policy(on_inconclusive=OnInconclusive.PASS, ceiling=0.1, ceilings={"rte": 0.2})


def test_what_an_older_rule_judged_is_judged_again(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By gate, compare and report alike, and they say so; results.json stays as it is."""
    run = make_run("run", {"a": 12, "b": 0})
    now = json.loads((run / "results.json").read_text())
    before = (of_rule_1(run) / "results.json").read_bytes()
    capsys.readouterr()
    assert exit_code("gate", run) == 3
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "gate failed: forgotten" and out[4] == f"  {OLD}"
    assert any(line.startswith("    forgotten: a on echo") for line in out)
    assert exit_code("compare", run, "--out", tmp_path / "again") == 0
    assert f"note: {OLD}" in capsys.readouterr().err
    again = json.loads((tmp_path / "again" / "results.json").read_text())
    assert again["verdict_rule"] == 2 and again["comparisons"] == now["comparisons"]
    assert exit_code("gate", tmp_path / "again") == 3 and OLD not in capsys.readouterr().out
    assert exit_code("report", run) == 0
    assert f"note: {OLD}" in capsys.readouterr().err
    assert "<title>No candidate may ship; b is undecided; a may not</title>" in (run / "report.html").read_text()
    assert (run / "results.json").read_bytes() == before


def test_without_its_measurements_an_older_run_is_refused_by_name(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = of_rule_1(make_run("run", {"a": 0}))
    (run / "measurements.parquet").unlink()
    capsys.readouterr()
    for command in ("gate", "report"):
        assert exit_code(command, run) == 2
        errors = capsys.readouterr().err
        assert "results.json: its verdicts are of rule 1, this evalharness judges by rule 2" in errors
        assert (
            "measurements.parquet, from which it would be judged again, is missing; run the evaluation again" in errors
        )


def test_the_base_of_an_older_run_is_as_good(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    older, now = of_rule_1(make_run("older", {"a": 0})), make_run("now", {"b": 12})
    again = make_run("again", {"b": 12}, base=None, baseline=older)
    rows, rows_again = (json.loads((run / "results.json").read_text())["comparisons"] for run in (now, again))
    assert rows_again == rows
    capsys.readouterr()
    assert exit_code("compare", f"{older}#base", f"{now}#b") == 0
