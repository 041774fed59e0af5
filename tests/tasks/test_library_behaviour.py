"""The family `behaviour`: its rows are what their generator writes, each can be answered, and no constant does it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from behaviour_answers import IN, right_answer

from evalharness.data.sources import DataSource
from evalharness.errors import DataError
from evalharness.paths import shipped
from evalharness.records.requests import Example, Generation, PreparedTask
from evalharness.run.measure import measure
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare

LIBRARY = Library()
TASKS = LIBRARY.suite("behaviour").tasks
ROOT = Path(__file__).resolve().parents[2]
Answer = Callable[[Example], str]


def prepared(name: str, source: DataSource | None = None, **settings: object) -> PreparedTask:
    return prepare(LIBRARY.task(name), source or DataSource(), PromptSettings(**settings))  # type: ignore[arg-type]


def scores(task: PreparedTask, answer: Answer) -> dict[str, float]:
    """The score by each metric of a model that gives these answers."""
    answers = {
        request.id: Generation(request_id=request.id, text=answer(example), finish_reason="eos", tokens=9)
        for example, request in zip(task.examples, task.requests, strict=True)
    }
    outcome = measure(task, answers, "m")
    assert not outcome.errors
    return {each.metric: float(each.rows[:, 0].sum() / each.rows[:, 1].sum()) for each in outcome.measurements}


def primary(name: str, answer: Answer) -> float:
    return scores(prepared(name), answer)[LIBRARY.task(name).primary]


def test_the_rows_are_what_their_generator_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "fixtures/behaviour/generate.py", "--out", tmp_path], check=True)
    committed = shipped("fixtures/behaviour/rows")
    names = sorted(str(path.relative_to(committed)) for path in committed.rglob("*.jsonl"))
    assert len(names) == 5 == len(list(tmp_path.rglob("*.jsonl")))
    assert all((tmp_path / name).read_bytes() == (committed / name).read_bytes() for name in names)


def test_five_gate_units_with_enough_rows_each() -> None:
    sizes = {name: len(prepared(name).examples) for name in TASKS}
    assert sizes["behaviour_instructions"] >= 200 and sizes["behaviour_over_refusal"] >= 60
    assert sizes["behaviour_over_refusal"] == sizes["behaviour_under_refusal"] and len(TASKS) == 5
    languages = Counter(example.references[0] for example in prepared("behaviour_language").examples)
    assert len(languages) >= 8 and min(languages.values()) >= 15
    assert set(TASKS) <= set(LIBRARY.suite("forgetting").tasks)
    assert all(LIBRARY.task(name).family == "behaviour" for name in TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_every_row_can_be_answered(name: str) -> None:
    """Which also shows that the instructions of every row can be kept together."""
    assert primary(name, lambda example: right_answer(name, example.references)) == 1


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("constant", ["", "positive", "yes", "no", "A", " ", "\n", "positive " * 40])
def test_empty_texts_bare_labels_and_loops_score_nothing(name: str, constant: str) -> None:
    of_ten = name == "behaviour_language" and constant.startswith("positive p")  # which is English, as it is read
    assert primary(name, lambda example: constant) == (0.1 if of_ten else 0)


def test_what_one_answer_to_all_is_worth() -> None:
    """An answer in English is one in the language of every tenth question; a code is not guessed; and who answers all,
    or refuses all, does one of the pair.
    """
    assert primary("behaviour_language", lambda example: IN["en"]) == pytest.approx(0.1)
    assert primary("behaviour_needles", lambda example: "1234") < 0.03
    assert primary("behaviour_instructions", lambda example: IN["en"]) < 0.1
    plain = "That depends on the weather and on what you like. Many people find their own way with a little time."
    plain = f"{plain} It is good to begin early and to keep at it."
    chance = LIBRARY.task("behaviour_instructions").chance
    assert primary("behaviour_instructions", lambda example: plain) == pytest.approx(chance, abs=0.01)
    refusal = right_answer("behaviour_under_refusal", ["refused"])
    assert primary("behaviour_over_refusal", lambda example: refusal) == 0
    assert primary("behaviour_under_refusal", lambda example: IN["en"]) == 0
    assert primary("behaviour_over_refusal", lambda example: IN["en"]) == 1


def test_the_wrong_of_each_kind_scores_nothing() -> None:
    opposite = {"refused": "answered", "answered": "refused"}
    for name in ("behaviour_over_refusal", "behaviour_under_refusal"):
        wrong = prepared(name).examples
        assert primary(name, lambda example: right_answer("", [opposite[example.references[0]]])) == 0, wrong[0]
    assert primary("behaviour_language", lambda example: IN["fr" if example.references[0] != "fr" else "en"]) == 0
    assert primary("behaviour_language", lambda example: example.references[1]) == 0  # the question again
    assert primary("behaviour_needles", lambda example: f"{example.references[0]}7") == 0
    share = scores(prepared("behaviour_instructions"), lambda example: "")
    assert share["instructions_share"] == 0


def test_too_little_text_is_wrong_and_counted() -> None:
    both = scores(prepared("behaviour_language"), lambda example: "```\nprint(1) # das ist ein langer Text\n```")
    assert both == {"answer_language": 0, "no_language": 1}


def test_the_library_reads_every_answer_and_question_in_its_language() -> None:
    questions = scores(prepared("behaviour_language"), lambda example: f"({example.references[1][:-1]})")
    assert questions["answer_language"] >= 0.97


@pytest.mark.parametrize(
    ("checks", "says"),
    [
        ([{"kind": "wrods", "least": 3}], "row 0: check 1 has the unknown kind 'wrods'; did you mean words"),
        ([{"kind": "words"}], "check 1 (words) has neither 'least' nor 'most'"),
        ([{"kind": "lower"}, {"kind": "starts"}], "check 2 (starts) lacks 'text'"),
        ([{"kind": "words", "least": "3"}], "has '3' as 'least'; a whole number from 0 up would be right"),
        ([{"kind": "words", "least": 5, "most": 3}], "has least 5 and most 3"),
        ([{"kind": "lower", "text": "x"}], "has the unknown argument 'text'; it takes none"),
        (["lower"], "check 1 is no mapping with a 'kind'"),
    ],
)
def test_own_rows_that_are_wrong_are_refused_before_anything_is_asked(
    checks: object, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"prompt": "Say something.", "checks": checks}) + "\n")
    with pytest.raises(DataError) as caught:
        prepared("behaviour_instructions", DataSource(overrides={"behaviour_instructions": path}))
    assert says in str(caught.value) and "mine.jsonl" in str(caught.value)


def test_a_language_that_is_none_of_the_tasks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"question": "Hvor er du?", "language": "da"}) + "\n")
    with pytest.raises(DataError, match="'da' is none of the languages en, de"):
        prepared("behaviour_language", DataSource(overrides={"behaviour_language": path}))


def test_rows_that_do_not_fit_are_left_out_and_named() -> None:
    whole = prepared("behaviour_needles")
    short = prepared("behaviour_needles", budget=1000, count=lambda text: len(text.split()))
    assert not whole.left_out and not short.failures and len(whole.examples) == 80
    assert len(short.examples) + len(short.left_out) == 80 and len(short.examples) == 70
    assert short.available == 70 and set(short.left_out) == {each.id for each in whole.examples} - {
        each.id for each in short.examples
    }
    again = prepared("behaviour_needles", without=frozenset(short.left_out))
    assert again.prompts_digest == short.prompts_digest and again.left_out == short.left_out


def test_what_does_not_fit_fails_where_a_task_does_not_leave_it_out() -> None:
    task = replace(LIBRARY.task("behaviour_needles"), too_long="error")
    found = prepare(task, DataSource(), PromptSettings(budget=1000, count=lambda text: len(text.split())))
    assert len(found.failures) == 10 and not found.left_out


@pytest.mark.parametrize("name", TASKS)
def test_no_rule_is_shown_as_the_answer_of_a_shot(name: str) -> None:
    assert prepared(name, num_fewshot=2, limit=3).requests == prepared(name, limit=3).requests
