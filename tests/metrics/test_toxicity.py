"""Toxicity by a tiny classifier with random weights, held against its own logits, and by a module of `evaluate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

from evalharness.errors import TaskError
from evalharness.metrics.build import build, facts_of, from_facts
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation, Ranking
from evalharness.records.tasks import MetricSpec

WORDS = ("a", "b", "c", "d", "e", "f", "g", "h")
TEXTS = ("a b", "c", "d e f g", "h h a", "b " * 40)
MODULE = """
import datasets
import evaluate


class Rude(evaluate.Measurement):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("string")})
        return evaluate.MeasurementInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions):
        if "boom" in predictions:
            raise RuntimeError("no booms")
        return {"rude": [BODY for text in predictions]}
"""
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A classifier of 16 positions."""

    def classifier(labels: dict[int, str], bare: bool = False, **options: Any) -> Path:
        folder = tmp_path_factory.mktemp("classifier")
        words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(("[PAD]", "[UNK]", *WORDS))}, "[UNK]"))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        PreTrainedTokenizerFast(
            tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16
        ).save_pretrained(folder)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        config = BertConfig(
            vocab_size=10, max_position_embeddings=16, id2label=labels, initializer_range=1.0, **sizes, **options
        )
        torch.manual_seed(2)
        (BertModel if bare else BertForSequenceClassification)(config).save_pretrained(folder)
        return folder

    return classifier


def prediction(text: str) -> Prediction:
    answer = Generation(request_id="r", text=text, finish_reason="stop", tokens=1)
    return Prediction(example=Example(id="0", unit="0", prompt="", references=("x",)), response=answer, text="filtered")


def spec(folder: Path, name: str = "toxicity", **options: Any) -> MetricSpec:
    return MetricSpec(id=name, name=name, options={"model": str(folder), **options})


def probabilities(folder: Path, index: int, sigmoid: bool = False) -> list[float]:
    """By the model's logits alone."""
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    values = []
    for text in TEXTS:
        ids = [2 + WORDS.index(word) for word in text.split()][:16]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        values.append(float((logits.sigmoid() if sigmoid else logits.softmax(-1))[index]))
    return values


@pytest.mark.parametrize(
    ("labels", "options", "index", "chosen"),
    [
        ({0: "nothate", 1: "hate"}, {}, 1, {}),
        ({0: "toxic", 1: "severe_toxic", 2: "insult"}, {"problem_type": "multi_label_classification"}, 0, {}),
        ({0: "LABEL_0", 1: "LABEL_1"}, {}, 1, {"label": "LABEL_1"}),
    ],
)
def test_scores_are_the_probabilities_of_the_toxic_class(
    make: Make, labels: dict[int, str], options: dict[str, str], index: int, chosen: dict[str, str]
) -> None:
    folder = make(labels, **options)
    expected = probabilities(folder, index, sigmoid=bool(options))
    mean, share = build(spec(folder, **chosen)), build(spec(folder, "toxic_share", **chosen))
    rows = [mean.row(prediction(text)) for text in TEXTS]
    assert rows == [(pytest.approx(p, abs=1e-6), 1.0) for p in expected]
    assert [share.row(prediction(text)) for text in TEXTS] == [(float(p > 0.5), 1.0) for p in expected]
    assert 0 < sum(p > 0.5 for p in expected) < len(TEXTS) and len(set(expected)) == len(TEXTS)
    assert (mean.higher_is_better, share.higher_is_better) == (False, False)
    again = from_facts(facts_of(spec(folder, **chosen), mean))
    assert (again.kind, again.higher_is_better, again.signature) == ("graded", False, mean.signature)
    assert str(folder) not in mean.signature and labels[index] in mean.signature


def test_nothing_written_is_not_toxic(make: Make) -> None:
    assert build(spec(make({0: "ok", 1: "toxic"}))).row(prediction(" \n")) == (0.0, 1.0)


def test_another_classifier_is_another_metric(make: Make) -> None:
    one, other = (make({0: "ok", 1: "toxic"}, hidden_act=act) for act in ("gelu", "relu"))
    assert build(spec(one)).signature != build(spec(other)).signature


def test_what_is_no_classifier_is_refused(make: Make, tmp_path: Path) -> None:
    refused = {
        make({0: "ok", 1: "bad"}): "none of its classes is called toxic (ok, bad); name the toxic one: ",
        make({0: "ok", 1: "toxic"}, bare=True): "is no trained classifier: its files lack",
        tmp_path: "holds no classifier",
    }
    for folder, said in refused.items():
        with pytest.raises(TaskError) as error:
            build(spec(folder))
        assert said in str(error.value)
    with pytest.raises(TaskError, match="has no class 'bad'"):
        build(spec(make({0: "ok", 1: "toxic"}), label="bad"))
    with pytest.raises(TaskError, match="names no classifier"):
        build(MetricSpec(id="toxicity", name="toxicity"))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(TaskError, match="cannot be loaded"):
        build(spec(tmp_path))


def module(tmp_path: Path, body: str) -> Path:
    folder = tmp_path / "rude"
    folder.mkdir()
    (folder / "rude.py").write_text(MODULE.replace("BODY", body))
    return folder


def test_a_module_of_evaluate_scores_text_by_text(tmp_path: Path) -> None:
    metric = build(spec(module(tmp_path, "text.count('a') / len(text)")))
    assert [metric.row(prediction(text))[0] for text in ("a b", "aa")] == [pytest.approx(1 / 3), 1.0]
    with pytest.raises(TaskError, match="the classifier failed: RuntimeError: no booms"):
        metric.row(prediction("boom"))
    assert metric.signature.startswith("toxicity|module:rude|content:")
    ranked = Ranking(request_id="r", logprobs=(0.0,), tokens=(1,), greedy=(True,))
    with pytest.raises(TaskError, match="it is for generate_until tasks"):
        metric.row(Prediction(example=Example(id="0", unit="0", prompt=""), response=ranked, choice=0))


@pytest.mark.parametrize(
    ("body", "message"), [("'much'", "no number"), ("2.0", "gave 2"), ("float('nan')", "gave nan")]
)
def test_what_is_no_probability_is_no_score(tmp_path: Path, body: str, message: str) -> None:
    metric = build(spec(module(tmp_path, body)))
    with pytest.raises(TaskError, match=message):
        metric.row(prediction("a"))
