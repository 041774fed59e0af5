"""`baseline accept` and `baseline show`, `run --baseline FILE`, and the gate against the scores of such a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import exit_code

import evalharness
from evalharness import api
from evalharness.analysis.baseline_file import read_file
from evalharness.errors import NotComparableError, UsageError
from evalharness.results import read_results

MakeRun = Callable[..., Path]


def test_accept_writes_what_show_shows(make_run: MakeRun, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("run", {"a": 4, "b": 12})
    capsys.readouterr()
    assert exit_code("baseline", "accept", run) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "new: base on 2 tasks" and "echo: exact_match 1.0000" in lines
    assert exit_code("baseline", "accept", run, "--candidate", "a") == 0
    output = capsys.readouterr().out
    assert "echo: exact_match 1.0000 → 0.8667, 4 of 30 units" in output and "yes_no:" not in output
    assert exit_code("baseline", "show") == 0
    output = capsys.readouterr().out
    assert output.startswith("original base: base (base, ") and "\naccepted: a (lora, " in output
    assert any(line.split()[:5] == ["echo", "exact_match", "30", "1.0000", "0.8667"] for line in output.splitlines())
    assert exit_code("baseline", "show", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in document["models"]] == ["base", "a"]
    assert document["tasks"][0]["scores"] == [1.0, 0.866667]
    # no candidate, no run, no file
    assert exit_code("baseline", "accept", run, "--candidate", "c") == 2
    assert "--candidate: no candidate 'c' in the run; known: a, b, base" in capsys.readouterr().err
    assert exit_code("baseline", "accept", repository) == 2
    assert exit_code("baseline", "show", "nothing.json") == 2
    capsys.readouterr()
    (repository / "evalharness-baseline.json").write_text("{}")
    for command in (("show",), ("accept", run)):
        assert exit_code("baseline", *command) == 5  # a damaged file is restored, not written over
        assert "not the baseline file of evalharness" in capsys.readouterr().err
    assert (repository / "evalharness-baseline.json").read_text() == "{}"
    (repository / "evalharness-baseline.json").unlink()  # as the message says
    assert exit_code("baseline", "accept", run) == 0


def test_the_same_comparisons_from_the_file_without_asking_the_base(
    make_run: MakeRun, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_base = make_run("with", {"a": 12})
    api.accept(with_base, "evalharness-baseline.json")
    without = make_run("without", {"a": 12}, base=None, baseline="evalharness-baseline.json")
    rows = {row.task: row for row in read_results(with_base).comparisons if row.primary}
    assert {row.task: row for row in read_results(without).comparisons} == rows
    assert exit_code("gate", without) == 3
    assert "forgotten: a on echo" in capsys.readouterr().out
    file = read_file(Path("evalharness-baseline.json"))
    assert read_results(without).signature["baseline"] == file.digest
    # from the measurements alone, too
    assert exit_code("compare", without, "--out", repository / "again") == 0
    assert (repository / "again" / "results.json").read_bytes() == (without / "results.json").read_bytes()


def test_other_questions_and_engines_are_refused_before_anything_is_asked(make_run: MakeRun, repository: Path) -> None:
    api.accept(make_run("first", {"a": 0}), "b.json")
    for changes, said in (
        ({"limit": 10}, "not the same"),
        ({"num_fewshot": 1, "tasks": ("yes_no",)}, "not the same prompts"),
        ({"batch_size": 3}, "another engine .*batch_size 16 there, 3 here"),
    ):
        with pytest.raises(NotComparableError, match=said):
            make_run("second", {"a": 0}, base=None, baseline="b.json", **changes)
    with pytest.raises(UsageError, match="the base cannot be asked"):
        make_run("second", {"a": 0}, base=None, baseline="b.json", explain=True)
    text = Path("b.json").read_text()
    Path("b.json").write_text(text.replace("exact_match", "exact_match "))
    with pytest.raises(NotComparableError, match="was changed after it was written"):
        make_run("second", {"a": 0}, base=None, baseline="b.json")
    assert not (repository / "second").exists()


def test_small_steps_pass_against_the_accepted_scores_and_not_against_both(
    make_run: MakeRun, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = make_run("first", {"a": 6}), make_run("second", {"b": 12})
    (repository / "evalharness.toml").write_text(
        '[gate]\nagainst = "both"\nbaseline = "b.json"\nmargins = { echo = 0.25 }\non_inconclusive = "pass"\n'
    )
    assert exit_code("baseline", "accept", first) == 0 and exit_code("gate", first) == 0
    assert exit_code("baseline", "accept", first, "--candidate", "a") == 0
    capsys.readouterr()
    assert exit_code("gate", second, "--against", "baseline", "--margin", "echo=0.1") == 0
    output = capsys.readouterr().out
    assert "✓ b against a (accepted) may ship" in output and "against baseline (option)" in output
    assert exit_code("gate", second, "--against", "both", "--margin", "echo=0.1", "--json") == 3
    document = json.loads(capsys.readouterr().out)
    assert [(each["against"], each["exit_code"]) for each in document["candidates"]] == [
        ("base (original base)", 3),
        ("a (accepted)", 0),
    ]
    assert document["policy"]["against"] == "both" and document["policy"]["baseline"] == "b.json"
    # from Python, and what keeps it from being judged
    assert evalharness.gate(second, policy="evalharness.toml", margins={"echo": 0.1}).exit_code == 3
    with pytest.raises(UsageError, match="give the run's folder"):
        evalharness.gate(read_results(second), against="both", baseline="b.json")
    assert exit_code("gate", second, "--baseline", "nothing.json") == 2
    assert exit_code("gate", second, "--policy", "none", "--baseline", "b.json") == 2
    assert "--baseline: is not used" in capsys.readouterr().err
    with pytest.raises(UsageError, match="--baseline: is not used"):
        evalharness.gate(second, baseline="b.json")
    assert exit_code("gate", second, "--policy", "none", "--against", "both") == 2
    assert "evalharness-baseline.json: no baseline file can be read here" in capsys.readouterr().err
    Path("evalharness-baseline.json").write_bytes(Path("b.json").read_bytes())  # as `accept` names it
    assert exit_code("gate", second, "--policy", "none", "--against", "both") == 3
    text = Path("b.json").read_text()
    Path("b.json").write_text(text.replace('"echo"', '"ecko"', 1))
    assert exit_code("gate", second) == 5
    assert "b.json: was changed after it was written" in capsys.readouterr().err


def test_a_run_of_fewer_tasks_than_the_baseline_is_not_judged(make_run: MakeRun, repository: Path) -> None:
    api.accept(make_run("all", {"a": 0}), "b.json")
    part = make_run("part", {"a": 0}, tasks=("echo",))
    with pytest.raises(NotComparableError, match="holds scores of yes_no, which this run did not ask"):
        evalharness.gate(part, against="baseline", baseline="b.json")
