"""lm-eval's own task files, as they lie in the installed package, run here: what is asked byte for byte, scores to
1e-6, by what lm-eval wrote.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from golden.lm_eval_rows import CASES, digest, write_rows

from evalharness.data.sources import DataSource
from evalharness.paths import shipped
from evalharness.records.job_options import make_job
from evalharness.records.requests import Generate, Request, Score
from evalharness.run.evaluation import evaluate
from evalharness.tasks import filters
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).resolve().parents[1] / "golden" / "lm_eval_files.json").read_text("utf-8")
)
METRICS = [(name, metric) for name in CASES for metric in GOLDEN[name]["metrics"]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def run(data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every file evaluated by the whole pipeline, with the embedded base as base and candidate: scores, and the base's
    samples.
    """
    folder, base = tmp_path_factory.mktemp("run"), str(shipped("fixtures/models") / "tiny-base")
    scores: dict[tuple[str, str], float] = {}
    written: dict[str, list[str]] = {}
    for shots in {case.shots for case in CASES.values()}:
        names = [name for name, case in CASES.items() if case.shots == shots]
        job = make_job(
            models=(f"same={base}",),
            base=f"base={base}",
            allow_noop=True,
            tasks=tuple(str(CASES[name].path) for name in names),
            data={name: data[name] for name in names},
            num_fewshot=shots,
            out=folder / str(shots),
            store=folder / "store.sqlite",
        )
        results = evaluate(job)
        assert not results.errors
        scores |= {(row.task, row.metric): row.base.value for row in results.comparisons if row.level == "task"}
        for name in names:
            lines = (job.output.folder / "samples" / name / "base.jsonl").read_text("utf-8").splitlines()
            written[name] = [json.loads(line)["output"] for line in lines]
    return {"scores": scores, "written": written}


def test_there_are_more_than_ten_of_every_kind() -> None:
    tasks = [Library().select([str(case.path)])[0] for case in CASES.values()]
    assert len(tasks) >= 12 and {task.name for task in tasks} == set(CASES) == set(GOLDEN)
    assert {task.output_type for task in tasks} == {
        "multiple_choice",
        "loglikelihood",
        "loglikelihood_rolling",
        "generate_until",
    }
    assert all(
        "lm_eval" in task.source.parts and task.lm_eval == "no" for task in tasks
    )  # nobody but this test says that they are the same


@pytest.mark.parametrize("name", CASES)
def test_what_is_asked_is_lm_evals_byte_for_byte(name: str, data: dict[str, Path]) -> None:
    task = Library().select([str(CASES[name].path)])[0]
    prepared = prepare(task, DataSource(overrides={name: data[name]}), PromptSettings(num_fewshot=CASES[name].shots))
    asked = [_plain(request) for request in prepared.requests]
    assert asked[0] == GOLDEN[name]["first"]
    assert digest(asked) == GOLDEN[name]["asked"]


@pytest.mark.parametrize(("name", "metric"), METRICS)
def test_scores_are_lm_evals(name: str, metric: str, run: dict[str, Any]) -> None:
    assert run["scores"][name, metric] == pytest.approx(GOLDEN[name]["metrics"][metric], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in CASES if "written" in GOLDEN[name]])
def test_what_is_written_and_read_is_lm_evals(name: str, run: dict[str, Any]) -> None:
    task, rows = Library().select([str(CASES[name].path)])[0], next(iter(CASES[name].splits.values()))
    assert run["written"][name] == GOLDEN[name]["written"]
    for pipe, steps in task.filters:
        read = [
            filters.apply(steps, [text], row.get("choices", ())).text
            for text, row in zip(GOLDEN[name]["written"], rows, strict=True)
        ]
        assert read == GOLDEN[name]["read"][pipe]


@pytest.mark.slow
def test_lm_eval_still_says_what_is_written_down(tmp_path: Path) -> None:
    tests = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "golden.lm_eval_files", str(tmp_path / "now.json")]
    subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(tests), "HF_HUB_OFFLINE": "1"}, check=True, capture_output=True
    )
    now = json.loads((tmp_path / "now.json").read_text("utf-8"))
    assert {name: found | {"metrics": None} for name, found in now.items()} == {
        name: found | {"metrics": None} for name, found in GOLDEN.items()
    }
    for name in CASES:
        assert now[name]["metrics"] == pytest.approx(GOLDEN[name]["metrics"], rel=1e-5)  # CPUs differ in last digits


def _plain(request: Request) -> list[Any]:
    """As tests/golden/lm_eval_files.py writes lm-eval's arguments."""
    if isinstance(request, Generate):
        return [[request.prompt, list(request.stop), request.max_tokens]]
    return [[request.text]] if isinstance(request, Score) else [list(pair) for pair in request.pairs]
