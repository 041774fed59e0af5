"""Texts scored whole, from the task file to results.json: with an engine that is told its answers, and with tiny models
as lm-eval scores them.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from evalharness import results
from evalharness.engines.scripted import ScriptedFactory
from evalharness.records.job import Job
from evalharness.records.job_options import make_job
from evalharness.records.requests import Failure, Request, Response, Score, Scoring
from evalharness.records.results import Results
from evalharness.run.evaluation import evaluate

TEXTS = [
    "the cat sat on a mat",
    "a dog ran over the red house while people talk about weather news " * 12,
    "naïve \u65e5\u672c",
    "one",
    "",
]
METRICS = {
    "word_perplexity": "weighted_perplexity",
    "byte_perplexity": "weighted_perplexity",
    "bits_per_byte": "bits_per_byte",
}
TASK = {
    "task": "texts",
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "{{text}}",
    "metric_list": [{"metric": name, "aggregation": how, "higher_is_better": False} for name, how in METRICS.items()],
    "metadata": {"version": 1.0, "primary": "byte_perplexity", "margin": 0.5, "lm_eval": "same"},
}


@pytest.fixture
def job(zoo: dict[str, Path], tmp_path: Path) -> Callable[..., Job]:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "texts.yaml").write_text(
        yaml.safe_dump({**TASK, "dataset_kwargs": {"data_files": {"test": str(rows)}}})
    )

    def make(model: str = "llama-lora", **changes: object) -> Job:
        return make_job(
            models=(f"candidate={zoo[model]}",),
            base=f"base={zoo[model.partition('-')[0]]}",
            tasks=("texts",),
            include=(tmp_path / "tasks",),
            data={"texts": rows},
            out=tmp_path / "out",
            store=tmp_path / "store.sqlite",
            **changes,
        )

    return make


def costs(nats: float) -> Callable[[Request], Response | Failure]:
    """So many nats a byte."""
    return lambda request: (
        Scoring(request_id=request.id, logprob=-nats * len(request.text.encode()), tokens=len(request.text))
        if isinstance(request, Score)
        else Failure(request_id="", reason="")
    )


def rows(found: Results) -> dict[str, tuple[float, float]]:
    return {row.metric: (row.base.value, row.candidate_score.value) for row in found.comparisons if row.level == "task"}


def test_scores_are_what_the_answers_say(job: Callable[..., Job]) -> None:
    factory = ScriptedFactory(costs(math.log(2)), {"candidate": costs(math.log(4))})
    outcome = evaluate(job(), factory=factory)
    assert sorted(request.text for name, request in factory.requests if name == "base") == sorted(TEXTS)
    scores = rows(outcome)
    assert scores["bits_per_byte"] == pytest.approx((1.0, 2.0)) and scores["byte_perplexity"] == pytest.approx(
        (2.0, 4.0)
    )
    row = next(row for row in outcome.comparisons if row.metric == "byte_perplexity")
    assert (row.n, row.difference.value) == (5, pytest.approx(-2.0))  # + is better
    sample = results.read_samples(job().output.folder, "texts", "base")[0]
    assert (sample.prompt, sample.reference, sample.output) == (
        "",
        TEXTS[0],
        f"{-len(TEXTS[0]) * math.log(2):.6g} nats",
    )
    idle = ScriptedFactory(costs(9.0))
    assert evaluate(job(), factory=idle).comparisons == outcome.comparisons and idle.requests == []


def test_a_text_without_an_answer_is_trouble_and_no_score(job: Callable[..., Job]) -> None:
    def broken(request: Request) -> Response | Failure:
        return (
            Failure(request_id=request.id, reason="non-finite logits")
            if isinstance(request, Score) and "dog" in request.text
            else costs(math.log(4))(request)
        )

    outcome = evaluate(job(), factory=ScriptedFactory(costs(math.log(2)), {"candidate": broken}))
    assert [(error.model, error.example.split("-")[0], error.reason) for error in outcome.errors] == [
        ("candidate", "1", "non-finite logits")
    ]
    row = next(row for row in outcome.comparisons if row.metric == "bits_per_byte")
    assert row.n == 4 and "incomplete" in row.flags and row.candidate_score.value == pytest.approx(2.0)


@pytest.mark.parametrize("model", ["gpt2-lora", "llama-lora"])
def test_tiny_models_score_as_in_lm_eval(
    model: str, job: Callable[..., Job], zoo: dict[str, Path], tmp_path: Path
) -> None:
    """lm-eval 0.4.13's whole loop on the same task file; texts from none to several windows."""
    ours = rows(evaluate(job(model)))
    base = zoo[model.partition("-")[0]]
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    for which, adapter in enumerate((None, str(zoo[model]))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lm = HFLM(pretrained=str(base), peft=adapter, device="cpu", dtype="float32", batch_size=4)
            found = simple_evaluate(model=lm, tasks=["texts"], task_manager=manager, bootstrap_iters=0)
        assert found is not None
        for metric in METRICS:
            assert ours[metric][which] == pytest.approx(found["results"]["texts"][f"{metric},none"], rel=1e-5)
