"""lighteval's details, as 0.13.0 wrote them (logs/lighteval/make.py): the scores of its own results files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import exit_code
from imports.imported_scores import scores_of
from imports.log_mutations import LOGS, forms

from evalharness.errors import DataError, UsageError
from evalharness.imports import lighteval
from evalharness.imports.logged import ModelLog
from evalharness.imports.measurements import import_logs
from evalharness.tasks.library import Library

REVIEWS, COPYING = "reviews|2", "copying|0"
Rows = list[dict[str, Any]]


def read(path: Path, model: str = "") -> ModelLog:
    return lighteval.read(path, path.name, None, model)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The logs of two models, under the names that lighteval gave to their files."""
    folder = tmp_path_factory.mktemp("recorded")
    for model in ("base", "tuned"):
        shutil.copytree(LOGS / "lighteval" / model, folder / model)
    forms()["lighteval"].prepare(folder)
    return folder


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded / "tuned", tmp_path / "tuned"))


def details(folder: Path, task: str = REVIEWS) -> Path:
    return next(folder.glob(f"details/*/*/details_{task}_*.parquet"))


def results(folder: Path) -> Path:
    return next(folder.glob("results/*/results_*.json"))


def change(file: Path, edit: Callable[[Rows], Rows]) -> None:
    pq.write_table(pa.Table.from_pylist(edit(pq.read_table(file).to_pylist())), file)


def test_scores_are_those_of_its_results_files(recorded: Path) -> None:
    ours = scores_of([read(recorded / model) for model in ("base", "tuned")])
    theirs = {
        (model, task, metric): value
        for model in ("base", "tuned")
        for task, metrics in json.loads(results(recorded / model).read_text())["results"].items()
        for metric, value in metrics.items()
        if task != "all" and not metric.endswith("_stderr") and metric != "loglikelihood_f1"
    }
    assert ours == pytest.approx(theirs, rel=0, abs=1e-9)
    assert {metric for _, _, metric in theirs} == {"acc", "mcc", "em", "f1", "bleu"} and len(set(theirs.values())) > 7


def test_what_the_log_says_beside_the_scores(recorded: Path) -> None:
    log = read(recorded / "base")
    imported = import_logs(log, [], Library())
    facts = {fact.name: fact for fact in imported.facts}
    assert [(facts[task].primary, facts[task].chance, facts[task].repeated) for task in (REVIEWS, COPYING)] == [
        ("acc", 0.5, 1), ("em", 0.0, 0),
    ]  # fmt: skip
    assert log.tasks[COPYING].stated["em"]["higher_is_better"] is True
    assert log.settings["dtype"] == "float32" and log.settings["temperature"] == 0
    assert any("loglikelihood_f1 is left out" in notice for notice in imported.notices)


def test_texts_and_answers(recorded: Path) -> None:
    log = read(recorded / "base")
    texts = next(iter(log.tasks[REVIEWS].texts.values()))
    assert texts.prompt.count("Review: ") == 3 and texts.prompt.endswith("Opinion:")  # two solved examples before it
    assert "Opinion:positive\n\nReview" in texts.prompt
    assert (texts.output, texts.gold) == ("negative", "negative")
    written = next(iter(log.tasks[COPYING].texts.values()))
    assert (written.prompt, written.output, written.gold) == (
        "Q: now say wallet once, but the last time say kettle\nA:", " kettle", "kettle",
    )  # fmt: skip
    assert {each.place for each in log.tasks[REVIEWS].read["none"]} == {0, 1}


@pytest.mark.parametrize("below", ["", "details", "details/base", "details/base/2026-11-30T20-40-13.703118"])
def test_every_folder_of_details_finds_its_results(recorded: Path, below: str) -> None:
    log = read(recorded / "base" / below)
    assert list(log.tasks) == [COPYING, REVIEWS] and log.settings


