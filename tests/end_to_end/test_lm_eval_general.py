"""ARC, HellaSwag, PIQA, WinoGrande, LAMBADA and GSM8K against lm-eval 0.4.13's own files of these tasks, its Python
included: every score of the embedded base, and of the model that EVALHARNESS_REAL_MODEL names.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from evalharness.paths import shipped
from evalharness.records.job_options import make_job
from evalharness.run.evaluation import evaluate
from evalharness.tasks.library import Library

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # lm-eval and what it loads warn of many things

BENCHMARKS = Path(__file__).resolve().parents[2] / "fixtures" / "benchmarks"
LIBRARY = Library()
TINY, REAL = str(shipped("fixtures/models") / "tiny-base"), os.environ.get("EVALHARNESS_REAL_MODEL")
REASON = "EVALHARNESS_REAL_MODEL names no instruct model (SmolLM2-135M-Instruct)"
MODELS = [
    pytest.param(TINY, id="tiny"),
    pytest.param(REAL, id="real", marks=pytest.mark.skipif(REAL is None, reason=REASON)),
]
OWN = {
    "arc_easy": "arc/arc_easy.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "hellaswag": "hellaswag/hellaswag.yaml",
    "piqa": "piqa/piqa.yaml",
    "winogrande": "winogrande/default.yaml",
    "lambada_openai": "lambada/lambada_openai.yaml",
    "lambada_standard": "lambada/lambada_standard.yaml",
    "gsm8k": "gsm8k/gsm8k.yaml",
}
SHOTS = {"gsm8k": 1}  # five do not fit into the embedded base's window


def rows_of(name: str) -> Path:
    task = LIBRARY.task(name)
    return BENCHMARKS / task.dataset_path / (task.dataset_name or "default")


@cache
def ours(model: str, folder: Path) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for names in ([name for name in OWN if name not in SHOTS], list(SHOTS)):
        job = make_job(
            models=(f"same={model}",),
            base=model,
            allow_noop=True,
            tasks=tuple(names),
            data={name: rows_of(name) for name in names},
            num_fewshot=SHOTS.get(names[0], 0),
            dtype="float32",
            out=folder / names[0],
            store=folder / "store.sqlite",
        )
        found |= {(c.task, c.metric): c.base.value for c in evaluate(job).comparisons if c.level == "task"}
    return found


@cache
def theirs(model: str, folder: Path) -> dict[str, dict[str, Any]]:
    """lm-eval's results, of its own files with our rows; GSM8K's shots are the first rows, which its own file draws."""
    for name, own in OWN.items():
        splits = {path.stem: str(path) for path in rows_of(name).glob("*.jsonl")}
        over: dict[str, Any] = {"include": str(files("lm_eval") / "tasks" / own), "task": f"theirs_{name}", "tag": []}
        over |= {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": splits}}
        over |= {"num_fewshot": SHOTS.get(name, 0), "fewshot_config": {"sampler": "first_n"}}
        over |= {} if "validation" in splits else {"validation_split": None}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(over))
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "cache")
        lm = HFLM(pretrained=model, device="cpu", dtype="float32", batch_size=4)
        names = [f"theirs_{name}" for name in OWN]
        results = simple_evaluate(model=lm, tasks=names, task_manager=manager, bootstrap_iters=0)
    return {name: results["results"][f"theirs_{name}"] for name in OWN}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", OWN)
def test_lm_evals_own_task_gives_every_score(name: str, model: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    found, expected = ours(model, folder), theirs(model, folder)[name]
    for spec in LIBRARY.task(name).metrics:
        key = spec.id if "," in spec.id else f"{spec.id},none"
        assert found[name, spec.id] == pytest.approx(expected[key], rel=1e-4), spec.id
