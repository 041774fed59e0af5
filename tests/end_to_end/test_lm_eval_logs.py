"""Two models evaluated and logged by the installed lm-eval (0.4.13), and its folders compared as they are: the scores
of lm-eval's own results files
to 1e-9, and McNemar's p of statsmodels on the logged values, paired by the row's number, which our pairing does not
look at.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from command_line import exit_code
from lm_eval import simple_evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from safetensors.torch import load_file, save_file
from statsmodels.stats.contingency_tables import mcnemar

from evalharness.data.sources import DataSource, read_rows
from evalharness.paths import shipped
from evalharness.tasks.library import Library

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]  # lm-eval and the libraries it loads warn of many things

WORLD, BASE = DataSource(shipped("fixtures/world/rows")), shipped("fixtures/models") / "tiny-base"
LIBRARY = Library()
NOISE = 0.1  # of a tensor's own spread: enough that answers change both ways, too little to lose everything
TWICE = 5  # rows of every task that come again at its end: the same document, asked the same


class Case(NamedTuple):
    """A task of ours that lm-eval runs under `name`; where that is another name, nothing of ours is known of it."""

    ours: str
    rows: int
    name: str = ""
    also: tuple[str, ...] = ()  # metrics beside those of the file


CASES = {
    (case.name or case.ours): case
    for case in (
        Case("sst2", 150),
        Case("cola", 150),
        Case("boolq", 60),
        Case("copa", 100),
        Case("mmlu_astronomy", 120),
        Case("mmlu_high_school_geography", 80),
        Case("bigbench_repeat_copy_logic_generate_until", 80),
        Case("wmt14-en-fr", 60),
        Case("mmlu_astronomy_continuation", 80, "long_answers"),
        Case("sst2", 100, "their_reviews", ("f1",)),
        Case("topics", 100, "their_news"),
    )
}
GROUPS = {"mmlu": ("mmlu_astronomy", "mmlu_high_school_geography"), "theirs": ("their_reviews", "their_news")}
CORPUS = ("mcc", "f1", "bleu", "chrf")


def write_tasks(folder: Path) -> Path:
    """lm-eval's task and group files, on the first rows of the embedded world."""
    for name, case in CASES.items():
        task = LIBRARY.task(case.ours)
        rows = folder / f"{name}.jsonl"
        first = read_rows(task, "test", WORLD).rows[: case.rows]
        rows.write_text("".join(json.dumps(row) + "\n" for row in [*first, *first[:TWICE]]))
        over: dict[str, Any] = {
            "include": str(task.source),
            "task": name,
            "tag": [],
            "dataset_path": "json",
            "dataset_name": None,
        }
        over |= {"dataset_kwargs": {"data_files": {"test": str(rows)}}, "test_split": "test", "num_fewshot": 0}
        over |= dict.fromkeys(("training_split", "validation_split", "fewshot_split"))
        if case.also:
            over["metric_list"] = [{"metric": metric} for metric in ("acc", *case.also)]
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(over))
    for group, members in GROUPS.items():
        pooled = [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}]
        (folder / f"group_{group}.yaml").write_text(
            yaml.safe_dump({"group": group, "task": list(members), "aggregate_metric_list": pooled})
        )
    return folder


def noisy(folder: Path) -> Path:
    """The embedded base with noise in every weight: another model of the same skills, some of them worse."""
    shutil.copytree(BASE, folder)
    generator = torch.Generator().manual_seed(11)
    tensors = load_file(folder / "model.safetensors")
    for name in sorted(tensors):
        whole = tensors[name].float()
        spread = NOISE * whole.std() if whole.dim() > 1 else 0.0
        tensors[name] = (whole + spread * torch.randn(whole.shape, generator=generator)).to(tensors[name].dtype)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def log(model: Path, tasks: Path, out: Path) -> Path:
    """What `lm-eval run --log_samples --output_path OUT` does, without its 100,000 resamples for a standard error."""
    tracker = EvaluationTracker(output_path=str(out))
    found = simple_evaluate(
        model=HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=16),
        model_args=f"pretrained={model},dtype=float32",
        tasks=[*(name for name in CASES if not any(name in members for members in GROUPS.values())), *GROUPS],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
        evaluation_tracker=tracker,
    )
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for name in found["configs"]:
        tracker.save_results_samples(task_name=name, samples=samples[name])
    return out


class Compared(NamedTuple):
    folders: Mapping[str, Path]
    rows: list[dict[str, Any]]
    results: dict[str, Any]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("logs")
    tasks = folder / "tasks"
    tasks.mkdir()
    write_tasks(tasks)
    logs = {"base": log(BASE, tasks, folder / "base"), "noisy": log(noisy(folder / "model"), tasks, folder / "noisy")}
    assert exit_code("compare", *logs.values(), "--out", folder / "compared") == 0
    document = json.loads((folder / "compared" / "results.json").read_text("utf-8"))
    return Compared(logs, document["comparisons"], document)


