"""Other ways of asking a task: wordings, the generative twin, and what both keep of the task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from evalharness.data.sources import DataSource
from evalharness.errors import TaskError
from evalharness.records.requests import Generate, Generation
from evalharness.records.tasks import Task
from evalharness.run.collect import blocks
from evalharness.run.measure import measure
from evalharness.tasks.prepare import PromptSettings, prepare
from evalharness.tasks.variants import (
    LENIENT,
    STRICT,
    UNPARSED,
    VariantProblem,
    with_disturbance,
    with_wording,
    written_twin,
)

Make = Callable[..., Task]
Data = Callable[..., DataSource]
ROWS = [
    {"q": f"question {i}", "label": i % 2, "first": f"Answer one {i}", "second": f"answer TWO {i}"} for i in range(6)
]


def asked(task: Task, data: Data, rows: Sequence[dict[str, Any]] = ROWS, **asking: Any) -> Any:
    """What `task` asks, read by its parent's name."""
    return prepare(replace(task, name="mine"), data(test=rows, train=rows), PromptSettings(**asking))


# ---- wordings --------------------------------------------------------------------------------------------------------

WORDINGS = {
    "templates": {"claim": {"doc_to_text": "They say {{q}}. True or false?", "doc_to_choice": ["false", "true"]}}
}


def test_a_wording_changes_prompt_choices_and_name_and_nothing_else(make: Make, data: Data) -> None:
    task = make(metadata=WORDINGS)
    other = with_wording(task, "claim")
    found = asked(other, data, num_fewshot=1)
    assert other.variant is not None and (other.name, other.variant.of, other.origin) == ("mine@claim", "mine", "mine")
    assert (other.metrics, other.primary, other.margin) == (task.metrics, "acc", task.margin)
    assert found.examples[0].choices == ("false", "true")
    assert found.examples[0].prompt.count("They say") == 2  # the shot is worded alike
    assert other.digest != task.digest
    assert [e.gold for e in found.examples] == [e.gold for e in asked(task, data, num_fewshot=1).examples]


def test_a_wording_replaces_what_fewshot_config_said_of_the_same_keys(make: Make, data: Data) -> None:
    task = make(metadata=WORDINGS, fewshot_config={"doc_to_text": "Shot {{q}}", "target_delimiter": " = "})
    assert asked(with_wording(task, "claim"), data, num_fewshot=1).examples[0].prompt.startswith("They say question")


def test_a_wording_may_not_take_the_name_of_another_way(make: Make) -> None:
    for name in ("typos", "written", "worst", "a@b"):
        with pytest.raises(TaskError, match="name of another way"):
            with_wording(make(metadata={"templates": {name: {"doc_to_text": "{{q}}"}}}), name)


def test_each_way_has_its_own_definition(make: Make) -> None:
    task = make(metadata=WORDINGS)
    ways = [
        task,
        with_wording(task, "claim"),
        with_disturbance(task, "typos"),
        with_disturbance(task, "case"),
        written_twin(task, ROWS),
    ]
    assert len({way.digest for way in ways}) == len(ways)


# ---- the twin --------------------------------------------------------------------------------------------------------


def test_choices_that_are_fixed_words_are_asked_with_the_tasks_own_prompt(make: Make, data: Data) -> None:
    twin = written_twin(make(), ROWS)
    found = asked(twin, data, num_fewshot=1)
    assert (twin.name, twin.output_type, twin.stop, twin.primary) == (
        "mine@written",
        "generate_until",
        ("\n",),
        LENIENT,
    )
    assert found.requests[0].prompt == "question 5 yes\n\nquestion 0"  # the shot shows its answer written
    assert [example.references for example in found.examples[:2]] == [("no",), ("yes",)]


def test_choices_that_all_stand_in_the_prompt_are_not_listed_again(make: Make, data: Data) -> None:
    twin = written_twin(make(doc_to_text="{{first}} or {{second}}? {{q}}", doc_to_choice="{{[first, second]}}"), ROWS)
    assert asked(twin, data).requests[0].prompt == "Answer one 0 or answer TWO 0? question 0"


