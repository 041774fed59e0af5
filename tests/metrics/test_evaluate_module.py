"""A module of the `evaluate` library, lying in a folder, as a task metric."""

from __future__ import annotations

import pytest

from evalharness.errors import TaskError
from evalharness.metrics.base import OpaqueMetric
from evalharness.metrics.build import build, facts_of, from_facts
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation, Ranking
from evalharness.records.tasks import MetricSpec

MODULE = """
import datasets
import evaluate


class Overlap(evaluate.Metric):
    def _info(self):
        kind = datasets.Value("{kind}")
        return evaluate.MetricInfo(description="", citation="", inputs_description="",
            features=datasets.Features({{"predictions": kind, "references": kind}}))

    def _compute(self, predictions, references, scale=1.0):
        if "boom" in predictions:
            raise RuntimeError("no booms")
        return {result}
"""
SHARE = '{"share": scale * sum(p == r for p, r in zip(predictions, references)) / len(predictions)}'


def module(tmp_path, result=SHARE, kind="string"):
    folder = tmp_path / "overlap"
    folder.mkdir()
    (folder / "overlap.py").write_text(MODULE.format(kind=kind, result=result))
    return str(folder)


def generated(text, *references):
    return Prediction(
        example=Example(id="0", unit="0", prompt="", references=references),
        response=Generation(request_id="r", text=text, finish_reason="eos", tokens=1),
        text=text,
    )


def test_a_point_and_nothing_else(tmp_path):
    spec = MetricSpec(id="overlap", name=module(tmp_path), options={"scale": 100.0, "high": 100})
    metric = build(spec)
    assert metric.kind == "opaque" and metric.width == 0 and isinstance(metric, OpaqueMetric)
    assert metric.point([generated("a", "a"), generated("b", "c")]) == 50
    facts = facts_of(spec, metric)
    assert facts.high == 100 and from_facts(facts).kind == "opaque"
    assert not isinstance(from_facts(facts), OpaqueMetric)


def test_chosen_indices_of_ranked_tasks(tmp_path):
    metric = build(MetricSpec(id="overlap", name=module(tmp_path, kind="int64")))
    example = Example(id="0", unit="0", prompt="", choices=("x", "y"), gold=(1,))
    assert (
        metric.point(
            [Prediction(example=example, response=Ranking(request_id="r", logprobs=(), tokens=(), greedy=()), choice=1)]
        )
        == 1
    )


@pytest.mark.parametrize(
    ("result", "options", "message"),
    [
        ('{"a": 1, "b": 2}', {}, "returned a, b; `key:` names the one to take"),
        ('{"a": 1, "b": 2}', {"key": "c"}, "`key:`"),
        ('{"a": [1, 2]}', {}, "a single finite number"),
        ('{"a": float("nan")}', {}, "a single finite number"),
    ],
)
def test_what_is_no_single_number_is_refused(tmp_path, result, options, message):
    metric = build(MetricSpec(id="overlap", name=module(tmp_path, result), options=options))
    with pytest.raises(TaskError, match=message):
        metric.point([generated("a", "a")])


def test_one_of_several_numbers(tmp_path):
    assert (
        build(MetricSpec(id="overlap", name=module(tmp_path, '{"a": 1, "b": 2}'), options={"key": "b"})).point(
            [generated("a", "a")]
        )
        == 2
    )


def test_a_module_that_fails_is_an_error_of_the_metric(tmp_path):
    metric = build(MetricSpec(id="overlap", name=module(tmp_path)))
    with pytest.raises(TaskError, match="RuntimeError: no booms"):
        metric.point([generated("boom", "a")])


def test_a_missing_module_is_found_when_the_metric_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name, options in (("./nowhere/at/all", {}), ("no_such_module", {"hf_evaluate": True})):
        with pytest.raises(TaskError, match="no module of `evaluate` could be loaded"):
            build(MetricSpec(id="m", name=name, options=options))
    broken = tmp_path / "overlap"
    broken.mkdir()
    (broken / "overlap.py").write_text("import surely_not_installed\n")
    with pytest.raises(TaskError, match="its file exists but cannot be run"):
        build(MetricSpec(id="m", name=str(broken)))
