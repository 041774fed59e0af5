"""The embedded base on whole tasks, against lm-eval 0.4.13's own loop on the same task files and rows: the same
prompts, byte for byte, and the
same scores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from evalharness.data.sources import DataSource, read_rows
from evalharness.paths import shipped
from evalharness.records.job_options import make_job
from evalharness.records.requests import Generate, Rank, Request
from evalharness.run.evaluation import evaluate
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]  # lm-eval and the libraries it loads warn of many things

WORLD, BENCHMARKS = shipped("fixtures/world/rows"), Path(__file__).parents[2] / "fixtures" / "benchmarks"
BASE = shipped("fixtures/models") / "tiny-base"
LIBRARY = Library()
LIMIT = 200  # the first rows for lm-eval, which draws none; given to us as a file


@dataclass(frozen=True)
class Case:
    """A task by our metric's id and lm-eval's key for it. `world`: on rows of the embedded world, else on the few of
    fixtures/benchmarks.
    """

    task: str
    metrics: tuple[tuple[str, str], ...]
    world: bool = False
    shots: int = 0

    def __str__(self) -> str:
        return f"{self.task}-{self.shots}"


def case(task: str, *metrics: str, world: bool = False, shots: int = 0, pipe: str = "none") -> Case:
    """Ours "f1,macro" or "exact_match,strip" is lm-eval's "exact_match,strip"; a plain "acc" is its "acc,none"."""
    return Case(task, tuple((name, name if "," in name else f"{name},{pipe}") for name in metrics), world, shots)


MMLU = ("astronomy", "elementary_mathematics", "high_school_biology", "high_school_geography")
CASES = (
    case("sst2", "acc", world=True),
    case("cola", "mcc", "acc", world=True),
    case("rte", "acc", world=True),
    case("boolq", "acc", world=True),
    case("copa", "acc", world=True),
    case("mmlu_astronomy_continuation", "acc", "acc_norm", world=True),
    case("bigbench_logical_deduction_multiple_choice", "acc", world=True),
    case("bigbench_language_identification_multiple_choice", "acc", world=True),
    case("bigbench_repeat_copy_logic_generate_until", "exact_match,strip", world=True),
    case("wmt14-en-fr", "bleu", world=True),
    case("topics", "acc", world=True),
    case("mrpc", "acc", "f1"),
    case("qnli", "acc"),
    case("mnli", "acc"),
    case("cb", "acc"),
    case("wic", "acc"),
    case("bigbench_hindu_knowledge_multiple_choice", "acc"),
    case("bigbench_strategyqa_multiple_choice", "acc"),
    case("bigbench_winowhy_multiple_choice", "acc"),
    case("bigbench_operators_generate_until", "exact_match,strip"),
    *(
        case(f"mmlu_{subject}", "acc", world=world, shots=shots)
        for subject in MMLU
        for world, shots in ((True, 0), (False, 5))
    ),
)


def source(asked: Case) -> DataSource:
    return DataSource(WORLD if asked.world else BENCHMARKS)


def split(asked: Case) -> str:
    return "test" if asked.world else LIBRARY.task(asked.task).evaluation_split


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[Case, dict[str, Path]]:
    """Each case's rows as files: "test", and "dev" where it has shots."""
    folder = tmp_path_factory.mktemp("rows")
    found: dict[Case, dict[str, Path]] = {}
    for asked in CASES:
        task = LIBRARY.task(asked.task)
        splits = {"test": split(asked), **({str(task.fewshot_split): str(task.fewshot_split)} if asked.shots else {})}
        for name, ours in splits.items():
            path = folder / str(asked) / f"{name}.jsonl"
            path.parent.mkdir(exist_ok=True)
            lines = [json.dumps(row) for row in read_rows(task, ours, source(asked)).rows[:LIMIT]]
            path.write_text("\n".join(lines) + "\n")
            found.setdefault(asked, {})[name] = path
    return found


@pytest.fixture(scope="module")
def ours(
    rows: dict[Case, dict[str, Path]], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, int, str], float]:
    folder, found = tmp_path_factory.mktemp("run"), {}
    for shots in {asked.shots for asked in CASES}:
        cases = [asked for asked in CASES if asked.shots == shots]
        job = make_job(
            models=(f"same={BASE}",),
            base=str(BASE),
            allow_noop=True,
            tasks=tuple(asked.task for asked in cases),
            data={asked.task: rows[asked]["test"].parent for asked in cases},
            split="test",
            num_fewshot=shots,
            out=folder / f"out-{shots}",
            store=folder / "store.sqlite",
        )
        found |= {(c.task, shots, c.metric): c.base.value for c in evaluate(job).comparisons if c.level == "task"}
    return found


@pytest.fixture(scope="module")
def theirs(rows: dict[Case, dict[str, Path]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """lm-eval's results and samples by name of the case."""
    folder = tmp_path_factory.mktemp("lm-eval")
    for asked, files in rows.items():
        task = LIBRARY.task(asked.task)
        over = {
            "include": str(task.source),
            "task": f"same_{asked}",
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": {name: str(path) for name, path in files.items()}},
            "test_split": "test",
            "training_split": None,
            "validation_split": None,
            "fewshot_split": task.fewshot_split if asked.shots else None,
            "num_fewshot": asked.shots,
            "tag": [],
        }
        (folder / f"{asked}.yaml").write_text(yaml.safe_dump(over))
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    model = HFLM(pretrained=str(BASE), device="cpu", dtype="float32", batch_size=8)
    names = [f"same_{asked}" for asked in CASES]
    found = simple_evaluate(model=model, tasks=names, task_manager=manager, bootstrap_iters=0, log_samples=True)
    return {
        str(asked): {"results": found["results"][f"same_{asked}"], "samples": found["samples"][f"same_{asked}"]}
        for asked in CASES
    }


def arguments(request: Request) -> list[tuple[str, str]]:
    if isinstance(request, Rank):
        return list(request.pairs)
    assert isinstance(request, Generate)
    return [(request.prompt, "")]


@pytest.mark.parametrize("asked", CASES, ids=str)
def test_the_same_prompts(asked: Case, rows: dict[Case, dict[str, Path]], theirs: dict[str, dict[str, Any]]) -> None:
    given = DataSource(overrides={asked.task: rows[asked]["test"].parent})
    prepared = prepare(LIBRARY.task(asked.task), given, PromptSettings(num_fewshot=asked.shots, split="test"))
    by_row = {sample["doc_id"]: sample["arguments"] for sample in theirs[str(asked)]["samples"]}
    asks = [
        [(pair[0], "" if isinstance(pair[1], dict) else pair[1]) for pair in by_row[number]]
        for number in sorted(by_row)
    ]
    assert [arguments(request) for request in prepared.requests] == asks


@pytest.mark.parametrize(
    ("asked", "metric", "key"), [(asked, *metric) for asked in CASES for metric in asked.metrics], ids=str
)
def test_the_same_score(
    asked: Case, metric: str, key: str, ours: dict[tuple[str, int, str], float], theirs: dict[str, dict[str, Any]]
) -> None:
    assert ours[asked.task, asked.shots, metric] == pytest.approx(theirs[str(asked)]["results"][key], abs=1e-6)
