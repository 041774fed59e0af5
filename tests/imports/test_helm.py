"""HELM's run folders, as crfm-helm 0.5.16 wrote them (logs/helm/make.py): the means of its own stats.json, pairs by
what was asked, and what is missing or of another run said by name.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import exit_code
from imports.log_mutations import LOGS

from evalharness.errors import DataError, UsageError
from evalharness.imports import helm
from evalharness.imports.logged import AnswerTexts, ModelLog
from evalharness.imports.measurements import import_logs
from evalharness.metrics.build import from_facts
from evalharness.tasks.library import Library

RECORDED = LOGS / "helm"
CLASSIFICATION, MCQA = "simple_classification:num_train_trials=2", "simple_mcqa:data_augmentation=lower"


def read(path: Path, model: str = "") -> ModelLog:
    return helm.read(path, path.name, None, model)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDED / "tuned", tmp_path / "tuned"))


def change(file: Path, edit: Callable[[Any], object]) -> None:
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))


def test_scores_are_the_means_of_helms_own_statistics() -> None:
    logs = [read(RECORDED / model) for model in ("base", "tuned")]
    imported = import_logs(logs[0], logs[1:], Library())
    metrics = {(fact.name, metric.id): from_facts(metric) for fact in imported.facts for metric in fact.metrics}
    ours = {
        (each.model, each.task, each.metric): float(metrics[each.task, each.metric].score(each.rows.sum(0)))
        for each in imported.measurements
    }
    theirs = {}
    for model in ("base", "tuned"):
        for file in (RECORDED / model).glob("*/stats.json"):
            task = json.loads((file.parent / "run_spec.json").read_text())["name"].replace(f"model=demo_{model},", "")
            for stat in json.loads(file.read_text()):
                if "perturbation" not in stat["name"] and "exact_match" in stat["name"]["name"]:
                    theirs[model, task, stat["name"]["name"]] = stat["mean"]
    assert ours == pytest.approx(theirs, rel=0, abs=1e-9)
    assert {task for _, task, _ in theirs} == {CLASSIFICATION, MCQA} and len(set(theirs.values())) > 3


def test_trials_of_an_instance_are_one_unit_and_perturbed_ones_are_left_out() -> None:
    log = read(RECORDED / "base")
    imported = import_logs(log, [], Library())
    sizes = {each.task: each.sizes for each in imported.measurements if each.metric == "exact_match"}
    assert sizes == {CLASSIFICATION: (2,) * 6, MCQA: (1,) * 6}
    assert log.notices == (f"{RECORDED / 'base' / 'simple_mcqa'}: 6 perturbed instances are left out",)
    assert imported.facts[0].primary == "exact_match"
    assert {fact.name: fact.chance for fact in imported.facts} == {CLASSIFICATION: 0.5, MCQA: 0.5}


def test_texts_and_answers() -> None:
    task = read(RECORDED / "base").tasks[MCQA]
    texts = next(iter(task.texts.values()))
    assert texts.prompt.startswith("Answer the following") and texts.prompt.endswith("A. Even\nB. Odd\nAnswer:")
    assert isinstance(texts, AnswerTexts) and (texts.output, texts.gold in ("Even", "Odd")) == (" A", True)
    given = read(RECORDED / "tuned").tasks[MCQA].read["none"]
    assert {(each.text, each.place) for each in given} == {("Even", 0), ("Odd", 1)}


def test_what_helm_summarize_leaves_stands_in_for_the_requests(folder: Path) -> None:
    whole = read(folder)
    for file in folder.glob("*/scenario_state.json"):
        file.unlink()
    summarized = read(folder)
    assert {name: task.answers for name, task in summarized.tasks.items()} == {
        name: task.answers for name, task in whole.tasks.items()
    }
    assert summarized.tasks[MCQA].texts == whole.tasks[MCQA].texts
    (folder / "simple_mcqa" / "instances.json").unlink()
    with pytest.raises(
        DataError, match=r"scenario_state.json: is missing, which holds what was asked; run helm-run again"
    ):
        read(folder)


def test_choices_that_are_requests_of_their_own(folder: Path) -> None:
    """As HELM's adapters multiple_choice_separate_* log them: a request for every reference, and which was taken."""
    run = folder / "simple_mcqa"

    def separate(document: dict[str, Any]) -> None:
        states = []
        for state in document["request_states"]:
            for index, reference in enumerate(state["instance"]["references"]):
                prompt = f"{state['instance']['input']['text']} {reference['output']['text']}"
                of = {"reference_index": index, "request": {**state["request"], "prompt": prompt}}
                states.append({**state, **of, "output_mapping": None, "request_mode": "original"})
                states.append({**states[-1], "request_mode": "calibration"})
        document["request_states"] = states

    def taken(document: list[dict[str, Any]]) -> None:
        for each in document:
            each["stats"].append({"name": {"name": "predicted_index", "split": "test"}, "count": 1, "mean": 1.0})

    change(run / "scenario_state.json", separate)
    change(run / "per_instance_stats.json", taken)
    task = read(run).tasks[MCQA]
    assert {texts.output for texts in task.texts.values()} == {"Odd"}
    assert {(given.text, given.place) for given in task.read["none"]} == {("Odd", 1)}
    assert "predicted_index" not in task.answers and len(task.answers["exact_match"]) == 6


