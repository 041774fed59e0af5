"""`compare`, `gate` and `report` from what runs left: other margins, models of two runs, what cannot be paired."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import exit_code

from evalharness.results import read_results

MakeRun = Callable[..., Path]


def echo_of(out: Path, candidate: str) -> dict[str, object]:
    rows = json.loads((out / "results.json").read_text())["comparisons"]
    return next(row for row in rows if (row["task"], row["candidate"], row["primary"]) == ("echo", candidate, True))


def test_comparing_a_run_again_gives_what_the_run_gave(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("run", {"a": 12, "b": 0})
    assert exit_code("compare", run, "--out", tmp_path / "again") == 0
    first, again = (json.loads((out / "results.json").read_text()) for out in (run, tmp_path / "again"))
    assert again["comparisons"] == first["comparisons"]
    assert again["models"] == first["models"]
    assert again["signature"] == first["signature"]


def test_the_signature_says_what_was_compared_and_no_path(make_run: MakeRun, tmp_path: Path) -> None:
    one, two = make_run("one", {"a": 12}), make_run("two", {"b": 20}, tasks=("echo",))
    assert exit_code("compare", f"{one}#a", two, "--alpha", "0.01", "--margin", "0.1", "--out", tmp_path / "both") == 0
    text = (tmp_path / "both" / "results.json").read_text()
    document = json.loads(text)["signature"]
    assert (document["base"], document["alpha"], document["margin"], list(document["tasks"])) == (
        "a",
        0.01,
        0.1,
        ["echo"],
    )
    assert str(tmp_path) not in text


def test_tasks_that_only_one_run_has_are_named(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = make_run("one", {"a": 12}), make_run("two", {"b": 20}, tasks=("echo",))
    assert exit_code("compare", one, two) == 0
    assert "left out: yes_no" in capsys.readouterr().err


def test_a_target_that_is_not_compared_is_declared_all_the_same(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = make_run("one", {"a": 12}, target=None), make_run("two", {"b": 20}, tasks=("echo",))
    assert exit_code("compare", one, "--target", "a=yes_no", "--out", tmp_path / "told") == 0
    assert exit_code("compare", two, one) == 0 and "no target is declared" in capsys.readouterr().out
    assert exit_code("compare", two, tmp_path / "told") == 0
    assert "no target is declared" not in capsys.readouterr().out


def test_scores_of_another_task_file_are_not_paired(
    make_run: MakeRun, small_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same prompts, but lower case answers are right, too."""
    other = tmp_path / "other"
    shutil.copytree(small_world / "tasks", other)
    file = other / "echo.yaml"
    file.write_text(
        file.read_text().replace("  - metric: exact_match", "  - metric: exact_match\n    ignore_case: true")
    )
    one, two = make_run("one", {"a": 12}), make_run("two", {"b": 12}, include=(other,))
    assert exit_code("compare", one, two) == 5
    assert "echo is not defined or scored as in" in capsys.readouterr().err


