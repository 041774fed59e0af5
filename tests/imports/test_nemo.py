"""The predictions of nemo-evaluator's runner, as 0.2.8 wrote them (logs/nemo/make.py): the means of its own results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import exit_code
from imports.imported_scores import scores_of
from imports.log_mutations import LOGS

from evalharness.errors import DataError, UsageError
from evalharness.imports import nemo
from evalharness.imports.logged import AnswerTexts, ModelLog
from evalharness.imports.measurements import import_logs
from evalharness.imports.nemo_files import PREDICTIONS, RESULTS
from evalharness.tasks.library import Library

RECORDED = LOGS / "nemo"


def read(path: Path) -> ModelLog:
    return nemo.read(path, path.name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDED / "tuned", tmp_path / "tuned"))


def change(folder: Path, edit: Callable[[list[dict[str, Any]]], object], task: str = "sums") -> None:
    """Change the lines of one task, of which no results are left that could contradict them."""
    file = folder / task / PREDICTIONS
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    edit(lines)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / task / RESULTS).unlink()


def test_scores_are_those_of_its_results_and_to_all_digits_the_means_of_its_lines() -> None:
    ours = scores_of([read(RECORDED / model) for model in ("base", "tuned")])
    rounded, exact = {}, {}
    for model, task, metric in ours:
        results = json.loads((RECORDED / model / task / RESULTS).read_text())["tasks"][task]["metrics"]["pass@1"]
        rounded[model, task, metric] = results["scores"][metric]["value"]
        lines = (RECORDED / model / task / PREDICTIONS).read_text().splitlines()
        values = [float(json.loads(line)["scores"][metric]) for line in lines]
        exact[model, task, metric] = sum(values) / len(values)
    assert ours == pytest.approx(exact, rel=0, abs=1e-9)
    assert {key: round(score, 4) for key, score in ours.items()} == rounded  # it keeps four decimals
    assert {task for _, task, _ in ours} == {"sums", "parity", "words"} and len(set(ours.values())) > 5


def test_chance_repeats_and_texts() -> None:
    log = read(RECORDED / "base")
    imported = import_logs(log, [], Library())
    assert {fact.name: fact.repeated for fact in imported.facts} == {"sums": 1, "parity": 0, "words": 0}
    assert {fact.name: fact.primary for fact in imported.facts} == {"sums": "correct", "parity": "acc", "words": "f1"}
    assert {fact.name: fact.chance for fact in imported.facts} == {"sums": 1 / 15, "parity": 0.5, "words": 0.0}
    assert next(iter(log.tasks["parity"].texts.values())) == AnswerTexts("5 is", " even", "odd")
    assert {(each.text, each.right, each.place) for each in log.tasks["parity"].read["none"]} == {
        ("even", ("even",), 0), ("even", ("odd",), 0), ("odd", ("even",), 1), ("odd", ("odd",), 1),
    }  # fmt: skip


def test_a_folder_of_one_task_and_one_of_several_models(tmp_path: Path) -> None:
    assert list(read(RECORDED / "base" / "sums").tasks) == ["sums"]
    with pytest.raises(UsageError, match=r"several models \(base, tuned\); name one of them"):
        read(RECORDED)
    shutil.copytree(RECORDED / "base" / "sums", tmp_path / "model" / "sums")
    assert list(read(tmp_path).tasks) == ["sums"]
    shutil.copytree(RECORDED / "base" / "sums", tmp_path / "model" / "again")
    with pytest.raises(UsageError, match="a second log of sums"):
        read(tmp_path)


def test_samples_that_its_runner_skipped_are_incomplete(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skipped = {"scores": None, "status": "skipped_model_error", "error": "timed out", "response": None}
    change(folder, lambda lines: lines[3].update(skipped))
    assert read(folder).notices == ("sums: 1 of 16 samples got no score (timed out)",)
    assert exit_code("compare", RECORDED / "base", folder) == 5
    assert exit_code("compare", f"one={folder}", folder) == 5  # also where all logs lack it
    assert "timed out" in capsys.readouterr().err


def test_a_task_without_a_score_is_not_passed_over(folder: Path) -> None:
    change(folder, lambda lines: [line.update(scores={"note": "fine"}) for line in lines])
    for logs in ((RECORDED / "base", folder), (folder, RECORDED / "base")):
        assert exit_code("compare", *logs) == 5
    assert exit_code("compare", f"one={folder}", folder) == 0  # its other tasks


def test_repeats_of_a_question_are_one_unit(folder: Path) -> None:
    def again(lines: list[dict[str, Any]]) -> None:
        lines += [{**line, "sample_id": line["sample_id"] + 16, "metadata": {"_repeat": 1}} for line in list(lines)]

    change(folder, again)
    imported = import_logs(read(folder), [], Library())
    sizes = next(each.sizes for each in imported.measurements if each.task == "sums")
    assert sorted(sizes) == [2] * 14 + [4]


def test_pre_generated_answers_without_a_prompt_are_not_taken_for_one_question(folder: Path) -> None:
    change(folder, lambda lines: [line.update(prompt="", target="same") for line in lines])
    imported = import_logs(read(folder), [], Library())
    assert next(each.sizes for each in imported.measurements if each.task == "sums") == (1,) * 16


def test_results_of_another_run_are_refused(folder: Path) -> None:
    file = folder / "sums" / RESULTS
    shutil.copy(RECORDED / "base" / "sums" / RESULTS, file)
    with pytest.raises(
        DataError, match=r"16 values of correct have the mean 0\.5625, and byob_results\.json says 0\.75"
    ):
        read(folder)
    file.write_text(file.read_text().replace('"count": 16', '"count": 17'))
    with pytest.raises(DataError, match=r"16 samples have a value of correct, and .* says 17"):
        read(folder)


def test_results_alone_say_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in folder.glob(f"*/{PREDICTIONS}"):
        file.unlink()
    assert exit_code("compare", folder, RECORDED / "base") == 2
    assert "run nemo-evaluator again with --save-predictions" in capsys.readouterr().err


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "sums" / "results.jsonl").read_text().splitlines()]


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    return Path(shutil.copytree(LOGS / "nemo_lines" / "tuned", tmp_path / "tuned"))


def write(folder: Path, lines: list[dict[str, Any]]) -> None:
    (folder / "sums" / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_scores_of_version_0_3_are_those_of_its_results() -> None:
    logs = [read(LOGS / "nemo_lines" / model) for model in ("base", "tuned")]
    theirs = {
        (log.name, file.parent.name, "reward"): json.loads(file.read_text())["benchmark"]["scores"]["summary"]["mean"]
        for log in logs
        for file in Path(log.path).glob("*/eval-*.json")
    }
    assert scores_of(logs) == pytest.approx(theirs, rel=0, abs=1e-9)
    assert len(theirs) == 4
    imported = import_logs(logs[0], logs[1:], Library())
    assert {each.task: each.sizes for each in imported.measurements}["words"] == (2,) * 12  # asked twice
    assert logs[0].tasks["sums"].texts.keys() == logs[1].tasks["sums"].texts.keys()
    assert not [notice for notice in imported.notices if "taken to be better" in notice]


def test_a_question_that_version_0_3_could_not_ask_is_no_wrong_answer(newer: Path) -> None:
    lines, file = lines_of(newer), next((newer / "sums").glob("eval-*.json"))
    right = next(line for line in lines if line["reward"])
    right.update(reward=0.0, model_response="", scoring_details={"method": "solve_failed", "error": "timed out"})
    write(newer, lines)
    document = json.loads(file.read_text())
    document["benchmark"]["scores"]["summary"]["mean"] = 0.5  # it counts as a wrong answer there
    file.write_text(json.dumps(document))
    assert read(newer).notices == ("sums: 1 of 16 samples got no score (timed out)",)
    assert exit_code("compare", LOGS / "nemo_lines" / "base", newer) == 5


def test_another_system_prompt_of_version_0_3_is_another_prompt(newer: Path) -> None:
    write(newer, json.loads(json.dumps(lines_of(newer)).replace("You are a calculator.", "You are a poet.")))
    assert exit_code("compare", LOGS / "nemo_lines" / "base", newer) == 5