def theirs(compared: Compared, model: str) -> dict[str, Any]:
    (file,) = compared.folders[model].glob("*/results_*.json")
    return json.loads(file.read_text("utf-8"))["results"]


def logged(compared: Compared, model: str, task: str, metric: str, pipe: str) -> dict[int, float]:
    """Row number to the logged value."""
    (file,) = compared.folders[model].glob(f"*/samples_{task}_2*.jsonl")
    lines = [json.loads(text) for text in file.read_text("utf-8").splitlines()]
    return {line["doc_id"]: line[metric] for line in lines if line["filter"] == pipe}


def keyed(compared: Compared) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Every row of a task or group, its metric, and the filter that it was read through."""
    for row in compared.rows:
        if row["level"] in ("task", "group"):
            metric, _, pipe = row["metric"].partition(",")
            yield row, metric, pipe or "none"


def test_every_logged_metric_is_compared(compared: Compared) -> None:
    found = {(row["task"], row["metric"]) for row, _, _ in keyed(compared)}
    wanted = {(name, "acc") for name, case in CASES.items() if LIBRARY.task(case.ours).output_type == "multiple_choice"}
    wanted |= {
        ("cola", "mcc"),
        ("their_reviews", "f1"),
        ("long_answers", "acc_norm"),
        ("wmt14-en-fr", "bleu"),
        ("wmt14-en-fr", "chrf"),
    }
    wanted |= {("bigbench_repeat_copy_logic_generate_until", metric) for metric in ("exact_match", "exact_match,strip")}
    wanted |= {("mmlu", "acc"), ("theirs", "acc")}
    assert found == wanted
    primary = {row["task"]: row["metric"] for row, _, _ in keyed(compared) if row["primary"]}
    assert {name: metric for name, metric in primary.items() if metric in CORPUS} == {
        "cola": "mcc",
        "wmt14-en-fr": "bleu",
    }


def test_scores_are_those_of_lm_evals_results_files(compared: Compared) -> None:
    results = {model: theirs(compared, model) for model in ("base", "noisy")}
    changed = 0
    for row, metric, pipe in keyed(compared):
        before, after = (results[model][row["task"]][f"{metric},{pipe}"] for model in ("base", "noisy"))
        assert row["base"]["value"] == pytest.approx(before, rel=0, abs=1e-9), (row["task"], metric)
        assert row["candidate_score"]["value"] == pytest.approx(after, rel=0, abs=1e-9), (row["task"], metric)
        changed += before != after
    assert changed > len(CASES) / 2  # or the two models were one


def test_the_p_of_no_difference_is_near_statsmodels_mcnemar_on_the_logged_values(compared: Compared) -> None:
    tested = 0
    for row, metric, pipe in keyed(compared):
        if metric in CORPUS:
            continue
        pairs = []
        for task in GROUPS.get(row["task"], (row["task"],)):
            before, after = (logged(compared, model, task, metric, pipe) for model in ("base", "noisy"))
            assert before.keys() == after.keys()
            pairs += [(before[number], after[number]) for number in before]
        table = np.zeros((2, 2))
        np.add.at(table, tuple(np.array(pairs, dtype=int).T), 1)
        assert row["n"] + row["repeated"] == len(pairs)  # rows that ask the same are one unit of the test
        assert 0 <= table[1, 0] - row["lost"] <= row["repeated"] and 0 <= table[0, 1] - row["gained"] <= row["repeated"]
        p = mcnemar(table, exact=True).pvalue
        # by swaps of units, of which some hold two rows here
        assert row["p_difference"] == pytest.approx(p, abs=0.05), (row["task"], metric)
        tested += table[0, 1] + table[1, 0] > 0
    assert tested >= 8


def test_groups_and_what_our_task_files_say(compared: Compared) -> None:
    units = {row["task"] for row in compared.rows if row["unit"]}
    assert "mmlu" in units and "theirs" not in units and "mmlu_astronomy" not in units
    families = {row["task"]: row["family"] for row in compared.rows if row["level"] == "task"}
    assert (families["sst2"], families["their_reviews"]) == ("glue", "imported")
    margins = {row["task"]: row["margin"] for row in compared.rows if row["primary"]}
    assert (margins["cola"], margins["wmt14-en-fr"], margins["their_news"]) == (0.04, 1.0, 0.02)
    assert compared.results["signature"]["engine"]["name"] == "imported"


def test_a_model_asked_otherwise_is_not_paired(
    compared: Compared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Path(shutil.copytree(compared.folders["noisy"], tmp_path / "other"))
    (file,) = other.glob("*/samples_sst2_*.jsonl")
    lines = [json.loads(text) for text in file.read_text("utf-8").splitlines()]
    file.write_text("".join(json.dumps(line | {"prompt_hash": line["prompt_hash"][::-1]}) + "\n" for line in lines))
    assert exit_code("compare", compared.folders["base"], other) == 5
    assert "not the same prompts" in capsys.readouterr().err
