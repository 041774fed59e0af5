"""Modules of `evaluate` that decide: means against numpy, leave-one-out rows against BLEU's own rows, by which the same
score is tested without recomputing it; and scores that have neither.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import exit_code
from measured_runs import task

from evalharness.analysis.pairing import pairs_of
from evalharness.data.sources import DataSource
from evalharness.errors import TaskError
from evalharness.metrics.build import build, facts_of, from_facts
from evalharness.metrics.evaluate_rows import MOST_UNITS, ModuleJackknife, ModuleMean
from evalharness.records.measurements import Prediction
from evalharness.records.requests import Example, Generation
from evalharness.records.tasks import MetricSpec
from evalharness.results import read_measurements, read_results
from evalharness.run.measure import measure
from evalharness.stats.assess import assess
from evalharness.stats.enums import MetricKind
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "evaluate-module"
WORDS = "the cat sat on a mat and saw two birds near old trees".split()
MEAN = {"aggregation": "mean", "low": 0, "high": 1}
RATIO = {"aggregation": "jackknife", "low": 0, "high": 2, "higher_is_better": False}


def predicted(text, *references, unit="0"):
    return Prediction(
        example=Example(id=unit, unit=unit, prompt="", references=references),
        response=Generation(request_id="r", text=text, finish_reason="eos", tokens=1),
        text=text,
    )


def module(name, **options):
    return build(MetricSpec(id=name, name=str(EXAMPLE / name), options=options))


def jackknife(score_of, **more):
    settled = {"id": "m", "signature": "s", "low": -np.inf, "high": np.inf, "higher_is_better": True, **more}
    return ModuleJackknife(kind=MetricKind.CORPUS, score_of=score_of, **settled)


def sentences(seed, n=60, wrong=0.2):
    draw = random.Random(seed)
    for at in range(n):
        right = [draw.choice(WORDS) for _ in range(draw.randrange(5, 12))]
        said = [draw.choice(WORDS) if draw.random() < wrong else word for word in right]
        yield predicted(" ".join(said), " ".join(right), unit=str(at))


def test_a_mean_has_rows_and_is_checked_on_the_predictions_themselves():
    metric = module("word_overlap", **MEAN)
    predictions = [predicted("a b", "a b", unit="x"), predicted("a", "a c", unit="y"), predicted("d", "a", unit="x")]
    assert metric.unit_rows(predictions) == {"x": (1.0, 2.0), "y": (0.5, 1.0)}
    assert (metric.kind, metric.low, metric.high) == ("graded", 0, 1) and "|agg:mean" in metric.signature
    assert metric.row(predictions[1]) == (0.5, 1.0) and metric.unit_rows([]) == {}
    with pytest.raises(TaskError, match=r"edit_rate: is no mean: all predictions score .*; `aggregation: jackknife`"):
        module("edit_rate", **MEAN | {"high": 2}).unit_rows(
            [predicted("x", "x"), predicted("", "four")] * 2 + [predicted("", "y")]
        )


def test_scores_outside_the_stated_range_are_refused_and_unstated_ends_are_none():
    with pytest.raises(TaskError, match="2 is not between 0 and 1"):
        module("edit_rate", **MEAN).unit_rows([predicted("xxxx", "y")])
    facts = facts_of(MetricSpec(id="m", name="a/b", options={}), module("word_overlap", aggregation="mean", low=0))
    assert (facts.kind, facts.low, facts.high) == ("graded", 0, None)
    assert module("word_overlap", aggregation="mean").kind == "opaque", "as lm-eval's files have it"
    with pytest.raises(TaskError, match="states no range of the scores"):
        module("edit_rate", aggregation="jackknife")
    for ends in ({"low": 1, "high": 0}, {"low": "0"}, {"high": True}):
        with pytest.raises(TaskError, match="low is"):
            module("word_overlap", **MEAN | ends)


def test_rows_by_leaving_out_test_a_corpus_score_as_its_own_rows_do():
    bleu = build(MetricSpec(id="bleu", name="bleu"))

    def by_sums(predictions):
        return float(bleu.score(np.array([bleu.row(each) for each in predictions]).sum(axis=0)))

    sides = [list(sentences(5, wrong=0.05)), list(sentences(5, wrong=0.25))]
    recomputed = jackknife(by_sums, low=0.0, high=100.0)
    rows = [np.array(list(recomputed.unit_rows(side).values())) for side in sides]
    for side, of in zip(sides, rows, strict=True):
        assert float(recomputed.score(of.sum(axis=0))) == pytest.approx(by_sums(side))
    spec = MetricSpec(id="m", name="some/module", options={"aggregation": "jackknife"})
    facts = [facts_of(MetricSpec(id="bleu", name="bleu"), bleu), facts_of(spec, recomputed)]
    own = [np.array([bleu.row(each) for each in side]) for side in sides]
    found = []
    for metric, (base, other) in zip(facts, (own, rows), strict=True):
        pairs = replace(pairs_of((task("t", metric), metric), base, other, np.ones(len(base))), margin=1.0)
        found.append(assess(pairs, 0.9, np.random.default_rng(0), swaps=10))
    ours, theirs = found[1], found[0]
    assert ours.difference.value == pytest.approx(theirs.difference.value)
    assert ours.difference[1:] == pytest.approx(theirs.difference[1:], rel=0.02)
    assert ours.p_forgotten == pytest.approx(theirs.p_forgotten, rel=0.05)


def test_units_are_left_out_whole_and_one_alone_has_the_score():
    metric = module("edit_rate", **RATIO)
    one = [predicted("ab", "abcd", unit="a"), predicted("x", "y", unit="a")]
    assert metric.unit_rows(one) == {"a": (pytest.approx(3 / 5), 1.0)} and metric.unit_rows([]) == {}
    rows = metric.unit_rows([*one, *sentences(1, 20)])
    assert len(rows) == 21 and metric.width == 2
    whole = metric.score_of([*one, *sentences(1, 20)])
    assert np.mean([value for value, _ in rows.values()]) == pytest.approx(whole)


@pytest.mark.parametrize("name", ["median", "max", "spread"])
def test_a_score_that_no_sum_of_moves_explains_is_an_error(name):
    of = {"median": np.median, "max": np.max, "spread": lambda values: np.ptp(values)}[name]
    draw = random.Random(2)
    predictions = [
        predicted(str(draw.choice([0, 1, 1, 0]) + 0.01 * draw.random()), "0", unit=str(i)) for i in range(61)
    ]
    with pytest.raises(TaskError, match="moves otherwise than its units say"):
        jackknife(lambda some: float(of([float(each.text) for each in some]))).unit_rows(predictions)
    constant = jackknife(lambda some: 0.5).unit_rows(predictions)
    assert {value for value, _ in constant.values()} == {0.5}


def test_too_many_units_are_refused_before_anything_is_computed():
    predictions = [predicted("a", "a", unit=str(at)) for at in range(MOST_UNITS + 1)]
    with pytest.raises(TaskError, match=f"computed {MOST_UNITS + 1} times over.*--limit {MOST_UNITS}"):
        jackknife(lambda some: 1 / 0).unit_rows(predictions)


def test_rows_are_scored_again_without_the_module():
    for name, options in (("word_overlap", MEAN), ("edit_rate", RATIO)):
        spec = MetricSpec(id=name, name=str(EXAMPLE / name), options=options)
        again = from_facts(replace(facts_of(spec, build(spec)), name="gone/away"))
        assert not isinstance(again, ModuleMean | ModuleJackknife)
        assert again.score(np.array([3.0, 4.0])) == 0.75 and again.higher_is_better is (name == "word_overlap")


def test_measured_together_all_rows_or_none():
    asked = prepare(Library((EXAMPLE,)).task("repeat"), DataSource(), PromptSettings(limit=6))

    def answered(text):
        said = {
            request.id: Generation(
                request_id=request.id, text=text or example.references[0], finish_reason="eos", tokens=1
            )
            for example, request in zip(asked.examples, asked.requests, strict=True)
        }
        outcome = measure(asked, said, "m")
        return {each.metric: each for each in outcome.measurements}, outcome.errors

    right, errors = answered("")
    assert errors == () and {each.rows.shape for each in right.values()} == {(6, 2)}
    assert right["./edit_rate"].units == right["./word_overlap"].units and right["./edit_rate"].point is None
    narrow = tuple(replace(spec, options=spec.options | {"high": 0.5}) for spec in asked.task.metrics)
    asked = replace(asked, task=replace(asked.task, metrics=narrow))
    none, errors = answered("nothing of it")
    assert [(each.example, "is not between 0 and 0.5" in each.reason) for each in errors] == [("*", True)]
    assert none["./edit_rate"].units == () and none["./word_overlap"].rows.shape == (6, 2)


@pytest.mark.slow
def test_a_shipped_task_is_decided_by_a_module(zoo, tmp_path):
    """As it is given, by the command line: the base repeats every sentence, the candidate about half of them."""
    (tmp_path / "answers.jsonl").write_text('{"model": "base", "right": 1.0}\n{"model": "tuned", "right": 0.5}\n')
    models = ("--base", f"base={zoo['llama']}", "--model", f"tuned={zoo['llama-LORA']}", "--engine", "scripted")
    asked = (*models, "--include-path", EXAMPLE, "--task", "repeat", "--limit", 24, "--quiet")
    assert exit_code("run", *asked, "--out", tmp_path / "first", "--store", tmp_path / "first.sqlite") == 0
    scripted = ("answers=" + str(tmp_path / "answers.jsonl"), "samples=" + str(tmp_path / "first" / "samples"))
    options = [part for each in scripted for part in ("--engine-option", each)]
    run = tmp_path / "out"
    assert exit_code("run", *asked, *options, "--out", run, "--store", tmp_path / "second.sqlite", "--gate") == 3
    rows = {row.metric: row for row in read_results(run).comparisons if row.task == "repeat"}
    assert rows["./edit_rate"].verdict == "forgotten" and rows["./edit_rate"].base.value == 0
    assert rows["./word_overlap"].candidate_score.value == pytest.approx(0.5, abs=0.2)
    kinds = {metric.id: metric.kind for metric in read_measurements(run).facts[0].metrics}
    assert kinds == {"./word_overlap": "graded", "./edit_rate": "corpus"}
    assert exit_code("compare", run, "--out", tmp_path / "again") == 0
    assert (tmp_path / "again" / "results.json").read_bytes() == (run / "results.json").read_bytes()
