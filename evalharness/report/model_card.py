"""Write candidates' scores as evaluation results of a model card, by huggingface_hub's classes."""

from __future__ import annotations

import yaml
from huggingface_hub import EvalResult
from huggingface_hub.repocard_data import eval_results_to_model_index

from evalharness.records.comparison import Comparison, Level, value_of
from evalharness.records.results import Results

TASK_TYPE = "text-generation"  # the hub's name for what language models do; lm-evaluation-harness states it, too


def metadata(results: Results) -> str:
    """Return the `model-index` of the candidates as YAML for the head of a model card: the score of every primary
    comparison of a task or group, with its base's score, difference, interval, margin and verdict as the metric's
    arguments.
    """
    index = []
    for name in results.candidates:
        rows = [row for row in results.comparisons if row.candidate == name and _is_listed(row)]
        evaluated = [_result(row, results) for row in rows]
        index += eval_results_to_model_index(name, evaluated) if evaluated else []
    return str(yaml.safe_dump({"model-index": index}, sort_keys=False, allow_unicode=True))


def _is_listed(row: Comparison) -> bool:
    return row.primary and row.level in (Level.TASK, Level.GROUP) and value_of(row.candidate_score) is not None


def _result(row: Comparison, results: Results) -> EvalResult:
    task = results.signature.get("tasks", {}).get(row.task, {})
    difference = row.difference
    compared = {
        "base_score": value_of(row.base),
        "difference": value_of(difference),
        "interval": None if difference is None or difference.low is None else [difference.low, difference.high],
        "ci_level": row.ci_level,
        "margin": row.margin,
        "verdict": None if row.verdict is None else str(row.verdict),
    }
    settings = {
        "examples": row.n,
        "num_few_shot": results.signature.get("num_fewshot"),
        "data_sha256": task.get("data"),
        "prompts_sha256": task.get("prompts"),
    }
    return EvalResult(
        task_type=TASK_TYPE,
        task_name=row.task,
        dataset_type=row.task,
        dataset_name=row.task,
        dataset_args={key: value for key, value in settings.items() if value is not None},
        metric_type=row.metric,
        metric_name=row.metric,
        metric_value=value_of(row.candidate_score),
        metric_args={key: value for key, value in compared.items() if value is not None},
    )
