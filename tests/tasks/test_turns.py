"""Prompts as a chat template puts their turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scripted_chats import ScriptedChat

from evalharness.data.sources import DataSource
from evalharness.errors import ModelError
from evalharness.records.requests import PreparedTask, Rank
from evalharness.records.tasks import Task
from evalharness.records.tokenizers import Unrenderable
from evalharness.tasks.prepare import PromptSettings, prepare
from evalharness.tasks.turns import Chat

Make = Callable[..., Task]
Data = Callable[..., DataSource]

ROWS = [{"q": f"Question {i}?", "label": i % 2} for i in range(30)]


def words(text: str) -> int:
    return len(text.split())


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
