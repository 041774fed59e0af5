"""Tasks and rows to examples and requests: identity, limits, labels, units, truncation, and the rows that cannot be
asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from scripted_chats import ScriptedChat

from evalharness.data.sources import DataSource
from evalharness.errors import DataError, EvalHarnessError, TaskError, UsageError
from evalharness.records.requests import Generate, Rank, Score
from evalharness.records.tasks import Task
from evalharness.tasks.prepare import PromptSettings, prepare, training_pairs
from evalharness.tasks.turns import Chat

Make = Callable[..., Task]
Data = Callable[..., DataSource]

ROWS = [{"q": f"Question {i}?", "label": i % 2} for i in range(30)]
WRITE: dict[str, Any] = {
    "output_type": "generate_until",
    "doc_to_choice": None,
    "doc_to_target": "{{a}}",
    "metric_list": [{"metric": "exact_match"}],
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 5},
}


def words(text: str) -> int:
    return len(text.split())


def test_choices_become_pairs_and_gold(make: Make, data: Data) -> None:
    prepared = prepare(make(), data(test=ROWS), PromptSettings())
    assert prepared.requests[1] == Rank(pairs=(("Question 1?", " no"), ("Question 1?", " yes")))
    example = prepared.examples[1]
    assert (example.prompt, example.choices, example.gold) == ("Question 1?", ("no", "yes"), (1,))
    assert (len(prepared.examples), prepared.available, prepared.failures) == (30, 30, ())


def test_texts_become_generations_and_references(make: Make, data: Data) -> None:
    prepared = prepare(
        make(**WRITE), data(test=[{"q": "Q", "a": "one"}, {"q": "Q", "a": "['one', 'two']"}]), PromptSettings()
    )
    assert prepared.requests[0] == Generate(prompt="Q", stop=("\n",), max_tokens=5, stop_at_once=True)
    assert [example.references for example in prepared.examples] == [("one",), ("one", "two")]


def test_an_example_is_its_place_and_its_content(make: Make, data: Data) -> None:
    rows = [{"q": "same", "label": 0}, {"q": "same", "label": 0}, {"q": "same", "label": 1}]
    ids = [example.id for example in prepare(make(), data(test=rows), PromptSettings()).examples]
    (i0, d0), (i1, d1), (i2, d2) = (identity.split("-") for identity in ids)
    assert (i0, i1, i2) == ("0", "1", "2") and d0 == d1 != d2 and len(d0) == 8
    assert ids == [example.id for example in prepare(make(), data(test=rows), PromptSettings()).examples]
    assert ids != [
        example.id for example in prepare(make(doc_to_text="{{q}}?"), data(test=rows), PromptSettings()).examples
    ]


def test_units_come_from_the_template_else_from_the_example(make: Make, data: Data) -> None:
    rows = [{"q": "a", "label": 0, "idx": {"p": 4}}, {"q": "b", "label": 1, "idx": {"p": 4}}]
    assert [
        e.unit for e in prepare(make(metadata={"unit": "{{idx.p}}"}), data(test=rows), PromptSettings()).examples
    ] == ["4", "4"]
    assert [e.unit == e.id for e in prepare(make(), data(test=rows), PromptSettings()).examples] == [True, True]


AGAIN = [
    {"q": "a", "label": 0, "idx": 1},
    {"q": "b", "label": 0, "idx": 2},
    {"q": "a", "label": 0, "idx": 3},  # asks what row 0 asks, under a new id
    {"q": "a", "label": 1, "idx": 4},  # the same prompt with another answer is another question
]


def test_rows_that_repeat_a_question_are_one_unit(make: Make, data: Data) -> None:
    prepared = prepare(make(), data(test=AGAIN), PromptSettings())
    ids = [each.id for each in prepared.examples]
    assert [each.unit for each in prepared.examples] == [ids[0], ids[1], ids[0], ids[3]] and len(set(ids)) == 4
    assert [each.key for each in prepared.examples] == ids
    assert (prepared.repeated, prepared.available) == (1, 3)
    keyed = prepare(make(metadata={"unit": "{{idx // 3}}"}), data(test=AGAIN), PromptSettings())
    assert [each.unit for each in keyed.examples] == ["0"] * 4  # row 2 repeats row 0, so units 0 and 1 are one
    assert [each.key for each in keyed.examples] == ["0", "0", "1", "1"]


@pytest.mark.parametrize("sampler", ["first_n", "per_example"])
def test_a_question_is_repeated_whatever_shots_noise_or_cuts_do_to_its_prompt(
    make: Make, data: Data, sampler: str
) -> None:
    shots = [{"q": f"shot {i}", "label": i % 2, "idx": i} for i in range(20)]
    question = {"label": 0, "idx": 1, "q": "a question that is long enough for somebody to mistype it"}
    source = data(test=[question, {**question, "idx": 2}], train=shots)
    task = replace(make(fewshot_config={"sampler": sampler}), perturbation="typos")
    settings = PromptSettings(num_fewshot=2, budget=30, count=words)
    for prepared in (prepare(task, source, PromptSettings(num_fewshot=2)), prepare(task, source, settings)):
        assert len({each.unit for each in prepared.examples}) == 1
        assert len({each.prompt for each in prepared.examples}) == 2


def test_whole_prompts_are_compared_not_what_a_window_leaves_of_them(make: Make, data: Data) -> None:
    rows = [{"q": f"{'word ' * 30}{end}", "label": 0} for end in ("one", "two")]
    prepared = prepare(make(metadata={"document": "q"}), data(test=rows), PromptSettings(budget=12, count=words))
    assert prepared.examples[0].prompt == prepared.examples[1].prompt
    assert prepared.repeated == 0 and len({each.unit for each in prepared.examples}) == 2


def test_a_limit_is_a_seeded_part_in_the_order_of_the_data(make: Make, data: Data) -> None:
    source = data(test=ROWS)

    def chosen(limit: int, seed: int = 1) -> list[int]:
        return [
            int(example.id.split("-")[0])
            for example in prepare(make(), source, PromptSettings(limit=limit, seed=seed)).examples
        ]

    ten = chosen(10)
    assert ten == sorted(ten) != list(range(10)) and len(set(ten)) == 10
    assert set(chosen(5)) < set(ten) and chosen(10, seed=2) != ten
    assert chosen(30) == chosen(99) == list(range(30))
    assert prepare(make(), source, PromptSettings(limit=10)).available == 30
    with pytest.raises(UsageError):
        prepare(make(), source, PromptSettings(limit=0))


def test_digests_say_what_was_read_and_what_was_asked(make: Make, data: Data) -> None:
    source = data(test=ROWS, train=[{"q": "shot one", "label": 0}, {"q": "shot two", "label": 1}])
    plain, limited, shot = (
        prepare(make(), source, asking)
        for asking in (PromptSettings(), PromptSettings(limit=3), PromptSettings(num_fewshot=1))
    )
    assert plain.data_digest == limited.data_digest == shot.data_digest
    assert len({plain.prompts_digest, limited.prompts_digest, shot.prompts_digest}) == 3
    assert prepare(make(), source, PromptSettings()).prompts_digest == plain.prompts_digest


def test_another_split_may_be_asked(make: Make, data: Data) -> None:
    assert prepare(make(), data(test=ROWS, validation=ROWS[:4]), PromptSettings(split="validation")).available == 4


def test_shots_of_the_evaluated_split_leave_the_row_out(make: Make, data: Data) -> None:
    prepared = prepare(make(training_split=None), data(test=ROWS[:4]), PromptSettings(num_fewshot=3))
    for row, request in zip(ROWS, prepared.requests, strict=False):
        assert isinstance(request, Rank) and request.pairs[0][0].count(str(row["q"])) == 1


@pytest.mark.parametrize(
    ("changes", "rows", "message"),
    [
        ({}, [{"q": "a", "label": 0}, {"label": 1}], r"mine, split 'test', row 1: column 'q': 'q' is undefined"),
        ({"doc_to_text": "q"}, [{"q": "a", "label": 0}, {"label": 1}], r"row 1: column 'q': is missing"),
        ({}, [{"q": "a", "label": 0}, {"q": "b"}], r"row 1: column 'label': is missing"),
        (
            {},
            [{"q": "a", "label": 0}, {"q": "b", "label": 2}],
            r"row 1: column 'label': the label 2 is none of the 2 choices",
        ),
        ({}, [{"q": "a", "label": 0}, {"q": "b", "label": -1}], r"row 1: column 'label': the label -1 is none"),
        ({}, [{"q": "a", "label": 0}, {"q": "b", "label": None}], r"row 1: column 'label': holds None"),
        ({}, [{"q": "a", "label": "maybe"}], r"the label 'maybe' is none of the 2 choices"),
        ({"doc_to_target": "{{label}}"}, [{"q": "a", "label": 9}], r"the label 9 is none"),
        (
            {"doc_to_target": "{{label + 0}}"},
            [{"q": "a", "label": 0}, {"q": "b", "label": 9}],
            r"row 1: column '\{\{label \+ 0\}\}': the label 9 is none",
        ),
        (
            {"doc_to_text": "{{q | trim}}"},
            [{"q": "a", "label": 0}, {"q": None, "label": 0}],
            r"row 1: column 'q': 'q' is null",
        ),
        ({**WRITE, "doc_to_target": "{{a}}"}, [{"q": "a", "a": None}], r"row 0: column 'a': 'a' is null"),
        (
            {},
            [{"q": 7.5, "label": -1}, {"q": "b", "label": -1}],
            r"mine, split 'test': has no labels \(column 'label' is -1 in every row\)",
        ),
        (
            {"doc_to_choice": "options"},
            [{"q": "a", "label": 0, "options": "x"}],
            r"column 'options': gives 'x', which is no list of choices",
        ),
        (
            {"doc_to_choice": "options"},
            [{"q": "a", "label": 0, "options": [1, 2]}],
            r"column 'options': has the choice 1, which is no text",
        ),
        (
            {"doc_to_choice": "{{options}}"},
            [{"q": "a", "label": 0, "options": "x y"}],
            r"does not render to a list of choices",
        ),
        ({**WRITE, "doc_to_target": "a"}, [{"q": "a", "a": []}], r"row 0: column 'a': has no reference"),
    ],
)
def test_rows_that_cannot_be_asked_are_named(
    make: Make, data: Data, changes: dict[str, Any], rows: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        prepare(make(**changes), data(test=rows), PromptSettings())


def test_several_right_answers_and_labels_of_every_kind(make: Make, data: Data) -> None:
    rows = [
        {"q": "a", "label": [0, 1]},
        {"q": "b", "label": "yes"},
        {"q": "c", "label": True},
        {"q": "d", "label": 1.0},
    ]
    assert [e.gold for e in prepare(make(), data(test=rows), PromptSettings()).examples] == [(0, 1), (1,), (1,), (1,)]


def test_a_metric_that_cannot_be_computed_is_found_before_anything_is_asked(make: Make, data: Data) -> None:
    with pytest.raises(TaskError, match="metric acc: unknown option 'stem'"):
        prepare(make(metric_list=[{"metric": "acc", "stem": True}]), data(test=ROWS), PromptSettings())


# ---- training


def test_training_pairs_are_the_zero_shot_questions_with_their_answers(make: Make, data: Data) -> None:
    source = data(train=ROWS[:3])
    made = training_pairs(make(description="About things.\n", num_fewshot=5), source, "train")
    assert made.pairs[1] == ("About things.\nQuestion 1?", " yes")
    assert made.digest == training_pairs(make(description="About things.\n"), source, "train").digest
    assert made.digest != training_pairs(make(), source, "train").digest
    written = training_pairs(make(**WRITE), data(train=[{"q": "Q", "a": "['one', 'two']"}]), "train")
    assert written.pairs == (("Q", " one"),)


def test_training_pairs_of_several_inputs_take_the_right_context(make: Make, data: Data) -> None:
    task = make(doc_to_text="{{label}}", doc_to_target="{{q}}", doc_to_choice=["left", "right"])
    assert training_pairs(task, data(train=[{"q": "wins", "label": 1}]), "train").pairs == (("right", " wins"),)


def test_training_needs_labels(make: Make, data: Data) -> None:
    with pytest.raises(EvalHarnessError, match="has no labels"):
        training_pairs(make(), data(train=[{"q": "a", "label": -1}, {"q": "b", "label": -1}]), "train")


# ---- texts that are scored whole


ROLLING: dict[str, Any] = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "text",
    "doc_to_choice": None,
    "metric_list": [{"metric": "word_perplexity"}],
    "metadata": {"primary": "word_perplexity", "margin": 1.0, "chance": 1000.0},
}


def test_texts_are_asked_whole_without_shots_description_or_limit_of_length(make: Make, data: Data) -> None:
    task = make(**ROLLING, num_fewshot=3, description="About nothing. ")
    prepared = prepare(
        task,
        data(test=[{"text": "one two " * 50}, {"text": ""}]),
        PromptSettings(budget=5, count=words, system="Be brief."),
    )
    assert prepared.requests == (Score(text="one two " * 50), Score(text=""))
    assert [(e.prompt, e.choices, e.references, e.truncated) for e in prepared.examples] == [
        ("", (), ("one two " * 50,), False),
        ("", (), ("",), False),
    ]
    assert not prepared.failures and prepared.chance == 1000.0


def test_a_template_changes_nothing_about_texts_that_are_scored_whole(make: Make, data: Data) -> None:
    source = data(test=[{"text": "one two"}])
    plain, chat = (prepare(make(**ROLLING), source, PromptSettings(chat=how)) for how in (None, Chat(ScriptedChat())))
    assert plain == chat


def test_a_limit_takes_whole_units(make: Make, data: Data) -> None:
    source = data(test=[{"q": f"question {i}", "label": i % 2, "asked": i // 3} for i in range(30)])
    task = make(metadata={"unit": "{{asked}}", "unit_name": "question"})
    taken = {
        limit: [example.unit for example in prepare(task, source, PromptSettings(limit=limit)).examples]
        for limit in (1, 3, 10, 29)
    }
    assert {limit: len(units) for limit, units in taken.items()} == {1: 3, 3: 3, 10: 9, 29: 27}
    assert all(units.count(unit) == 3 for units in taken.values() for unit in units)
    assert set(taken[3]) < set(taken[10]) < set(taken[29])
