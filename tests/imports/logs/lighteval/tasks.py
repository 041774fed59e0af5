"""Two small tasks in lighteval's form: choices and written answers."""

import os

from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc


def review(row: dict, name: str = "") -> Doc:
    query = f"Review: {row['sentence'].strip()}\nIs the reviewer's opinion negative or positive?\nOpinion:"
    return Doc(task_name=name, query=query, choices=[" negative", " positive"], gold_index=row["label"])


def copy(row: dict, name: str = "") -> Doc:
    return Doc(task_name=name, query=row["inputs"], choices=row["targets"], gold_index=0)


def task(name: str, prompt: object, metrics: list, **options: object) -> LightevalTaskConfig:
    return LightevalTaskConfig(
        name=name,
        prompt_function=prompt,
        hf_repo=f"{os.environ['ROWS']}/{name}",
        hf_subset="default",
        metrics=metrics,
        hf_avail_splits=["train", "test"],
        evaluation_splits=["test"],
        few_shots_split="train",
        **options,
    )


TASKS_TABLE = [
    task("reviews", review, [Metrics.loglikelihood_acc, Metrics.loglikelihood_f1, Metrics.mcc]),
    task(
        "copying", copy, [Metrics.exact_match, Metrics.f1_score, Metrics.bleu], generation_size=16, stop_sequence=["\n"]
    ),
]
