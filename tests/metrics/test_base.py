"""Building metrics by name, and scoring rows again from what a run keeps."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict, replace

import numpy as np
import pytest

from evalharness.errors import TaskError
from evalharness.metrics import LOWER_IS_BETTER, OBSERVED, READS, REGISTRY, ROUGE, TEXTS, TOXICITY
from evalharness.metrics.base import OpaqueMetric
from evalharness.metrics.build import build, check_readable, facts_of, from_facts
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation, Ranking, Scoring
from evalharness.records.tasks import MetricSpec
from evalharness.tasks import scoring

# need a classifier that does not come with this one: their own file tests them
BROUGHT = {"toxicity", "toxic_share"}
OURS = sorted(set(REGISTRY) - {"evaluate"} - BROUGHT)

WRITTEN = Prediction(
    example=Example(id="0", unit="0", prompt="", references=("a cat sat",)),
    response=Generation(request_id="r", text="a cat sat", finish_reason="eos", tokens=1),
    text="a cat sat",
)
RANKED = Prediction(
    example=Example(id="0", unit="0", prompt="", choices=("0", "1"), gold=(1,), value=1.0),
    response=Ranking(request_id="r", logprobs=(-1.0, -0.5), tokens=(1, 1), greedy=(False, True)),
    choice=1,
)
ASKED_ONCE = Prediction(
    example=Example(id="0", unit="0", prompt="", choices=("x",), gold=(0,), references=("x",)),
    response=Ranking(request_id="r", logprobs=(-1.0,), tokens=(1,), greedy=(True,)),
    choice=0,
)
SCORED = Prediction(
    example=Example(id="0", unit="0", prompt="", references=("a text",)),
    response=Scoring(request_id="r", logprob=-3.0, tokens=2),
)
PREDICTIONS = {"written": WRITTEN, "ranked": RANKED, "scored": SCORED, "once": ASKED_ONCE}
FORMS = {  # what is read of an answer; of others: choices that were ranked
    ("exact_match", "em", "token_f1"): {"written", "ranked", "once"},
    (*ROUGE, "bleu", "chrf", "chrf++", "ter", "nist", "meteor", "cider"): {"written"},
    ("word_perplexity", "byte_perplexity", "bits_per_byte"): {"scored"},
    ("perplexity",): {"once"},
    ("ece", "pearson", "spearman", "selection_bias"): {"ranked"},
    (*TEXTS, *TOXICITY, *OBSERVED): {"written"},
}
CHECKS = ('{"kind": "words", "least": 2}',)
REFERENCES = {  # of metrics that read references of their own
    **dict.fromkeys(("answer_language", "no_language"), ("en",)),
    **dict.fromkeys(("instructions", "instructions_share"), CHECKS),
}
NEEDED = {"selection_bias": {"choices": ["no", "yes"]}}  # options without which a metric is none


def spec_of(name):
    return MetricSpec(id=name, name=name, options=NEEDED.get(name, {}))


@pytest.mark.parametrize("name", OURS)
def test_every_metric_states_itself_and_scores_any_shape_without_nan(name):
    spec = spec_of(name)
    metric = build(spec)
    assert metric.id == name and metric.signature and metric.low < metric.high
    assert metric.high < float("inf") or name in LOWER_IS_BETTER
    again = from_facts(facts_of(spec, metric))
    assert json.loads(json.dumps(asdict(facts_of(spec, metric)), allow_nan=False))["id"] == name
    assert isinstance(metric, OpaqueMetric) == (metric.kind == "opaque")
    if metric.kind == "opaque":
        assert (metric.width, metric.row(RANKED), again.kind) == (0, (), "opaque")
        with pytest.raises(TypeError, match="opaque"):
            metric.score(np.zeros((1, 0)))
        return
    zeros = metric.score(np.zeros((2, 3, metric.width)))
    assert zeros.shape == (2, 3) and not zeros.any()
    rows = np.abs(np.random.default_rng(1).integers(1, 9, size=(4, metric.width))).astype(float)
    assert np.array_equal(again.score(rows), metric.score(rows)) and np.isfinite(metric.score(rows)).all()


def test_no_two_metrics_share_a_signature():
    assert len({build(spec_of(name)).signature for name in OURS}) == len(OURS)


@pytest.mark.parametrize("name", sorted(set(OURS) - {"acc_mutual_info", "bbq_bias", "unparsed"}))
def test_an_answer_that_a_metric_cannot_read_is_an_error_and_never_a_score(name):
    metric = build(spec_of(name))
    readable = next((forms for names, forms in FORMS.items() if name in names), {"ranked", "once"})
    for form, plain in PREDICTIONS.items():
        example = replace(plain.example, references=REFERENCES.get(name, plain.example.references))
        prediction = replace(plain, example=example)
        refused = pytest.raises(TaskError, match=rf"metric {re.escape(name)}: .*; ")
        with nullcontext() if form in readable else refused:
            if isinstance(metric, OpaqueMetric):
                assert metric.point([prediction]) >= metric.low
            else:
                assert len(metric.row(prediction)) == metric.width


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        ("multiple_choice", "ranked"),
        ("generate_until", "written"),
        ("loglikelihood", "once"),
        ("loglikelihood_rolling", "scored"),
    ],
)
def test_which_answers_a_metric_reads_is_known_before_there_are_any(asked, form):
    assert set().union(*READS.values()) == set(REGISTRY) - {"evaluate"}
    for name in sorted(set(REGISTRY) - {"evaluate"}):
        if name in READS[asked]:
            check_readable(MetricSpec(id=name, name=name), asked)
            assert (
                form in next((forms for names, forms in FORMS.items() if name in names), {"ranked", "once"})
                or name == "unparsed"
            )
        else:
            with pytest.raises(TaskError, match=f"cannot read the answers of a {asked} task; it is for "):
                check_readable(MetricSpec(id=name, name=name), asked)


def test_a_mistyped_name_gets_a_suggestion():
    with pytest.raises(TaskError, match="did you mean acc_norm"):
        build(MetricSpec(id="acc_nrm", name="acc_nrm"))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("acc", {"aggregation": "median"}, "'mean' would be right"),
        ("mcc", {"aggregation": "mean"}, "'matthews_corrcoef' would be right"),
        ("word_perplexity", {"aggregation": "perplexity"}, "'weighted_perplexity' would be right"),
        ("pearson", {"aggregation": "mean"}, "leave it out"),
        ("acc", {"higher_is_better": False}, "true would be right"),
        ("brier_score", {"higher_is_better": True}, "false would be right"),
        ("ter", {"higher_is_better": True}, "false would be right"),
        ("spearman", {"higher_is_better": False}, "true would be right"),
    ],
)
def test_an_entry_that_means_another_metric_is_refused(name, options, message):
    with pytest.raises(TaskError, match=message):
        build(MetricSpec(id=name, name=name, options=options))


def test_entries_as_lm_eval_registers_them_are_fine_and_what_is_not_computed_says_why():
    registry = pytest.importorskip("lm_eval.api.registry")
    pytest.importorskip("lm_eval.api.metrics")
    aggregations = {function.__name__: name for name, function in registry.AGGREGATION_REGISTRY.items()}
    for name in set(registry.METRIC_REGISTRY) & set(OURS):
        better, aggregation = registry.HIGHER_IS_BETTER_REGISTRY[name], registry.METRIC_AGGREGATION_REGISTRY[name]
        metric = build(
            MetricSpec(
                id=name,
                name=name,
                options={"aggregation": aggregations[aggregation.__name__], "higher_is_better": better},
            )
        )
        assert metric.higher_is_better is better
    assert set(registry.METRIC_REGISTRY) - set(OURS) == set(scoring.ELSEWHERE)


def test_scoring_rows_again_imports_nothing_heavy():
    corpus = ("bleu", "chrf", "ter", "mcc", "f1", "f1a", "pearson", "ece", "word_perplexity", "bits_per_byte")
    code = f"""
import sys, numpy as np
from evalharness.metrics.build import from_facts
from evalharness.records.measurements import MetricFacts
known = [(name, "corpus") for name in {corpus}]
known += [("acc", "binary"), ("em_all", "binary"), ("rougeLsum", "graded"), ("nist", "opaque")]
for name, kind in known:
    facts = {{"id": name, "name": name, "options": {{}}, "kind": kind, "signature": "s"}}
    metric = from_facts(MetricFacts(**facts, low=0.0, high=1.0, higher_is_better=True))
    if kind != "opaque":
        metric.score(np.ones((3, metric.width)))
heavy = ("torch", "transformers", "datasets", "evaluate", "rouge_score", "nltk", "matplotlib")
print([name for name in heavy if name in sys.modules])
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
