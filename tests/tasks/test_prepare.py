"""Tasks and rows to examples and requests: identity, limits, labels, units, truncation, and the rows that cannot be
asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evalharness.data.sources import DataSource
from evalharness.engines.scripted import ScriptedChat
from evalharness.errors import DataError, EvalHarnessError, ModelError, TaskError, UsageError
from evalharness.records.requests import Generate, PreparedTask, Rank, Score
from evalharness.records.tasks import Task
from evalharness.records.tokenizers import Unrenderable
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
    assert prepared.requests[0] == Generate(prompt="Q", stop=("\n",), max_tokens=5)
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


# ---- truncation


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


def test_then_the_end_of_the_document_and_never_the_question(long: Callable[..., PreparedTask]) -> None:
    prepared = long(4 + 3 + 1)
    assert prepared.examples[0].prompt == "w0 w1 w2 w3 what is it"
    assert prepared.examples[0].truncated and prepared.examples[0].gold == (1,)
    assert long(3 + 1).examples[0].prompt == "what is it"


def test_what_cannot_fit_is_a_failure_of_that_example(long: Callable[..., PreparedTask]) -> None:
    prepared = long(3)
    assert (prepared.examples, prepared.requests, prepared.available) == ((), (), 1)
    assert [(identity.split("-")[0], reason) for identity, reason in prepared.failures] == [
        ("0", "does not fit into 3 tokens")
    ]
    assert long(8, metadata={}).failures


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


# ---- chat templates


CHAT = Chat(ScriptedChat())


def test_a_template_puts_the_question_and_the_answer_begins_where_it_ends(make: Make, data: Data) -> None:
    prepared = prepare(make(description="Say."), data(test=ROWS[:2]), PromptSettings(chat=CHAT, system="Be brief."))
    prompt = "<system>Be brief.\n\nSay.\n<user>Question 1?\n<assistant>"
    assert prepared.requests[1] == Rank(pairs=((prompt, "no"), (prompt, "yes")))
    assert prepared.examples[1].prompt == prompt


def test_examples_are_who_they_are_whatever_the_template(make: Make, data: Data) -> None:
    source = data(test=ROWS)
    asked = [
        prepare(make(), source, PromptSettings(chat=how))
        for how in (None, CHAT, Chat(ScriptedChat("!")), Chat(ScriptedChat(), multiturn=False))
    ]
    assert len({tuple(example.id for example in each.examples) for each in asked}) == 1
    assert len({each.prompts_digest for each in asked[:3]}) == 3
    assert asked[1].prompts_digest == asked[3].prompts_digest  # without shots there is one turn anyway
    other = prepare(make(), source, PromptSettings(chat=CHAT, system="Be brief."))
    assert other.examples[0].id != asked[0].examples[0].id


def test_prompts_are_fitted_as_the_template_puts_them(make: Make, data: Data) -> None:
    """Three shots of 5 words and a question of 3, in 2 + 1 words of template a turn."""
    shots = [{"q": f"shot number {i} asks", "label": 0} for i in range(3)]
    source, task = (
        data(test=[{"q": "what is it", "label": 1}], train=shots),
        make(fewshot_config={"sampler": "first_n"}),
    )

    def asked(budget: int | None, **options: Any) -> PreparedTask:
        return prepare(
            task,
            source,
            PromptSettings(
                num_fewshot=3, budget=budget, count=lambda text: len(text.replace(">", "> ").split()), **options
            ),
        )

    whole = 3 * (1 + 4 + 1 + 1) + 1 + 3 + 1 + 1
    assert not asked(whole, chat=CHAT).examples[0].truncated and not asked(whole - 1).examples[0].truncated
    cut = asked(whole - 1, chat=CHAT).examples[0]
    assert cut.truncated and cut.prompt.startswith(
        "<user>shot number 1 asks\n<assistant>no\n<user>shot number 2 asks\n<assistant>no\n<user>what"
    )
    assert asked(5, chat=CHAT).failures and not asked(5).failures


def test_ids_of_the_whole_do_not_know_what_was_cut(make: Make, data: Data) -> None:
    source = data(test=ROWS[:3], train=[{"q": "shot", "label": 0}] * 2)
    whole = prepare(make(), source, PromptSettings(num_fewshot=2))
    cut = [
        prepare(make(), source, PromptSettings(num_fewshot=2, budget=4, count=words, chat=chat, whole_ids=True))
        for chat in (None, CHAT)
    ]
    assert all(example.truncated for each in cut for example in each.examples)
    assert len({tuple(example.id for example in each.examples) for each in (whole, *cut)}) == 1
    assert (
        prepare(make(), source, PromptSettings(num_fewshot=2, budget=4, count=words)).examples[0].id
        != whole.examples[0].id
    )


def test_turns_that_a_template_refuses_are_named_with_their_row(make: Make, data: Data) -> None:
    class Picky(ScriptedChat):
        def render(self, messages: Any, continued: bool) -> str:
            if "3" in messages[-1]["content"]:
                raise Unrenderable("no threes")
            return super().render(messages, continued)

    with pytest.raises(
        ModelError,
        match=r"mine, split 'test', row 3: the chat template refuses its turns \(no threes\); "
        r".*--no-fewshot-as-multiturn",
    ):
        prepare(make(), data(test=ROWS), PromptSettings(chat=Chat(Picky())))


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
