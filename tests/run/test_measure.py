"""From answers to rows, samples and errors."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evalharness.data.sources import DataSource
from evalharness.errors import TaskError
from evalharness.metrics.build import build
from evalharness.records.answers import AnswerCounts
from evalharness.records.requests import Example, Failure, Generate, Generation, PreparedTask, Rank, Ranking
from evalharness.records.tasks import MetricSpec, Task
from evalharness.report.answers import beside_score
from evalharness.run.collect import checked
from evalharness.run.measure import measure
from evalharness.run.measured_run import _without_words
from evalharness.tasks.filters import CHOICES_TAG
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare


def task(output_type, metrics, primary, filters=()):
    return Task(
        name="demo",
        version="1",
        family="demo",
        output_type=output_type,
        source=Path("demo.yaml"),
        dataset_path="demo",
        dataset_name=None,
        dataset_kwargs={},
        evaluation_split="test",
        fewshot_split=None,
        training_split=None,
        validation_split=None,
        doc_to_text="q",
        doc_to_target="a",
        doc_to_choice=None,
        description="",
        target_delimiter=" ",
        fewshot_delimiter="\n\n",
        gen_prefix="",
        num_fewshot=0,
        sampler="seeded",
        max_tokens=8,
        stop=("\n",),
        filters=filters,
        metrics=metrics,
        primary=primary,
        margin=0.02,
        chance=0.5,
        document=None,
        unit=None,
        reader=None,
        tags=(),
        lm_eval="no",
        digest="d",
    )


def ranked(golds, logprobs, units=None, metrics=("acc",)):
    specs = tuple(MetricSpec(id=name, name=name) for name in metrics)
    examples = tuple(
        Example(
            id=f"{i}-x",
            unit=units[i] if units else f"{i}-x",
            prompt=f"q{i}",
            choices=("no", "yes"),
            gold=gold if isinstance(gold, tuple) else (gold,),
        )
        for i, gold in enumerate(golds)
    )
    requests = tuple(
        Rank(pairs=tuple((example.prompt, " " + choice) for choice in example.choices)) for example in examples
    )
    answers = {
        request.id: answer
        if isinstance(answer, Failure)
        else Ranking(request_id=request.id, logprobs=answer, tokens=(1, 1), greedy=(False, False))
        for request, answer in zip(requests, logprobs, strict=True)
    }
    return PreparedTask(
        task=task("multiple_choice", specs, metrics[0]),
        examples=examples,
        requests=requests,
        failures=(),
        available=len(golds),
        data_digest="d",
        prompts_digest="p",
        chance=0.5,
    ), answers


def test_repeated_questions_add_to_one_row_and_leave_the_score_as_it_is():
    prepared, answers = ranked([0, 0, 1, 0], [(-1.0, -2.0), (-2.0, -1.0), (-1.0, -2.0), (-1.0, -2.0)], units="abba")
    (of_task,) = measure(prepared, answers, "m").measurements
    assert (of_task.units, of_task.sizes, of_task.rows.tolist()) == (("a", "b"), (2, 2), [[2.0, 2.0], [0.0, 2.0]])


def test_answers_are_counted_from_what_was_scored():
    prepared, answers = ranked([0] * 12, [(-1.0, -2.0)] * 10 + [(-2.0, -1.0), Failure(request_id="", reason="gone")])
    outcome = measure(prepared, answers, "m")
    assert outcome.answers == AnswerCounts(answers=11, most_common="no", most_common_count=10, most_common_right=11)
    number = (
        {"name": "digits", "filter": [{"function": "regex", "regex_pattern": "\\d+"}, {"function": "take_first"}]},
    )
    prepared, answers = generated(
        ["", "it is 7", "7", "none", "  "],
        [("7",), ("7",), ("8",), ("7",), ("7",)],
        (MetricSpec(id="exact_match,digits", name="exact_match", filter="digits"),),
        (("digits", number[0]["filter"]),),
    )
    counts = measure(prepared, answers, "m").answers
    assert counts is not None and (counts.most_common, counts.most_common_count, counts.most_common_right) == (
        "7",
        2,
        4,
    )
    assert (counts.answers, counts.empty, counts.unreadable, counts.cut_off) == (5, 2, 3, 0)


def test_a_metric_of_whole_units_scores_each_key_alone():
    prepared, answers = ranked([0, 0, 0, 0], [(-1.0, -2.0)] * 3 + [(-2.0, -1.0)], units="aaaa", metrics=("em_all",))
    prepared = replace(
        prepared, examples=tuple(replace(each, key="xxyy"[i]) for i, each in enumerate(prepared.examples))
    )
    (of_task,) = measure(prepared, answers, "m").measurements
    assert (of_task.sizes, of_task.rows.tolist()) == ((4,), [[1.0, 2.0]])  # of two questions one is right in all


def generated(texts, references, metrics, filters=()):
    examples = tuple(
        Example(id=f"{i}-x", unit=f"{i}-x", prompt=f"q{i}", references=given) for i, given in enumerate(references)
    )
    requests = tuple(Generate(prompt=example.prompt, stop=("\n",), max_tokens=8) for example in examples)
    answers = {
        request.id: Generation(request_id=request.id, text=text, finish_reason="eos", tokens=1)
        for request, text in zip(requests, texts, strict=True)
    }
    return PreparedTask(
        task=task("generate_until", metrics, metrics[0].id, filters),
        examples=examples,
        requests=requests,
        failures=(),
        available=len(texts),
        data_digest="d",
        prompts_digest="p",
        chance=0.5,
    ), answers


def test_ranked_answers_become_rows_and_samples():
    prepared, answers = ranked([1, 0, (0, 1)], [(-2, -1), (-2, -1), (-1, -1)], metrics=("acc", "acc_norm"))
    outcome = measure(prepared, answers, "base")
    acc, acc_norm = outcome.measurements
    assert acc.rows.tolist() == [[1, 1], [0, 1], [1, 1]] and acc.rows.dtype == np.float64
    assert acc.units == ("0-x", "1-x", "2-x") and acc.sizes == (1, 1, 1) and acc.model == "base" and acc.point is None
    assert acc_norm.metric == "acc_norm"
    assert [(sample.output, sample.reference, sample.score) for sample in outcome.samples] == [
        ("yes", "yes", 1),
        ("yes", "no", 0),
        ("no", "no | yes", 1),
    ]
    assert outcome.errors == () and outcome.unparsed == 0


def test_rows_of_a_unit_are_added_in_order_of_first_appearance():
    prepared, answers = ranked([1, 1, 0, 1], [(-2, -1), (-1, -2), (-1, -2), (-2, -1)], units=["b", "a", "b", "a"])
    (acc,) = measure(prepared, answers, "m").measurements
    assert acc.units == ("b", "a") and acc.sizes == (2, 2)
    assert acc.rows.tolist() == [[2, 2], [1, 2]]


def test_a_failure_is_never_a_score():
    prepared, answers = ranked(
        [1, 1, 1, 1], [Failure(request_id="r", reason="out of memory"), (-2, -1), (math.nan, -1), (-2, -1)]
    )
    third = prepared.requests[2]
    answers[third.id] = checked(third, answers[third.id])  # as all answers of an engine are
    del answers[prepared.requests[3].id]
    outcome = measure(prepared, answers, "m")
    assert outcome.measurements[0].units == ("1-x",)
    assert [(error.example, error.reason) for error in outcome.errors] == [
        ("0-x", "out of memory"),
        ("2-x", "a log-probability is not a finite number"),
        ("3-x", "no answer was collected"),
    ]
    assert [sample.error is None for sample in outcome.samples] == [False, True, False, False]
    assert outcome.samples[0].score is None and outcome.samples[0].output == ""


def test_rows_that_could_not_be_asked_are_troubles_too():
    prepared, answers = ranked([1], [(-2, -1)])
    prepared = PreparedTask(
        task=prepared.task,
        examples=prepared.examples,
        requests=prepared.requests,
        failures=(("7-y", "too long"),),
        available=2,
        data_digest="d",
        prompts_digest="p",
        chance=0.5,
    )
    assert [(error.example, error.reason) for error in measure(prepared, answers, "m").errors] == [("7-y", "too long")]


def test_no_answer_at_all_leaves_empty_rows():
    prepared, _ = ranked([1], [(-2, -1)])
    (acc,) = measure(prepared, {}, "m").measurements
    assert acc.rows.shape == (0, 2) and acc.units == () and acc.sizes == ()


def test_each_metric_reads_through_its_own_filter():
    number = ({"function": "regex", "regex_pattern": r"(\d+)"},)
    metrics = (
        MetricSpec(id="exact_match,number", name="exact_match", filter="number"),
        MetricSpec(id="exact_match", name="exact_match"),
    )
    prepared, answers = generated(
        ["it is 42", "42", "none", ""], [("42",)] * 4, metrics, (("number", number), ("none", ()))
    )
    outcome = measure(prepared, answers, "m")
    assert [measurement.rows[:, 0].tolist() for measurement in outcome.measurements] == [[1, 1, 0, 0], [0, 1, 0, 0]]
    assert outcome.unparsed == 2
    assert [sample.output for sample in outcome.samples] == ["it is 42", "42", "none", ""]
    assert [sample.score for sample in outcome.samples] == [1, 1, 0, 0]


def test_an_empty_generation_scores_0():
    metrics = (MetricSpec(id="rouge1", name="rouge1"), MetricSpec(id="bleu", name="bleu"))
    prepared, answers = generated(["", "it is very cold"], [("it is cold",), ("it is very cold", "cold")], metrics)
    outcome = measure(prepared, answers, "m")
    rouge, bleu = outcome.measurements
    assert rouge.rows.tolist() == [[0, 1], [1, 1]]
    assert build(metrics[1]).score(bleu.rows[1]) == pytest.approx(100)
    assert outcome.errors == () and outcome.samples[0].score == 0
    assert outcome.samples[1].reference == "it is very cold | cold"


def test_corpus_metrics_have_no_score_of_one_example():
    prepared, answers = ranked([1, 0], [(-2, -1), (-2, -1)], metrics=("mcc",))
    outcome = measure(prepared, answers, "m")
    assert outcome.measurements[0].rows.shape == (2, 4)
    assert [sample.score for sample in outcome.samples] == [None, None]


def test_an_opaque_metric_has_a_point_or_is_a_trouble(tmp_path):
    folder = tmp_path / "length"
    folder.mkdir()
    (folder / "length.py").write_text(
        "import datasets\nimport evaluate\n\n\nclass Length(evaluate.Metric):\n    def _info(self):\n"
        '        text = datasets.Value("string")\n'
        '        return evaluate.MetricInfo(description="", citation="", inputs_description="",\n'
        '            features=datasets.Features({"predictions": text, "references": text}))\n\n'
        "    def _compute(self, predictions, references):\n"
        '        return {"length": sum(map(len, predictions)) / (0 if "x" in predictions else len(predictions))}\n'
    )
    metrics = (MetricSpec(id="exact_match", name="exact_match"), MetricSpec(id="length", name=str(folder)))
    prepared, answers = generated(["aa", "bbbb"], [("aa",), ("b",)], metrics)
    length = measure(prepared, answers, "m").measurements[1]
    assert length.point == 3 and length.rows.shape == (2, 0) and length.units == ("0-x", "1-x")
    prepared, answers = generated(["x"], [("x",)], metrics)
    outcome = measure(prepared, answers, "m")
    assert outcome.measurements[1].point is None and outcome.measurements[0].rows.tolist() == [[1, 1]]
    assert [error.example for error in outcome.errors] == ["*"] and "ZeroDivisionError" in outcome.errors[0].reason


def test_an_example_that_a_metric_cannot_score_is_a_trouble():
    prepared, answers = ranked([(0, 1), 1], [(-2, -1), (-2, -1)], metrics=("acc", "mcc"))
    outcome = measure(prepared, answers, "m")
    assert outcome.measurements[0].units == ("0-x", "1-x") and outcome.measurements[1].units == ("1-x",)
    assert outcome.errors[0].example == "0-x" and "right choices" in outcome.errors[0].reason


def test_unknown_metrics_and_filters_are_errors_of_the_task():
    prepared, answers = ranked([1], [(-2, -1)], metrics=("accuracy",))
    with pytest.raises(TaskError, match="accuracy"):
        measure(prepared, answers, "m")
    prepared, answers = generated(["a"], [("a",)], (MetricSpec(id="exact_match,x", name="exact_match", filter="x"),))
    with pytest.raises(TaskError, match="reads through filter 'x'"):
        measure(prepared, answers, "m")


def test_filters_see_as_many_copies_as_the_task_repeats_and_the_rows_choices():
    steps = (
        {"function": "multi_choice_regex"},
        {"function": "take_first_k", "k": 3},
        {"function": "majority_vote"},
        {"function": "take_first"},
    )
    metric = MetricSpec(id="exact_match,letters", name="exact_match", filter="letters")
    prepared, answers = generated(["it is the hare"], [("(B)",)], (metric,), (("letters", steps),))
    example = replace(prepared.examples[0], tags={CHOICES_TAG: '["fox", "the hare"]'})
    prepared = replace(prepared, task=replace(prepared.task, repeats=3), examples=(example,))
    outcome = measure(prepared, answers, "base")
    assert outcome.measurements[0].rows.tolist() == [[1.0, 1.0]] and outcome.unparsed == 0


def test_what_a_metric_cannot_score_is_a_trouble_and_a_sample_without_a_score():
    prepared, answers = ranked((0, 1), ((-1.0, -2.0), (-2.0, -1.0)), metrics=("multiple_choice_grade",))
    partly = replace(prepared.examples[1], scores=(0.5, 0.0))
    outcome = measure(replace(prepared, examples=(prepared.examples[0], partly)), answers, "m")
    assert [error.example for error in outcome.errors] == ["1-x"]
    assert [sample.score for sample in outcome.samples] == [1.0, None]
    assert outcome.samples[1].error is not None and "fractional" in outcome.samples[1].error


@pytest.mark.parametrize(
    ("reference", "message"), [("Анна едет на рынок.", True), ("今日は雨です", True), ("naïve", False)]
)
def test_references_that_rouge_cannot_read_are_said(reference: str, message: bool, tmp_path: Path) -> None:
    rows = [{"id": str(i), "dialogue": f"a{i}", "summary": reference if i else "It rains."} for i in range(5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = DataSource(None, {"dialogsum": tmp_path / "rows.jsonl"})
    prepared = prepare(Library().task("dialogsum"), source, PromptSettings())
    notice = _without_words(prepared)
    assert notice.endswith("chrf counts the letters of every script") == message
    assert ("4 of 5" in notice) == message


def test_near_ties_are_counted() -> None:
    prepared, answers = ranked([1] * 20, [(-1.0, -1.00005)] * 3 + [(-1.0, -2.0)] * 17)
    counts = measure(prepared, answers, "m", near_tie=1e-4).answers
    assert counts is not None and (counts.near_ties, counts.answers, counts.often_near_ties) == (3, 20, True)
    assert "is near a tie between two choices in 15 % of the rows" in beside_score(counts)
    unasked = measure(prepared, answers, "m").answers
    assert unasked is not None and unasked.near_ties == 0
