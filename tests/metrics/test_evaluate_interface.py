"""Our metrics behind the `evaluate` library's interface give what they give in a run."""

from __future__ import annotations

import datasets
import evaluate
import pytest
import sacrebleu
import torch
import transformers
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from evalharness.errors import TaskError
from evalharness.metrics import REGISTRY
from evalharness.metrics import evaluate_interface as interface
from evalharness.metrics.evaluate_interface import evaluate_metric
from evalharness.paths import shipped

TEXTS, REFERENCES = ["the cat sat on the mat", "it is cold"], ["the cat sat on a mat", "it is cold"]
OFFERED = (*interface.CHOSEN, *interface.RANKED, *interface.TEXTS)
BASE = shipped("fixtures/models") / "tiny-base"
CHOSEN, RIGHT = [0, 1, 1, 0], [0, 1, 0, 0]


def test_combined_texts():
    names = ("exact_match", "rouge1", "rougeLsum", "bleu")
    found = evaluate.combine([evaluate_metric(name) for name in names]).compute(
        predictions=TEXTS, references=REFERENCES
    )
    assert set(found) == set(names)
    assert found["exact_match"] == 0.5
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(TEXTS, [REFERENCES]).score)


def test_combined_choices_as_scikit_learn():
    found = evaluate.combine([evaluate_metric("acc"), evaluate_metric("mcc"), evaluate_metric("f1")]).compute(
        predictions=CHOSEN, references=RIGHT
    )
    assert found == {
        "acc": accuracy_score(RIGHT, CHOSEN),
        "mcc": pytest.approx(matthews_corrcoef(RIGHT, CHOSEN)),
        "f1": pytest.approx(f1_score(RIGHT, CHOSEN)),
    }


def test_several_references_and_batches():
    metric = evaluate_metric("rougeL", use_stemmer=True)
    metric.add_batch(predictions=["running cats"], references=[["x", "run cat"]])
    metric.add_batch(predictions=["dogs"], references=[["cat"]])
    assert metric.compute() == {"rougeL,stemmer": 0.5}


def test_log_probabilities_of_choices():
    logprobs, right = [[-4.0, -3.0], [-1.0, -9.0]], [0, 0]
    assert evaluate_metric("acc_norm").compute(
        predictions=logprobs, references=right, choices=[["aaaa", "b"], ["a", "b"]]
    ) == {"acc_norm": 1.0}
    assert 0 < evaluate_metric("brier_score").compute(predictions=logprobs, references=right)["brier_score"] < 2
    with pytest.raises(ValueError, match="choices="):
        evaluate_metric("acc_norm").compute(predictions=logprobs, references=right)


def test_texts_as_sacrebleu_and_as_in_a_run():
    names = ("chrf", "chrf++", "ter", "em", "token_f1", "nist")
    found = evaluate.combine([evaluate_metric(name) for name in names]).compute(
        predictions=TEXTS, references=REFERENCES
    )
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(TEXTS, [REFERENCES]).score)
    assert found["chrf++"] == pytest.approx(sacrebleu.corpus_chrf(TEXTS, [REFERENCES], word_order=2).score)
    assert found["ter"] == pytest.approx(sacrebleu.corpus_ter(TEXTS, [REFERENCES]).score)
    assert (found["em"], found["token_f1"]) == (1, 1)  # "the mat" and "a mat" are the same answer
    assert (
        found["nist"]
        == evaluate_metric("nist").compute(predictions=TEXTS, references=[[text] for text in REFERENCES])["nist"]
        > 0
    )


def test_calibration_takes_log_probabilities():
    assert evaluate_metric("ece", bins=5).compute(predictions=[[0.0, -900.0], [0.0, -900.0]], references=[0, 1]) == {
        "ece": 0.5
    }


def test_every_such_metric_is_named_after_ours():
    names = sorted(OFFERED)
    assert [evaluate_metric(name).name for name in names] == names


def test_a_metric_that_reads_more_of_an_example_has_none():
    assert set(REGISTRY) >= set(OFFERED)
    for name in (
        "em_all",
        "parity",
        "pearson",
        "bbq_bias",
        "word_perplexity",
        "acc_mutual_info",
        "multiple_choice_grade",
    ):
        with pytest.raises(TaskError, match=f"metric {name}: reads more of an example"):
            evaluate_metric(name)


def test_no_examples_score_0_and_unknown_names_are_refused():
    assert evaluate_metric("acc").compute(predictions=[], references=[]) == {"acc": 0.0}
    with pytest.raises(TaskError, match="did you mean exact_match"):
        evaluate_metric("exactmatch")


def test_the_five_of_e2e_combined_as_in_a_run():
    names = ("bleu", "nist", "meteor", "rougeL", "cider")
    found = evaluate.combine([evaluate_metric(name) for name in names]).compute(
        predictions=TEXTS, references=[[text, "quite another"] for text in REFERENCES]
    )
    assert list(found) == list(names) and found["bleu"] > found["cider"] > found["meteor"] > 0.8


def test_in_an_evaluator_with_a_model():
    """A classifier without training, whose answers scikit-learn scores from what the model gives."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(BASE)
    config = transformers.AutoConfig.from_pretrained(BASE, num_labels=2, pad_token_id=tokenizer.pad_token_id)
    torch.manual_seed(0)
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    texts, right = ["good film", "bad film", "good day", "bad day"] * 3, [1, 0, 0, 0] * 3
    rows = datasets.Dataset.from_dict({"text": texts, "label": right})
    with torch.no_grad():
        chosen = [int(model(**tokenizer(text, return_tensors="pt")).logits.argmax()) for text in texts]
    asked = {"model_or_pipeline": model, "tokenizer": tokenizer, "label_mapping": {"LABEL_0": 0, "LABEL_1": 1}}
    evaluator = evaluate.evaluator("text-classification")
    for name, score in (("acc", accuracy_score(right, chosen)), ("mcc", matthews_corrcoef(right, chosen))):
        assert evaluator.compute(data=rows, metric=evaluate_metric(name), **asked)[name] == pytest.approx(score)
    spread = evaluator.compute(
        data=rows, metric=evaluate_metric("acc"), strategy="bootstrap", n_resamples=20, random_state=0, **asked
    )
    low, high = spread["acc"]["confidence_interval"]
    assert low <= spread["acc"]["score"] <= high
