"""What a run measured, read back by huggingface_hub from the head of a model card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import EvalResult, ModelCard

from evalharness.errors import UsageError
from evalharness.records.comparison import Comparison, Estimate
from evalharness.records.results import Results
from evalharness.report.formats import format_runs
from evalharness.results import write_results

ROW = Comparison(
    task="rte", family="glue", level="task", unit=True, metric="acc", primary=True, candidate="lora", n=277,
    base=Estimate(value=0.8), candidate_score=Estimate(value=0.75),
    difference=Estimate(value=-0.05, low=-0.1, high=0.001), ci_level=0.9, margin=0.02, verdict="inconclusive",
    available=277, points=True, span=1.0,
)  # fmt: skip
UNMEASURED = replace(ROW, task="wsc", n=0, base=None, candidate_score=None, difference=None)
BESIDE = replace(ROW, metric="f1", primary=False, margin=None, verdict=None)
HOSTILE = replace(ROW, task='x"\n---\n<script>: {a: [*b', metric="acc: &x !!python/object:os.system")
SIGNATURE = {"num_fewshot": 2, "tasks": {"rte": {"data": "ab12", "prompts": "cd34"}}}


def card(folder: Path, *rows: Comparison) -> list[EvalResult]:
    write_results(folder, Results(signature=SIGNATURE, models=(), comparisons=rows))
    text = format_runs([folder], "card")[0]
    return ModelCard(f"---\n{text}---\n# A card\n").data.eval_results or []


def test_a_card_holds_the_primary_scores_and_how_they_compare(tmp_path: Path) -> None:
    (result,) = card(tmp_path, ROW, UNMEASURED, BESIDE)
    assert (result.task_type, result.dataset_name, result.metric_type) == ("text-generation", "rte", "acc")
    assert result.metric_value == 0.75
    assert result.metric_args == {
        "base_score": 0.8, "difference": -0.05, "interval": [-0.1, 0.001], "ci_level": 0.9, "margin": 0.02,
        "verdict": "inconclusive",
    }  # fmt: skip
    assert result.dataset_args == {
        "examples": 277, "num_few_shot": 2, "data_sha256": "ab12", "prompts_sha256": "cd34"
    }  # fmt: skip


def test_names_are_values_whatever_they_hold(tmp_path: Path) -> None:
    (result,) = card(tmp_path, HOSTILE)
    assert (result.dataset_name, result.metric_type) == (HOSTILE.task, HOSTILE.metric)


def test_several_runs_have_no_card(tmp_path: Path) -> None:
    card(tmp_path, ROW)
    with pytest.raises(UsageError, match="--format card: takes one run, and 2 are given"):
        format_runs([tmp_path, tmp_path / "results.json"], "card")
