"""`compare` over the logs of other tools and over tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import exit_code


def table(path: Path, right: int, of: int = 400, tasks: tuple[str, ...] = ("one", "two")) -> Path:
    rows = [f"{task},{i},{int(i < right or task != tasks[0])}\n" for task in tasks for i in range(of)]
    path.write_text("task,id,score\n" + "".join(rows))
    return path


def test_two_tables_get_verdicts_a_page_and_a_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, tuned = table(tmp_path / "base.csv", 380), table(tmp_path / "tuned.csv", 300)
    out = tmp_path / "out"
    assert exit_code("compare", base, f"new={tuned}", "--out", out, "--json") == 0
    rows = {row["task"]: row for row in json.loads(capsys.readouterr().out)["comparisons"]}
    assert (rows["one"]["verdict"], rows["two"]["verdict"]) == ("forgotten", "retained")
    assert rows["one"]["lost"] == 80
    assert rows["one"]["difference"]["value"] == pytest.approx(-0.2)
    assert exit_code("report", out) == 0
    assert "log of another tool" in (out / "report.html").read_text()
    assert exit_code("gate", out) == 3
    assert exit_code("compare", out, "--margin", "one=0.3") == 0
    assert "retained" in capsys.readouterr().out


def test_the_target_of_tables_is_declared_and_left_out_of_the_suite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, tuned = table(tmp_path / "base.csv", 300), table(tmp_path / "tuned.csv", 380)
    chance = ("--metric", "score:chance=0.25")
    assert exit_code("compare", base, tuned, *chance) == 0
    output = capsys.readouterr().out
    assert "no target is declared" in output and "not trained on" not in output
    assert exit_code("compare", base, tuned, *chance, "--target", "tuned=one", "--out", tmp_path / "out") == 0
    output = capsys.readouterr().out
    assert "no target is declared" not in output and "one (target)" in output
    assert "1 gate unit scored from 0 to 1 that it was not trained on" in output
    assert exit_code("compare", tmp_path / "out") == 0 and capsys.readouterr().out == output


def test_json_needs_no_folder_and_is_what_would_be_left_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, tuned = table(tmp_path / "base.csv", 380), table(tmp_path / "tuned.csv", 300)
    assert exit_code("compare", base, tuned, "--json") == 0
    printed = capsys.readouterr().out
    assert exit_code("compare", base, tuned, "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "results.json").read_text() == printed


def test_examples_of_one_side_only_end_with_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, tuned = table(tmp_path / "base.csv", 30, of=40), table(tmp_path / "tuned.csv", 30, of=38)
    assert exit_code("compare", base, tuned) == 5
    assert "2 examples are not in the log of tuned" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{base}"], 2, "one log alone cannot be compared"),
        (["{base}", "{base}"], 2, "several models named base"),
        (["{base}", "a={base}", "--margin", "three=0.1"], 2, "no task or group 'three'"),
        (["{base}", "a={base}", "--target", "three"], 2, "no task 'three'"),
        (["{base}", "a={base}", "--target", "base=one"], 2, "no candidate 'base'"),
        (["{base}", "a={base}", "--target", "one", "--target", "two"], 2, "several without a candidate's name"),
        (["{base}", "{run}"], 2, "cannot be compared with the log of another tool"),
        (
            ["{wide}", "a={wide}"],
            2,
            "--margin: score of wide is not on a 0-1 scale; state the largest acceptable drop: --margin wide=DELTA",
        ),
        (["{base}", "a={wide}"], 5, "no task in common"),
        (["{base}", "a={broken}"], 2, "has the columns text"),
        (["{base}", "nowhere.csv"], 2, "nowhere.csv: does not exist; compare takes runs"),
        (["nowhere#model"], 2, "nowhere: does not exist; compare takes runs"),
        (
            ["{unsampled}", "{base}"],
            2,
            "unsampled: holds lm-eval's results and no samples; run lm-eval again with --log_samples",
        ),
        (["{else}", "{base}"], 2, "else: holds no run and no log (notes.txt); compare takes runs of evalharness, or"),
        (["{base}#model", "a={base}"], 2, "holds one model's log; leave out #model"),
        (["{other}", "a={other}"], 2, "other.xlsx: cannot be compared"),
        (["{base}", "{empty}"], 5, "empty.csv: no rows in it"),
    ],
)
def test_wrong_on_purpose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text("{}")
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "notes.txt").write_text("")
    (tmp_path / "wide.csv").write_text("id,score\n1,3.5\n2,80\n")
    (tmp_path / "broken.csv").write_text("text\nhello\n")
    (tmp_path / "empty.csv").write_text("id,score\n")
    (tmp_path / "other.xlsx").write_bytes(b"PK")
    (tmp_path / "unsampled" / "model").mkdir(parents=True)
    (tmp_path / "unsampled" / "model" / "results_2026-01-02T03-04-05.678901.json").write_text("{}")
    named = {"base": table(tmp_path / "base.csv", 30, of=40), "run": tmp_path / "run"}
    named |= {name: tmp_path / f"{name}.csv" for name in ("wide", "broken", "empty")}
    named["else"] = tmp_path / "else"
    named |= {"other": tmp_path / "other.xlsx", "unsampled": tmp_path / "unsampled"}
    assert exit_code("compare", *[argument.format(**named) for argument in arguments]) == code
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_logs_are_compared_without_torch(tmp_path: Path) -> None:
    base, tuned = table(tmp_path / "base.csv", 380), table(tmp_path / "tuned.csv", 300)
    script = (
        "import sys\nfrom evalharness.cli.main import main\n"
        f"try:\n    main(['compare', {str(base)!r}, {str(tuned)!r}])\nfinally:\n"
        "    assert not {'torch', 'transformers', 'evaluate', 'datasets'} & set(sys.modules), sorted(sys.modules)\n"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert "forgotten" in process.stdout


def test_tables_without_a_column_task_are_one_task_whatever_their_files_are_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, right in (("base", 380), ("tuned", 300)):
        (tmp_path / f"{name}.csv").write_text("id,score\n" + "".join(f"{i},{int(i < right)}\n" for i in range(400)))
    assert exit_code("compare", tmp_path / "base.csv", f"new={tmp_path / 'tuned.csv'}", "--json") == 0
    output = capsys.readouterr()
    (row,) = [row for row in json.loads(output.out)["comparisons"] if row["level"] == "task"]
    assert (row["task"], row["candidate"], row["verdict"], row["lost"]) == ("base", "new", "forgotten", 80)
    assert "no table has a column task: taken to be one task, called base" in output.err


def scores_of(path: Path, metric: str, values: list[float], more: str = "") -> Path:
    rows = [f"lost,{metric},{i},{value:.4f}\n" for i, value in enumerate(values)]
    rows += [f"kept,{metric},{i},{0.1 if metric == 'wer' else 7.4}\n" for i in range(len(values))]
    path.write_text("task,metric,id,score\n" + "".join(rows))
    return path


@pytest.mark.parametrize(
    ("metric", "before", "after", "stated"),
    [
        ("perplexity", 7.4, 54.7, ()),
        ("wer", 0.10, 0.60, ()),
        ("wer", 0.10, 0.60, ("--metric", "wer:low=0,high=1")),
        ("wer", 0.10, 0.60, ("--metric", "wer:low=0,high=3")),
    ],
)
def test_where_less_is_better_a_loss_on_every_row_is_forgotten(
    tmp_path: Path, metric: str, before: float, after: float, stated: tuple[str, ...]
) -> None:
    noise = [0.01 * (i % 7 - 3) for i in range(1000)]
    base = scores_of(tmp_path / "base.csv", metric, [before + each for each in noise])
    tuned = scores_of(tmp_path / "tuned.csv", metric, [after + each for each in noise])
    out, margins = tmp_path / "out", ("--margin", "lost=0.02", "--margin", "kept=0.02")
    assert exit_code("compare", base, tuned, *margins, *stated, "--out", out) == 0
    assert verdicts(out)["lost"] == "forgotten"
    assert exit_code("gate", out) == 3


def test_a_collapse_from_chance_to_nothing_is_forgotten(tmp_path: Path) -> None:
    for name, right in (("base", 248), ("tuned", 0)):
        rows = "".join(f"{i},{int(i < right)},0.25\n" for i in range(1000))
        (tmp_path / f"{name}.csv").write_text(f"id,score,chance\n{rows}")
    out = tmp_path / "out"
    assert exit_code("compare", tmp_path / "base.csv", tmp_path / "tuned.csv", "--out", out) == 0
    assert verdicts(out) == {"base": "forgotten"}
    assert exit_code("gate", out) == 3


def test_without_an_upper_end_nothing_is_retained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, tuned = (scores_of(tmp_path / f"{name}.csv", "perplexity", [7.4] * 1000) for name in ("base", "tuned"))
    arguments = ("compare", base, tuned, "--margin", "lost=0.2", "--margin", "kept=0.2", "--out", tmp_path / "out")
    assert exit_code(*arguments) == 0
    assert set(verdicts(tmp_path / "out").values()) == {"inconclusive"}
    assert "nothing bounds perplexity, so that it can be forgotten and never retained" in capsys.readouterr().err
    assert exit_code(*arguments, "--metric", "perplexity:high=30") == 0
    assert verdicts(tmp_path / "out")["kept"] == "retained"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wer", "'wer' is not NAME:KEY=VALUE"),
        ("wer:high", "'high' is not NAME=VALUE"),
        ("wer:up=1", "'up' is unknown"),
        ("score:high=much", "high is 'much'; a number or none"),
        ("wer:high=2", "no metric or task of base is named 'wer'"),
    ],
)
def test_statements_that_say_nothing_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    base = table(tmp_path / "base.csv", 30, of=40)
    assert exit_code("compare", base, f"new={base}", "--metric", text) == 2
    assert message in capsys.readouterr().err


def verdicts(out: Path) -> dict[str, str]:
    rows = json.loads((out / "results.json").read_text())["comparisons"]
    return {row["task"]: row["verdict"] for row in rows if row["level"] == "task"}