def test_splits_are_tasks_of_their_own(folder: Path) -> None:
    def split(document: dict[str, Any]) -> None:
        plain = [state for state in document["request_states"] if "perturbation" not in state["instance"]]
        for state in plain[:2]:
            state["instance"]["split"] = "valid"

    change(folder / "simple_mcqa" / "scenario_state.json", split)
    sizes = {name: len(task.answers["exact_match"]) for name, task in read(folder / "simple_mcqa").tasks.items()}
    assert sizes == {f"{MCQA},split=valid": 2, MCQA: 4}


def test_one_of_several_models_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model in ("base", "tuned"):  # as helm-run lays them side by side in runs/SUITE
        for run in (RECORDED / model).iterdir():
            shutil.copytree(run, tmp_path / "suite" / f"{run.name}_{model}")
    with pytest.raises(UsageError, match=r"several models \(demo/base, demo/tuned\); name one of them: .*#demo/base"):
        read(tmp_path / "suite")
    suite = tmp_path / "suite"
    assert exit_code("compare", f"{suite}#demo/base", f"{suite}#demo/tuned", "--out", tmp_path / "out") == 0
    assert exit_code("report", tmp_path / "out") == 0
    assert "Answer the following questions" in (tmp_path / "out" / "report.html").read_text()
    capsys.readouterr()


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("run_spec.json", lambda spec: spec.pop("name"), r"no run of HELM \(without its name or adapter_spec.model\)"),
        (
            "scenario_state.json",
            lambda state: state["adapter_spec"].update(model="demo/other"),
            "is of the model demo/other, and run_spec.json of demo/tuned; copy the files of one run",
        ),
        ("scenario_state.json", lambda state: state["request_states"].pop(0), "holds id.*, which .* does not"),
        ("per_instance_stats.json", lambda stats: stats.append(stats[0]), "several times"),
    ],
)
def test_files_that_do_not_belong_together_are_named(
    folder: Path, file: str, edit: Callable[[Any], object], message: str
) -> None:
    change(folder / "simple_mcqa" / file, edit)
    with pytest.raises(DataError, match=message):
        read(folder)


def test_an_instance_without_statistics_failed(folder: Path) -> None:
    change(folder / "simple_mcqa" / "per_instance_stats.json", lambda stats: stats.pop(0))
    log = read(folder)
    assert log.tasks[MCQA].failed == 1
    assert f"{folder / 'simple_mcqa'}: 1 of 6 instances got no score" in log.notices


def test_results_alone_are_no_answers(folder: Path) -> None:
    for name in ("scenario_state.json", "per_instance_stats.json", "display_requests.json"):
        (folder / "simple_mcqa" / name).unlink()
    assert helm.is_log(folder / "simple_mcqa")
    with pytest.raises(DataError, match=r"is missing.*run helm-run again"):
        read(folder / "simple_mcqa")