def test_one_folder_of_two_models(recorded: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("details", "results"):
        shutil.copytree(recorded / "base" / part / "base", folder / part / "org" / "base")
    with pytest.raises(UsageError, match="several models"):
        read(folder)
    with pytest.raises(UsageError, match="no details of the model other; org/base or tuned would be right"):
        read(folder, "other")
    assert read(folder, "org/base").tasks.keys() == {COPYING, REVIEWS}
    assert exit_code("compare", f"{folder}#org/base", f"{folder}#tuned", "--json") == 0
    models = {row["candidate"] for row in json.loads(capsys.readouterr().out)["comparisons"]}
    assert models == {"tuned"}


def test_the_newest_details_of_a_task_count(recorded: Path, folder: Path) -> None:
    older = details(folder).parent.with_name("2025-01-02T03-04-05.000006")
    older.mkdir()
    shutil.copy(details(folder), older / f"details_{REVIEWS}_{older.name}.parquet")
    log = read(folder)
    assert log.notices == (f"{REVIEWS} was logged 2 times; the newest counts (2026-11-30T20-42-19.951421)",)
    assert scores_of([log]) == scores_of([read(recorded / "tuned")])


def test_a_task_with_choices_and_written_answers_has_two_rows_a_sample(folder: Path) -> None:
    def with_text(rows: Rows) -> Rows:
        written = [{**row, "metric": {"em": float(place % 2)}} for place, row in enumerate(rows)]
        return [{**row, "metric": {**dict.fromkeys(("acc", "mcc", "em")), **row["metric"]}} for row in rows + written]

    results(folder).unlink()
    change(details(folder), with_text)
    log = read(folder)
    of_acc, of_em = ([answer.key for answer in log.tasks[REVIEWS].answers[metric]] for metric in ("acc", "em"))
    assert of_acc == of_em and len(of_acc) == 16
    assert log.tasks[REVIEWS].failed == 0


def test_a_system_prompt_is_part_of_what_was_asked(recorded: Path, folder: Path) -> None:
    document = json.loads(results(folder).read_text())
    document["config_general"]["model_config"]["system_prompt"] = "Answer in one word."
    results(folder).write_text(json.dumps(document))
    assert exit_code("compare", recorded / "base", folder) == 5


def test_subtasks_are_grouped(folder: Path) -> None:
    results(folder).unlink()
    for name in ("mmlu:law", "mmlu:art"):
        file = details(folder)
        shutil.copy(file, file.with_name(file.name.replace("reviews", name)))
    assert read(folder).groups == {"mmlu|2": ("mmlu:art|2", "mmlu:law|2")}


def test_a_log_that_is_not_that_of_its_results_is_refused(folder: Path) -> None:
    change(details(folder), lambda rows: [{**row, "metric": {**row["metric"], "acc": 1}} for row in rows])
    with pytest.raises(DataError, match=r"16 values of acc have the mean 1, and results_.*json says 0\.875"):
        read(folder)


def test_details_of_older_versions_say_what_to_do(folder: Path) -> None:
    pq.write_table(pa.table({"full_prompt": ["a"], "metrics": [{"acc": 1.0}]}), details(folder))
    with pytest.raises(
        DataError, match=r"parquet:1: no details .* columns doc, metric, model_response\); run lighteval"
    ):
        read(folder)


def test_results_alone_say_what_to_do(recorded: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(folder / "details")
    assert exit_code("compare", folder, recorded / "base") == 2
    assert (
        "holds lighteval's results and no samples; run lighteval again with --save-details" in capsys.readouterr().err
    )


def test_a_metric_that_lighteval_computes_otherwise_is_left_out(folder: Path) -> None:
    document = json.loads(results(folder).read_text())
    document["results"][COPYING]["bleu"] = 51.5  # as with the words of another language
    results(folder).write_text(json.dumps(document))
    log = read(folder)
    assert log.notices == (f"{COPYING}: bleu is left out, lighteval computes it otherwise (51.5)",)
    assert list(log.tasks[COPYING].answers) == ["em", "f1"]


def test_ids_of_tokens_are_not_read(folder: Path) -> None:
    assert "input_tokens" not in lighteval._rows(details(folder))[0]["model_response"]


def test_scores_that_are_no_numbers_are_incomplete_also_where_all_logs_have_them(folder: Path) -> None:
    def without_number(rows: Rows) -> Rows:
        rows[2]["metric"]["acc"] = float("nan")
        return [{**row, "metric": {**row["metric"], "acc": float(row["metric"]["acc"])}} for row in rows]

    change(details(folder), without_number)
    results(folder).write_text(results(folder).read_text().replace('"acc": 0.875', '"acc": NaN'))
    assert read(folder).tasks[REVIEWS].failed == 1
    assert exit_code("compare", f"one={folder}", folder) == 5
