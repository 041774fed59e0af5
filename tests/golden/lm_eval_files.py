"""What lm-eval 0.4.13's own loop asks and scores with its own task files, over our rows (lm_eval_rows.py), as JSON
beside this file.

    PYTHONPATH=tests python -m golden.lm_eval_files [FILE]

The model is the embedded base, whose weights are in the repository.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
from golden.lm_eval_rows import CASES, digest, write_rows
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

GOLDEN = Path(__file__).with_suffix(".json")
BASE = Path(__file__).resolve().parents[2] / "fixtures" / "models" / "tiny-base"


def lm_evals(folder: Path) -> dict[str, Any]:
    """What lm-eval asks and scores of each task.

    "asked": digest of all requests; "first": those of the first row; "metrics": our id to the value; "written": what
    the model wrote, row by row, and "read": by filter, what was read out of it.
    """
    data, over = write_rows(folder / "rows"), folder / "over"
    over.mkdir()
    for name, case in CASES.items():
        local = {split: str(data[name] / f"{split}.jsonl") for split in case.splits}
        unread = {
            key: None
            for key in ("training_split", "validation_split", "fewshot_split")
            if key != "fewshot_split" or not case.shots
        }
        evaluated = {"test_split": next(iter(case.splits))}
        changes = {
            "include": str(case.path),
            "task": f"same_{name}",
            "dataset_path": "json",
            "dataset_name": None,
            "tag": [],
        }
        changes |= {"dataset_kwargs": {"data_files": local}, "num_fewshot": case.shots, **unread, **evaluated}
        (over / f"{name}.yaml").write_text(json.dumps(changes))
    manager = TaskManager(include_path=str(over), include_defaults=False)
    model = HFLM(pretrained=str(BASE), device="cpu", dtype="float32", batch_size=1)
    found = simple_evaluate(
        model=model, tasks=[f"same_{name}" for name in CASES], task_manager=manager, bootstrap_iters=0, log_samples=True
    )
    return {name: _of_task(found["results"][f"same_{name}"], found["samples"][f"same_{name}"]) for name in CASES}


def _of_task(results: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    samples = sorted(samples, key=lambda sample: sample["doc_id"])
    asked = {sample["doc_id"]: [_plain(list(arguments)) for arguments in sample["arguments"]] for sample in samples}
    metrics = {
        key.removesuffix(",none"): value for key, value in results.items() if "," in key and "_stderr" not in key
    }
    found: dict[str, Any] = {"asked": digest(list(asked.values())), "first": asked[0], "metrics": metrics}
    if isinstance(samples[0]["resps"][0][0], str):
        found["written"] = list({sample["doc_id"]: sample["resps"][0][0] for sample in samples}.values())
        found["read"] = {}
        for sample in samples:
            found["read"].setdefault(sample["filter"], []).append(sample["filtered_resps"][0])
    return found


def _plain(arguments: list[Any]) -> list[Any]:
    """A generation's arguments as (prompt, stops, most tokens)."""
    if len(arguments) == 2 and isinstance(arguments[1], dict):
        return [arguments[0], list(arguments[1]["until"]), arguments[1].get("max_gen_toks", 256)]
    return arguments


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        datasets.config.HF_DATASETS_CACHE = Path(scratch) / "cache"
        Path(*sys.argv[1:2] or [GOLDEN]).write_text(
            json.dumps(lm_evals(Path(scratch)), indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8"
        )
