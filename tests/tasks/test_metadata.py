"""What task files say under `metadata`, and the rules for files that say nothing there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from task_files import task_from_file

from evalharness.errors import TaskError
from evalharness.metrics import REGISTRY
from evalharness.metrics.build import build
from evalharness.records.tasks import HumanLevel, MetricSpec, Task
from evalharness.tasks import scoring
from evalharness.tasks.metadata import MARGINS, PERPLEXITIES, only_describes

Make = Callable[..., Task]


def test_our_metadata(make: Make) -> None:
    metadata = {
        "version": 1.5,
        "family": "glue",
        "chance": 0.4,
        "primary": "rougeL,stemmer",
        "margin": 0.03,
        "metrics": [{"metric": "rougeL", "use_stemmer": True}, {"metric": "rougeL"}],
        "lm_eval": "subset",
        "document": "q",
        "unit": "{{q}}",
        "licence": "CC0",
    }
    task = make(metadata=metadata, tag=["a", "b"])
    assert (task.version, task.family, task.chance, task.margin, task.lm_eval) == ("1.5", "glue", 0.4, 0.03, "subset")
    assert [spec.id for spec in task.metrics] == ["acc", "rougeL,stemmer", "rougeL"]
    assert (task.primary, task.document, task.unit, task.tags) == ("rougeL,stemmer", "q", "{{q}}", ("a", "b"))


def test_a_file_without_our_metadata_runs_by_stated_rules(make: Make) -> None:
    task = make(metadata={"version": 3, "anything": ["lm-eval", "passes over"]})
    assert (task.family, task.primary, task.margin, task.chance, task.lm_eval, task.version) == (
        "other",
        "acc",
        0.02,
        0.5,
        "no",
        "3",
    )
    assert make(doc_to_choice={"a": "x", "b": "y", "c": "z"}).chance == pytest.approx(1 / 3)
    assert make(doc_to_choice="['''{{q}} yes''', '''{{q}} no''']").chance == 0.5
    assert make(doc_to_choice="{{options}}").chance == 0.0
    assert make(metric_list=[{"metric": "mcc"}]).chance == 0.0


def test_chance_is_unknown_where_the_file_says_so_or_less_is_better(make: Make) -> None:
    assert make(metadata={"family": "other", "chance": None}).chance is None
    assert make(metadata={"family": "other", "chance": 0.1}).chance == 0.1
    rolling = {"output_type": "loglikelihood_rolling", "doc_to_choice": None}
    assert make(**rolling, metric_list=[{"metric": "word_perplexity"}]).chance is None
    assert make(**rolling, metric_list=[{"metric": "bits_per_byte"}]).chance == 8.0
    assert make(metric_list=[{"metric": "wer", "hf_evaluate": True}]).chance is None


def test_modules_of_evaluate_decide_where_it_is_said_how_they_are_tested(make: Make) -> None:
    wer = {"metric": "wer", "hf_evaluate": True, "higher_is_better": False, "low": 0, "high": 1}
    for way in ("mean", "jackknife"):
        task = make(metric_list=[wer | {"aggregation": way}, {"metric": "acc"}], metadata={"primary": "wer"})
        assert (task.primary, task.margin, task.chance) == ("wer", 0.02, None) and not only_describes(task)
    with pytest.raises(TaskError, match=r"metadata\.margin is missing: wer does not run from 0 to 1"):
        make(metric_list=[wer | {"aggregation": "mean", "high": 2}], metadata={"primary": "wer"})
    assert make(metric_list=[wer | {"aggregation": "mean", "high": 2}], metadata={"margin": 0.1}).margin == 0.1
    with pytest.raises(TaskError, match="a module of `evaluate`"):
        make(metric_list=[wer, {"metric": "acc"}], metadata={"primary": "wer"})
    plain = make(metric_list=[{"metric": "wer", "hf_evaluate": True, "aggregation": "mean"}])
    assert only_describes(plain), "lm-eval's files say so of every module"
    for wrong, said in (
        ({"aggregation": "jacknife"}, "aggregation is 'jacknife'; did you mean jackknife?"),
        ({"low": 1, "high": 0}, "low is 1, high is 0; two numbers"),
        ({"high": "x"}, "low is 0, high is 'x'; two numbers"),
    ):
        with pytest.raises(TaskError, match=said):
            make(metric_list=[wer | wrong, {"metric": "acc"}])


def test_other_modules_of_evaluate_describe_and_never_decide(make: Make, tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    task = make(metric_list=[{"metric": "wer", "hf_evaluate": True}, {"metric": "acc"}, {"metric": "./metrics"}])
    assert task.primary == "acc"
    assert [spec.name for spec in task.metrics] == ["wer", "acc", str(tmp_path / "metrics")]
    with pytest.raises(TaskError, match="a module of `evaluate`"):
        make(metric_list=[{"metric": "wer", "hf_evaluate": True}, {"metric": "acc"}], metadata={"primary": "wer"})
    with pytest.raises(TaskError, match="no metric that can decide"):
        make(metric_list=[{"metric": "wer", "hf_evaluate": True}], metadata={"family": "other"})
    alone = make(metric_list=[{"metric": "wer", "hf_evaluate": True}])
    assert alone.primary == "wer" and only_describes(alone) and not only_describes(task)


WRITTEN: dict[str, Any] = {"output_type": "generate_until", "doc_to_choice": None, "metric_list": [{"metric": "bleu"}]}


def test_the_margin_of_other_scales_must_be_stated_in_our_own_files(make: Make) -> None:
    with pytest.raises(TaskError, match=r"metadata\.margin is missing: bleu runs from 0 to 100"):
        make(**WRITTEN, metadata={"family": "translation"})
    assert make(**WRITTEN, metadata={"margin": 1.0}).margin == 1.0
    assert make(**WRITTEN, metadata={"metrics": [{"metric": "rouge1"}], "primary": "rouge1"}).margin == 0.02


def test_a_plain_file_is_decided_on_a_0_1_scale_where_it_has_one(make: Make) -> None:
    def decides(*names: str, **more: Any) -> tuple[str, float, float]:
        task = make(**{**WRITTEN, "metric_list": [{"metric": name} for name in names], **more})
        return task.primary, task.margin, task.chance

    assert decides("bleu", "exact_match") == ("exact_match", 0.02, 0.0)
    assert decides("bleu") == ("bleu", 2.0, 0.0)
    ranked = {"output_type": "multiple_choice", "doc_to_choice": ["a", "b", "c", "d"]}
    assert decides("brier_score", **ranked) == ("brier_score", 0.04, 0.75)
    assert decides("brier_score", "acc", **ranked) == ("acc", 0.02, 0.25)


@pytest.mark.parametrize("name", sorted({*MARGINS, *PERPLEXITIES} & set(REGISTRY)))
def test_every_scale_that_has_a_rule_of_its_own_is_another_scale(name: str) -> None:
    assert name in scoring.OTHER_SCALES


def test_scales_agree_with_the_metrics_themselves() -> None:
    for name in ("acc", "acc_norm", "mcc", "f1", "exact_match", "rouge1", "rougeLsum", "bleu", "brier_score"):
        metric = build(MetricSpec(id=name, name=name))
        assert (metric.high > 1) == (name in scoring.OTHER_SCALES), name


def test_wordings_may_lie_in_a_file_for_several_tasks(write: Callable[..., Path]) -> None:
    path = write(metadata={"family": "other", "templates": "_wordings_yaml"})
    with pytest.raises(TaskError, match="_wordings_yaml: does not exist"):
        task_from_file(path)
    shared = path.parent / "_wordings_yaml"
    shared.write_text('plain:\n  doc_to_text: "{{q}}."\n')
    assert task_from_file(path).templates == {"plain": {"doc_to_text": "{{q}}."}}
    shared.write_text('plain:\n  doc_to_txt: "{{q}}."\n')
    with pytest.raises(TaskError, match=r"_wordings_yaml: unknown key 'plain\.doc_to_txt'"):
        task_from_file(path)


def test_what_people_score_is_by_the_metric_that_decides_unless_another_is_named(make: Make) -> None:
    def stated(**human: object) -> HumanLevel | None:
        return make(metric_list=[{"metric": "acc"}, {"metric": "mcc"}], metadata={"human": human}).human

    assert make(metadata={"family": "other"}).human is None
    assert stated(value=0.9, source="us") == HumanLevel(metric="acc", value=0.9, source="us")
    assert stated(value=-0.2, source="us", metric="mcc") == HumanLevel(metric="mcc", value=-0.2, source="us")
    for wrong, said in (
        ({"value": 90, "source": "us"}, r"metadata\.human\.value is 90; acc is at most 1: a share, not points"),
        ({"value": 0.9}, r"metadata\.human\.source is missing"),
        ({"source": "us"}, r"metadata\.human\.value is nothing; a number in the metric's unit"),
        ({"value": 0.9, "source": "us", "metric": "f1"}, r"metadata\.human\.metric is 'f1', which is no metric here"),
        ({"value": 0.9, "source": "us", "max": 1}, r"unknown key 'metadata\.human\.max'"),
    ):
        with pytest.raises(TaskError, match=said):
            stated(**wrong)
