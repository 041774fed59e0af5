"""A draft changes no text, whatever it says; where it is right, fewer passes are made. The oracle is the loop without
drafts, which test_greedy_loop.py holds to `generate`.
"""

from __future__ import annotations

import random

import pytest
import torch
from slow_cases import quick_ones

from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.base import AnswersWithDrafts
from evalharness.engines.hf.architectures import model_adapter
from evalharness.engines.hf.batches import BatchLimits
from evalharness.engines.hf.decoding import Decoder
from evalharness.engines.hf.drafts import ties
from evalharness.paths import shipped
from evalharness.records.requests import Generate

WINDOW = 96
PROMPTS = [f"{question} {name}?" for question in ("Where is", "What is", "Who made") for name in
           ("the lake", "a lamp", "the old king", "Anna")]  # fmt: skip


@pytest.fixture
def decoder(zoo):
    def of(name: str, rows: int = 4) -> Decoder:
        loaded = load(recognise(str(zoo[name])), "float32", "cpu")
        return Decoder(model_adapter(loaded, WINDOW), BatchLimits(rows, 4096))

    return of


@pytest.fixture(scope="module")
def shipped_base():
    return load(recognise(str(shipped("fixtures/models/tiny-base"))), "float32", "cpu")


def drafted(text: str, chance: random.Random) -> str:
    """The text itself, a part or more of it, with words replaced, or another."""
    words = text.split(" ")
    kind = chance.randrange(7)
    if kind == 0:
        return text
    if kind == 1:
        return text[: chance.randint(0, len(text))]
    if kind == 2:
        return text + " the cat sat"
    if kind in (3, 4):
        words[chance.randrange(len(words))] = "dog"
        return " ".join(words)
    return "" if kind == 5 else " ".join(chance.choices([*words, "no", "\n", "日"], k=5))


def requests_of(chance: random.Random, words: list[str]) -> list[Generate]:
    return [
        Generate(prompt=prompt, stop=tuple(chance.sample(["\n", "e", "th", "x"], k=chance.randint(0, 2))),
                 max_tokens=chance.randint(1, 40))
        for prompt in words
    ]  # fmt: skip


def check(ours: Decoder, words: list[str], chance: random.Random) -> None:
    requests = requests_of(chance, words)
    expected = list(ours.generate(requests))
    assert not ours.plain_because
    free = [Generate(prompt=r.prompt, stop=(), max_tokens=40, stop_at_once=True) for r in requests]
    texts = {answer.request_id: answer.text for answer in ours.generate(free)}
    drafts = {r.id: drafted(texts[f.id], chance) for r, f in zip(requests, free, strict=True)}
    assert list(ours.generate(requests, drafts)) == expected


@pytest.mark.parametrize(
    "name", quick_ones(("llama", "gpt2", "qwen3", "llama-lora", "gpt2-prompt"), ("llama-lora", "gpt2-prompt", "qwen3"))
)
def test_no_draft_changes_an_answer(name, decoder, words):
    check(decoder(name, 3), words(7, 9), random.Random(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3", "llama-lora", "gpt2-prompt"])
def test_no_draft_changes_an_answer_for_many_draws(name, decoder, words):
    for seed in range(20):
        chance = random.Random(seed)
        check(decoder(name, chance.choice((2, 3, 8))), words(7, 9, seed=seed), chance)


def test_end_tokens_inside_a_draft_end_the_row(decoder, zoo, words):
    ours = decoder("gpt2")
    requests = [Generate(prompt=prompt, stop=(), max_tokens=20) for prompt in words(4, 9)]
    texts = [answer.text for answer in ours.generate(requests)]
    ends = {ours.model.tokenizer.encode(text)[3] for text in texts}
    object.__setattr__(ours.endings, "ends", frozenset(ends))
    expected = list(ours.generate(requests))
    assert {answer.finish_reason for answer in expected} >= {"eos"}
    assert list(ours.generate(requests, {r.id: t for r, t in zip(requests, texts, strict=True)})) == expected


def passes(ours: Decoder, requests: list[Generate], drafts: dict[str, str]) -> tuple[int, int]:
    """How many forward passes are made for the answers, and how many tokens these are fed."""
    fed = []
    hook = ours.model.loaded.model.register_forward_pre_hook(
        lambda *given: fed.append(given[2]["input_ids"].numel()), with_kwargs=True
    )
    list(ours.generate(requests, drafts))
    hook.remove()
    return len(fed), sum(fed)


def test_a_draft_that_is_right_saves_passes_and_one_that_is_wrong_costs_few(shipped_base):
    ours = Decoder(model_adapter(shipped_base, 512), BatchLimits(8, 4096))
    requests = [Generate(prompt=prompt, stop=(), max_tokens=40) for prompt in PROMPTS]
    texts = {answer.request_id: answer.text for answer in ours.generate(requests)}
    assert len(set(texts.values())) == len(requests)
    none, right = passes(ours, requests, {}), passes(ours, requests, texts)
    wrong = passes(ours, requests, dict(zip(texts, [*[*texts.values()][1:], ""], strict=True)))
    assert right[0] < none[0] / 2
    assert wrong[1] < none[1] * 1.2  # of prompts as short as these


def test_rows_that_are_asked_alone_take_no_drafts(shipped_base):
    ours = Decoder(model_adapter(shipped_base, 512), BatchLimits(1, 4096))
    requests = [Generate(prompt=PROMPTS[0], stop=(), max_tokens=12)]
    texts = {answer.request_id: answer.text for answer in ours.generate(requests)}
    assert passes(ours, requests, texts) == passes(ours, requests, {})


def test_logits_that_rounding_may_swap_are_ties():
    logits = torch.tensor([[1.0, 1.00001, 0.0], [1.0, 1.1, 0.0], [5.0, 0.0, 4.9]])
    assert ties(logits) == [True, False, False]
    assert ties(logits.bfloat16()) == [True, False, False]


def test_the_engine_answers_with_drafts(engine, generations):
    ours = engine("llama")
    assert isinstance(ours, AnswersWithDrafts)
    plain = list(ours.answer(generations))
    drafts = {answer.request_id: answer.text for answer in plain}
    assert list(ours.answer_with_drafts(generations, drafts)) == plain