def test_a_wider_margin_changes_the_verdict_and_not_the_numbers(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("run", {"a": 12})
    assert echo_of(run, "a")["verdict"] == "forgotten"
    assert exit_code("compare", run, "--margin", "echo=0.9", "--out", tmp_path / "wide") == 0
    wide = echo_of(tmp_path / "wide", "a")
    assert (wide["margin"], wide["verdict"]) == (0.9, "inconclusive")
    assert "margin_exceeds_skill" in wide["flags"]
    assert wide["difference"] == echo_of(run, "a")["difference"]


def test_a_suite_has_no_margin_of_its_own(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("run", {"a": 12})
    assert exit_code("compare", run, "--margin", "suite=0.1") == 2
    says = "--margin: the suite suite has no margin of its own: it is the mean over its tasks, in their margins"
    assert says in capsys.readouterr().err


def test_models_of_two_runs_are_paired(make_run: MakeRun, tmp_path: Path) -> None:
    one, two = make_run("one", {"a": 12}), make_run("two", {"b": 20})
    assert exit_code("compare", f"{one}#a", f"{two}#b", "--out", tmp_path / "both") == 0
    row = echo_of(tmp_path / "both", "b")
    assert (row["base"]["value"], row["candidate_score"]["value"], row["lost"], row["gained"]) == (
        0.6,
        pytest.approx(1 / 3),
        8,
        0,
    )
    models = json.loads((tmp_path / "both" / "results.json").read_text())["models"]
    assert [(model["name"], model["base"]) for model in models] == [("a", None), ("b", "a")]
    assert exit_code("gate", tmp_path / "both") == 3


def test_what_only_one_run_describes_is_left_out(make_run: MakeRun, tmp_path: Path) -> None:
    plain, more = (
        make_run("one", {"a": 12}, tasks=("yes_no",)),
        make_run("two", {"b": 20}, tasks=("yes_no",), describe=("calibration",)),
    )
    for first, second in ((f"{plain}#a", f"{more}#b"), (f"{more}#b", f"{plain}#a")):
        out = tmp_path / f"of-{Path(first).name[:3]}"
        assert exit_code("compare", first, second, "--out", out) == 0
        metrics = {
            row["metric"]
            for row in json.loads((out / "results.json").read_text())["comparisons"]
            if row["level"] == "task"
        }
        assert "acc" in metrics and "ece" not in metrics


def test_over_another_run_nothing_of_that_one_is_left(make_run: MakeRun, tmp_path: Path) -> None:
    run, other = make_run("run", {"a": 5}), make_run("other", {"a": 0})
    assert exit_code("compare", run, "--out", other) == 0
    assert read_results(other).comparisons == read_results(run).comparisons
    assert not [path for path in (other / "samples").rglob("*") if path.is_file()]
    assert exit_code("compare", run, "--out", run) == 0  # its own are kept
    assert len(read_results(run).flips) == 5


@pytest.mark.fault(35)
def test_missing_answers_stay_missing(make_run: MakeRun, tmp_path: Path) -> None:
    """A run in which something failed is incomplete however it is compared again."""
    run = make_run("run", {"a": 0}, deaf={"a"})
    assert exit_code("gate", run, "--on-inconclusive", "pass") == 5
    assert exit_code("compare", run, "--out", tmp_path / "again") == 5
    assert exit_code("gate", tmp_path / "again", "--on-inconclusive", "pass") == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limit": 20}, "not the same prompts of echo as in {one} (they differ in --limit)"),
        ({"batch_size": 2}, "batch_size 16 there, 2 here"),
    ],
)
def test_what_cannot_be_paired_is_5(
    make_run: MakeRun, changes: dict[str, object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = make_run("one", {"a": 12}), make_run("two", {"b": 12}, **changes)
    assert exit_code("compare", one, two) == 5
    assert message.format(one=one) in capsys.readouterr().err


def test_runs_of_two_engines_are_compared_where_that_is_allowed_and_flagged(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = make_run("one", {"a": 12}), make_run("two", {"b": 12}, batch_size=2)
    assert exit_code("compare", one, two, "--allow-mixed-engines") == 0
    assert "other engine" in capsys.readouterr().out
    assert exit_code("compare", one, "--allow-mixed-engines") == 0
    assert "other engine" not in capsys.readouterr().out
    assert exit_code("compare", one, "--by-size", "--allow-mixed-engines") == 2
    assert "has no meaning with --by-size" in capsys.readouterr().err


def test_what_is_wrong_is_2(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("run", {"a": 12})
    for arguments, said in (
        ((f"{run}#aa",), "did you mean a?"),
        ((f"{run}#a",), "cannot be compared"),
        ((run, "--margin", "ecko=0.1"), "did you mean echo?"),
        ((run, "--alpha", "0.5"), "--alpha"),
        ((f"{run}#a", run), "several models named a"),
    ):
        assert exit_code("compare", *arguments) == 2
        assert said in capsys.readouterr().err


def test_a_sign_in_a_folders_name_names_no_model(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("run#2", {"a": 12})
    assert exit_code("compare", run) == 0
    assert exit_code("compare", f"{run}#base", f"{run}#a", "--out", tmp_path / "out") == 0
    assert [model["name"] for model in json.loads((tmp_path / "out" / "results.json").read_text())["models"]] == [
        "base",
        "a",
    ]


def test_compare_gate_and_report_need_no_torch(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("run", {"a": 12})
    code = "\n".join(
        [
            "import sys",
            "from evalharness.cli.main import _run",
            f"assert _run(['compare', {str(run)!r}, '--out', {str(tmp_path / 'x')!r}], True) == 0",
            f"assert _run(['gate', {str(run)!r}], True) == 3",
            f"assert _run(['report', {str(run)!r}], True) == 0",
            "assert not {'torch', 'transformers', 'peft', 'datasets', 'evaluate'} & set(sys.modules)",
        ]
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert (run / "report.html").is_file()


def test_a_report_may_be_asked_for_by_the_results_file(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("run", {"a": 12})
    assert exit_code("report", run / "results.json") == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")


def test_runs_that_stopped_early_compare_with_one_another_but_not_by_other_lots(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`echo` is lost: one round or two suffice. The other run asked everything, with the same seed or another."""
    early = make_run("early", {"first": 30}, until_decided=True)
    whole, other = make_run("whole", {"second": 30}), make_run("other", {"third": 30}, seed=9)
    capsys.readouterr()
    assert exit_code("compare", whole, f"{early}#first", "--out", tmp_path / "out") == 0
    rows = {
        row["task"]: row
        for row in json.loads((tmp_path / "out" / "results.json").read_text())["comparisons"]
        if row["primary"]
    }
    alone = {
        row["task"]: row for row in json.loads((early / "results.json").read_text())["comparisons"] if row["primary"]
    }
    assert rows["echo"] == alone["echo"] and rows["echo"]["stopping"]["stopped"] and rows["echo"]["n"] < 30
    assert exit_code("compare", other, f"{early}#first") == 5
    assert "with the same --seed" in capsys.readouterr().err
