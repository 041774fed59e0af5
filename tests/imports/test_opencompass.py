"""opencompass's runs, as 0.5.4 wrote them (logs/opencompass/make.py): the scores of its own results, as shares."""

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
from evalharness.imports import opencompass
from evalharness.imports.logged import AnswerTexts, ModelLog
from evalharness.imports.measurements import import_logs
from evalharness.tasks.library import Library

RECORDED = LOGS / "opencompass"
TASKS = {"parity", "sums", "words"}


def read(path: Path, model: str = "") -> ModelLog:
    return opencompass.read(path, path.name, None, model)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDED / "tuned", tmp_path / "tuned"))


def file_of(folder: Path, part: str, task: str) -> Path:
    return next(folder.glob(f"*/{part}/*/{task}.json"))


def change(file: Path, edit: Callable[[Any], object]) -> None:
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))


def test_scores_are_those_of_its_results_as_shares() -> None:
    ours = scores_of([read(RECORDED / model) for model in ("base", "tuned")])
    theirs = {
        (model, file.stem, metric): value / 100
        for model in ("base", "tuned")
        for file in (RECORDED / model).glob("*/results/*/*.json")
        for metric, value in json.loads(file.read_text()).items()
        if metric != "details"
    }
    assert ours == pytest.approx(theirs, rel=0, abs=1e-9)
    assert {(task, metric) for _, task, metric in theirs} == {
        ("sums", "accuracy"), ("parity", "accuracy"), ("words", "score"),
    }  # fmt: skip
    assert len(set(theirs.values())) == 6


def test_chance_repeats_and_texts() -> None:
    log = read(RECORDED / "base")
    imported = import_logs(log, [], Library())
    facts = {fact.name: fact for fact in imported.facts}
    assert {name: fact.repeated for name, fact in facts.items()} == {"parity": 0, "sums": 1, "words": 0}
    assert {name: fact.chance for name, fact in facts.items()} == {"parity": 0.5, "sums": 1 / 15, "words": 1 / 12}
    assert next(iter(log.tasks["parity"].texts.values())) == AnswerTexts("5 is even", "even", "odd")
    assert next(iter(log.tasks["words"].texts.values())).gold == "amber birch cedar"
    assert {each.place for each in log.tasks["parity"].read["none"]} == {0, 1}
    assert log.tasks["sums"].read["none"][0].text == "1"  # as the evaluator read it


@pytest.mark.parametrize(
    "below", ["", "RUN", "RUN/predictions", "RUN/results", "RUN/predictions/base", "RUN/results/base"]
)
def test_every_folder_of_a_run(below: str) -> None:
    run = next((RECORDED / "base").iterdir()).name
    assert read(RECORDED / "base" / below.replace("RUN", run)).tasks.keys() == TASKS


def test_one_run_of_two_models_and_the_newest_of_two_runs(folder: Path) -> None:
    (run,) = folder.iterdir()
    (other,) = (RECORDED / "base").iterdir()
    for part in ("predictions", "results"):
        shutil.copytree(other / part / "base", run / part / "base")
    with pytest.raises(UsageError, match=r"several models \(base, tuned\); name one of them: .*#base"):
        read(folder)
    with pytest.raises(UsageError, match="no predictions of the model x; base or tuned would be right"):
        read(folder, "x")
    assert exit_code("compare", f"{folder}#base", f"{folder}#tuned") == 0
    shutil.copytree(run, folder / "20250101_000000")
    assert read(folder, "tuned").notices == (f"{folder}: tuned was run 2 times; the newest run counts ({run.name})",)


def test_predictions_without_details_say_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for task in TASKS:
        change(file_of(folder, "results", task), lambda results: results.pop("details"))
    assert exit_code("compare", RECORDED / "base", folder) == 2
    assert "parity, sums, words: no details); score it again: delete" in capsys.readouterr().err
    for task in TASKS:
        file_of(folder, "results", task).unlink()
    with pytest.raises(DataError, match=r"no file in results/\); .*--mode eval --reuse --dump-eval-details True"):
        read(folder)