@pytest.mark.parametrize("choices", ["{{[first, second]}}", "{%- set both = [first, second] -%}{{ both }}", "listed"])
def test_other_choices_are_listed_in_front_of_each_question(make: Make, data: Data, choices: str) -> None:
    rows = [{**row, "listed": [row["first"], row["second"]]} for row in ROWS]
    found = asked(written_twin(make(doc_to_choice=choices, target_delimiter=" is "), rows), data, rows, num_fewshot=1)
    shown = found.requests[0].prompt
    assert shown.endswith("Choose one of these:\nA. Answer one 0\nB. answer TWO 0\n\nquestion 0")
    assert shown.count("Choose one of these:") == 2
    assert found.examples[1].references == ("answer TWO 1",)


def test_listed_choices_begin_a_template_that_strips_what_is_before_it(make: Make, data: Data) -> None:
    twin = written_twin(make(doc_to_choice="{{[first, second]}}", doc_to_text="{%- set x = q -%}\n{{x}}"), ROWS)
    assert (
        asked(twin, data).requests[0].prompt == "Choose one of these:\nA. Answer one 0\nB. answer TWO 0\n\nquestion 0"
    )


def test_more_choices_than_letters_are_listed_without(make: Make, data: Data) -> None:
    rows = [{**row, "listed": [f"town {i}" for i in range(30)]} for row in ROWS]
    assert (
        "these:\ntown 0\ntown 1\n"
        in asked(written_twin(make(doc_to_choice="listed"), rows), data, rows).requests[0].prompt
    )


def test_the_answer_has_room_for_the_longest_choice(make: Make) -> None:
    assert written_twin(make(), ROWS).max_tokens == 16 + len("yes")
    rows = [{**row, "first": "long " * 100} for row in ROWS]
    assert written_twin(make(doc_to_choice="{{[first, second]}}"), rows).max_tokens == 128


def test_a_task_may_say_what_its_twin_asks(make: Make, data: Data) -> None:
    twin = written_twin(
        make(
            metadata={
                "twin": {
                    "doc_to_text": "{{q}} Write no or yes:",
                    "generation_kwargs": {"until": [".", "\n"], "max_gen_toks": 3},
                }
            }
        ),
        ROWS,
    )
    assert asked(twin, data).requests[0] == Generate(
        prompt="question 0 Write no or yes:", stop=(".", "\n"), max_tokens=3
    )
    with pytest.raises(TaskError, match="max_gen_tok"):
        written_twin(make(metadata={"twin": {"generation_kwargs": {"max_gen_tok": 3}}}), ROWS)


def test_several_right_choices_are_all_references(make: Make, data: Data) -> None:
    found = asked(written_twin(make(doc_to_target="{{[0, 1] if label else [0]}}"), ROWS), data)
    assert [example.references for example in found.examples[:2]] == [("no",), ("no", "yes")]


def test_what_cannot_be_written_is_said(make: Make) -> None:
    with pytest.raises(VariantProblem, match="no choices"):
        written_twin(make(output_type="generate_until", metric_list=[{"metric": "exact_match"}]), ROWS)
    with pytest.raises(VariantProblem, match="middle of the text"):
        written_twin(make(doc_to_text="label", doc_to_choice="{{[first, second]}}", doc_to_target="q"), ROWS)
    with pytest.raises(VariantProblem, match="cannot be listed"):
        written_twin(make(doc_to_choice="['{{first}}', '{{second}}']"), ROWS)


def test_what_is_written_is_scored_strictly_and_leniently(make: Make, data: Data) -> None:
    found = asked(written_twin(make(), ROWS), data)
    texts = ["no", " yes ", "No.", "It is yes", "maybe", ""]  # right answers: no yes no yes no yes
    answers = {
        r.id: Generation(request_id=r.id, text=text, finish_reason="stop", tokens=1)
        for r, text in zip(found.requests, texts, strict=True)
    }
    measured = measure(found, answers, "base")
    sums = {m.metric: m.rows.sum(axis=0).tolist() for m in measured.measurements}
    looks = {"empty": [1, 6], "repetition": [0, 6], "length": [6, 6], "cut": [0, 6]}
    assert sums == {LENIENT: [4, 6], STRICT: [2, 6], UNPARSED: [2, 6], **looks}
    assert (measured.unparsed, measured.errors) == (2, ())
    assert len(list(blocks(found.requests))) == 1
