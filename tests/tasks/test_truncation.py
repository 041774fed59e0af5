"""Prompts that are too long: whole shots go first, then the end of the document, and never the question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evalharness.data.sources import DataSource
from evalharness.records.requests import PreparedTask, Rank
from evalharness.records.tasks import Task
from evalharness.tasks.prepare import PromptSettings, prepare

Make = Callable[..., Task]
Data = Callable[..., DataSource]

WRITE: dict[str, Any] = {
    "output_type": "generate_until",
    "doc_to_choice": None,
    "doc_to_target": "{{a}}",
    "metric_list": [{"metric": "exact_match"}],
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 5},
}


def words(text: str) -> int:
    return len(text.split())


def shots_in(prepared: PreparedTask, index: int = 0) -> list[str]:
    request = prepared.requests[index]
    assert isinstance(request, Rank)
    return [part for part in request.pairs[0][0].split("\n\n") if part.startswith("shot")]


@pytest.fixture
def long(make: Make, data: Data) -> Callable[..., PreparedTask]:
    """Three shots of 4 words (and one of answer), a question of 3 words and a document of 10."""

    def long(budget: int | None, **changes: Any) -> PreparedTask:
        shots = [{"q": f"shot number {i} asks", "doc": "", "label": 0} for i in range(3)]
        rows = [{"q": "what is it", "doc": " ".join(f"w{i}" for i in range(10)), "label": 1}]
        base = {
            "doc_to_text": "{{doc}}{{' ' if doc}}{{q}}",
            "fewshot_config": {"sampler": "first_n"},
            "metadata": {"document": "doc"},
        }
        task = make(**{**base, **changes})
        return prepare(task, data(test=rows, train=shots), PromptSettings(num_fewshot=3, budget=budget, count=words))

    return long


def test_what_fits_is_left_alone(long: Callable[..., PreparedTask]) -> None:
    whole = 3 * 5 + 10 + 3 + 1
    assert long(whole).requests == long(None).requests == long(10_000).requests
    assert not long(whole).examples[0].truncated


def test_whole_shots_go_first_and_the_oldest_before_the_others(long: Callable[..., PreparedTask]) -> None:
    prepared = long(3 * 5 + 10 + 3)  # one word too many
    assert shots_in(prepared) == ["shot number 1 asks no", "shot number 2 asks no"]
    assert prepared.examples[0].truncated
    assert shots_in(long(10 + 3 + 1)) == []
    assert "w9 what is it" in long(10 + 3 + 1).examples[0].prompt


@pytest.mark.fault(17)
def test_then_the_end_of_the_document_and_never_the_question(long: Callable[..., PreparedTask]) -> None:
    prepared = long(4 + 3 + 1)
    assert prepared.examples[0].prompt == "w0 w1 w2 w3 what is it"
    assert prepared.examples[0].truncated and prepared.examples[0].gold == (1,)
    assert long(3 + 1).examples[0].prompt == "what is it"


@pytest.mark.fault(17)
def test_what_cannot_fit_is_a_failure_of_that_example(long: Callable[..., PreparedTask]) -> None:
    prepared = long(3)
    assert (prepared.examples, prepared.requests, prepared.available) == ((), (), 1)
    assert [(identity.split("-")[0], reason) for identity, reason in prepared.failures] == [
        ("0", "does not fit into 3 tokens")
    ]
    assert long(8, metadata={}).failures


@pytest.mark.fault(17)
def test_the_longest_continuation_is_reserved(long: Callable[..., PreparedTask]) -> None:
    prepared = long(4 + 3 + 3, doc_to_choice=["no", "yes it is"])
    assert prepared.examples[0].prompt == "w0 w1 w2 w3 what is it"


def test_the_new_tokens_of_a_generation_are_reserved(make: Make, data: Data) -> None:
    rows = [{"q": "what is it", "doc": " ".join(f"w{i}" for i in range(10)), "a": "x"}]
    task = make(**WRITE, doc_to_text="{{doc}} {{q}}", metadata={"document": "doc"})
    prepared = prepare(task, data(test=rows), PromptSettings(budget=4 + 3 + 5, count=words))
    assert prepared.examples[0].prompt == "w0 w1 w2 w3 what is it"


def test_an_encoder_and_a_decoder_have_the_budget_each(make: Make, data: Data) -> None:
    """The answer takes no room from the prompt, however long it is; one that is too long itself is a failure."""
    rows = [{"q": "what is it", "doc": " ".join(f"w{i}" for i in range(10)), "a": "x"}]
    task = make(**WRITE, doc_to_text="{{doc}} {{q}}", metadata={"document": "doc"})
    prepared = prepare(task, data(test=rows), PromptSettings(budget=7, count=words, apart=True))
    assert prepared.examples[0].prompt == "w0 w1 w2 w3 what is it"
    assert not prepare(task, data(test=rows), PromptSettings(budget=13, count=words, apart=True)).examples[0].truncated
    assert prepare(task, data(test=rows), PromptSettings(budget=4, count=words, apart=True)).failures


@pytest.mark.parametrize("budget", range(8, 60))
def test_every_prompt_fits_and_no_more_is_cut_than_must_be(make: Make, data: Data, budget: int) -> None:
    rows = [{"q": "what", "doc": "x" * 40, "label": 1}]  # no white space to cut at, counted in characters
    prepared = prepare(
        make(doc_to_text="{{doc}}|{{q}}", metadata={"document": "doc"}),
        data(test=rows),
        PromptSettings(budget=budget, count=len),
    )
    if budget < 9:
        assert prepared.failures
        return
    request = prepared.requests[0]
    assert isinstance(request, Rank)
    assert max(len(context + continuation) for context, continuation in request.pairs) == min(budget, 49)