@pytest.mark.parametrize("lost", [lambda results: results.pop("details"), lambda results: results.pop("score")])
def test_a_task_that_only_one_log_scores_is_not_passed_over(folder: Path, lost: Callable[[Any], object]) -> None:
    change(file_of(folder, "results", "words"), lost)
    assert read(folder).notices[0].startswith(f"{folder}: tasks without scores of single rows (words: no ")
    for logs in ((RECORDED / "base", folder), (folder, RECORDED / "base")):
        assert exit_code("compare", *logs) == 5
    assert exit_code("compare", f"one={folder}", folder) == 0  # its other tasks


def test_equal_texts_are_right_only_where_the_accuracy_comes_out_so(folder: Path) -> None:
    file = file_of(folder, "results", "sums")
    change(file, lambda results: results.update(rouge1=results.pop("accuracy")))
    assert not read(folder).tasks["sums"].answers
    change(file, lambda results: results.update(accuracy=50.0))
    with pytest.raises(DataError, match=r"sums\.json: its details have 56\.25 of 100 rows right, and it reports .*50"):
        read(folder)


def test_an_error_of_the_evaluator_is_shown(folder: Path) -> None:
    file_of(folder, "results", "sums").write_text('{"error": "preds and refrs have different length"}')
    assert "sums: preds and refrs have different length" in read(folder).notices[0]


def test_predictions_in_parts(folder: Path) -> None:
    file = file_of(folder, "predictions", "sums")
    rows = list(json.loads(file.read_text()).values())
    for number, part in enumerate((rows[:10], rows[10:])):
        text = json.dumps({str(place): row for place, row in enumerate(part)})
        file.with_name(f"sums_{number}.json").write_text(text)
    file.unlink()
    assert scores_of([read(folder)]) == scores_of([read(RECORDED / "tuned")])


def test_rows_that_were_asked_several_times(folder: Path) -> None:
    """As BaseEvaluator.evaluate writes them: a list in every field, one part a turn."""
    predictions, results = (file_of(folder, part, "words") for part in ("predictions", "results"))
    asked = list(json.loads(predictions.read_text()).values())
    predictions.write_text(json.dumps({str(place): row for place, row in enumerate(asked * 2)}))
    details = json.loads(results.read_text())["details"]
    for detail in details:
        detail.update(
            {key: [*detail[key], *detail[key]] for key in ("pred", "answer")}, correct=[*detail["correct"], True]
        )
    share = (sum(detail["correct"][0] for detail in details) / 12 + 1) / 2
    results.write_text(json.dumps({"score (2 runs average)": 100 * share, "G-Pass@2_0.5": 3.0, "details": details}))
    log = read(folder)
    assert scores_of([log])["tuned", "words", "score"] == pytest.approx(share, abs=1e-9)
    imported = import_logs(log, [], Library())
    assert next(each.sizes for each in imported.measurements if each.task == "words") == (2,) * 12


def test_files_of_two_runs_are_refused(folder: Path) -> None:
    file = file_of(folder, "results", "sums")
    change(file, lambda results: results["details"]["3"].update(prompt="What is 2 plus 2?"))
    with pytest.raises(DataError, match="details of row 3 are of another prompt"):
        read(folder)
    change(file, lambda results: results["details"].pop("15"))
    with pytest.raises(DataError, match=r"has the details of 15 rows, and .* has 16"):
        read(folder)
    change(file_of(folder, "predictions", "sums"), lambda rows: rows.pop("3"))
    with pytest.raises(DataError, match="row 3 of 15 is not there"):
        read(folder)


def test_a_summary_alone_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run" / "summary").mkdir(parents=True)
    (tmp_path / "run" / "summary" / "summary_20261130_210354.csv").write_text("dataset\n")
    assert exit_code("compare", tmp_path, RECORDED / "base") == 2
    assert (
        "holds opencompass's results and no samples; copy opencompass's folder predictions/" in capsys.readouterr().err
    )
