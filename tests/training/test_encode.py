"""The loss falls on completions only, and texts are split as in scoring (lm-evaluation-harness 0.4.13's
`_encode_pair`).
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from lm_eval.api.model import TemplateLM
from training.conftest import TEMPLATE

from evalharness.checkpoints.tokenizer import load_tokenizer
from evalharness.engines.hf.chat import ChatTemplate, template_of
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.errors import DataError
from evalharness.records.models import Architecture
from evalharness.training.encode import IGNORED, Encoder
from evalharness.training.example_file import GIVEN

PAIRS = [("the film was good Answer :", " yes"), ("it is \n", "no"), ("it is ", "bad film")]
TALK = (("user", "it is good"), ("assistant", "yes"), ("user", "it is bad"), ("assistant", "no film"))


@pytest.fixture(scope="module")
def texts(base):
    return TokenizerAdapter(load_tokenizer(base))


@pytest.mark.parametrize(("prompt", "completion"), PAIRS)
def test_prompt_is_masked_and_the_end_token_is_learned(texts, prompt, completion):
    theirs = SimpleNamespace(backend="causal", tok_encode=texts.tokenizer.encode)
    context, continuation = TemplateLM._encode_pair(theirs, prompt, completion)
    (encoded,) = Encoder(texts).encode((prompt, completion))
    assert encoded.ids == (*context, *continuation, texts.tokenizer.eos_token_id)
    assert encoded.labels == (*[IGNORED] * len(context), *continuation, texts.tokenizer.eos_token_id)
    assert encoded.ids[0] == texts.tokenizer.bos_token_id and encoded.learned == len(continuation) + 1


@pytest.mark.parametrize(("prompt", "completion"), PAIRS)
def test_an_encoder_reads_the_prompt_and_a_decoder_writes_the_completion(encoder_decoder, prompt, completion):
    texts = TokenizerAdapter(load_tokenizer(encoder_decoder), Architecture.SEQ2SEQ)
    theirs = SimpleNamespace(backend="seq2seq", tok_encode=texts.tokenizer.encode)
    context, continuation = TemplateLM._encode_pair(theirs, prompt, completion)
    (encoded,) = Encoder(texts, "seq2seq").encode((prompt, completion))
    assert encoded.ids == tuple(context) and encoded.labels == (*continuation, texts.tokenizer.eos_token_id)


def test_a_long_prompt_loses_its_beginning(texts):
    pair = ("the cat is good Answer :", " yes")
    (whole,), (encoded,) = Encoder(texts).encode(pair), Encoder(texts, limit=5).encode(pair)
    assert encoded.ids == (whole.ids[0], *whole.ids[-4:]) and encoded.cut == len(whole.ids) - 5
    (aside,) = Encoder(texts, "seq2seq", limit=3, answer_limit=9).encode(pair)
    assert len(aside.ids) == 3 and aside.cut == 4


@pytest.mark.parametrize(
    ("architecture", "example", "message"),
    [
        ("causal", ("it is", " good" * 9), "has 10 tokens, the window .* leaves 8"),
        ("seq2seq", ("it is", " good" * 9), "has 10 tokens, the window .* leaves 8"),
        ("causal", ("it is", ""), "empty completion"),
        ("seq2seq", ("it is", ""), "empty completion"),
        ("causal", TALK, "no chat template"),
    ],
)
def test_what_cannot_be_learned_is_refused(texts, architecture, example, message):
    with pytest.raises(DataError, match=message):
        Encoder(texts, architecture, 8, 8).encode(example)


# ---- conversations ---------------------------------------------------------------------------------------------------


def read(texts, encoded):
    """(what is given, what is learned) as texts, turn by turn."""
    parts, last = [], None
    for token, label in zip(encoded.ids, encoded.labels, strict=True):
        if (label != IGNORED) != last:
            parts.append([])
            last = label != IGNORED
        parts[-1].append(token)
    return [" ".join(texts.tokenizer.convert_ids_to_tokens(part)) for part in parts]


def test_every_turn_of_the_assistant_is_learned_and_no_other(talkative):
    tokenizer = load_tokenizer(talkative)
    texts = TokenizerAdapter(tokenizer)
    (encoded,) = Encoder(texts, chat=template_of(talkative, tokenizer)).encode(TALK)
    given = ["<s> user it is good </s> assistant", "user it is bad </s> assistant"]
    assert read(texts, encoded) == [given[0], "yes </s>", given[1], "no film </s>"]
    rendered = tokenizer.apply_chat_template([{"role": role, "content": text} for role, text in TALK], tokenize=False)
    assert tuple(tokenizer.encode(rendered)) == encoded.ids


def test_a_template_that_forgets_earlier_turns_makes_an_example_of_each(texts):
    question = "{{ messages[-1 if add_generation_prompt else -2]['content'] }} Answer : "
    forgetful = ChatTemplate(
        texts.tokenizer, question + "{% if not add_generation_prompt %}{{ messages[-1]['content'] }}{% endif %}"
    )
    encoded = Encoder(texts, chat=forgetful).encode(TALK)
    assert [read(texts, each) for each in encoded] == [
        ["<s> it is good Answer :", "yes </s>"],
        ["<s> it is bad Answer :", "no film </s>"],
    ]


def test_an_encoder_decoder_model_has_an_example_of_each_turn(talkative, encoder_decoder):
    tokenizer = load_tokenizer(encoder_decoder)
    chat = template_of(talkative, load_tokenizer(talkative))
    one, two = Encoder(TokenizerAdapter(tokenizer, Architecture.SEQ2SEQ), "seq2seq", chat=chat).encode(TALK)
    assert (
        tokenizer.convert_ids_to_tokens(two.ids)
        == "user it is good </s> assistant yes </s> user it is bad </s> assistant </s>".split()
    )
    assert tokenizer.convert_ids_to_tokens(one.labels) == ["yes", "</s>"]


def test_a_template_that_asks_otherwise_than_it_records_is_refused(texts):
    chat = ChatTemplate(
        texts.tokenizer,
        "{% for m in messages %}{{ m['content'] }} {% endfor %}{% if add_generation_prompt %}it is {% endif %}",
    )
    with pytest.raises(DataError, match="once the answer follows"):
        Encoder(texts, chat=chat).encode(TALK)


# ---- what is given and not learned, and what does not fit ------------------------------------------------------------

LONG = (("system", "good"), ("user", "it is good"), ("assistant", "yes"), ("user", "it is bad"), ("assistant", "no"))


def chatty(folder, base_folder, **more):
    tokenizer = load_tokenizer(folder)
    texts = TokenizerAdapter(tokenizer, more.get("architecture", Architecture.CAUSAL))
    return Encoder(texts, chat=template_of(base_folder, load_tokenizer(base_folder)), **more)


def test_a_turn_of_weight_0_is_read_and_not_learned(talkative):
    encoder = chatty(talkative, talkative)
    one = (("user", "it is good"), (GIVEN, "yes"), ("user", "it is bad"), ("assistant", "no"))
    (plain,), (encoded,) = encoder.encode((*one[:1], ("assistant", "yes"), *one[2:])), encoder.encode(one)
    assert encoded.ids == plain.ids and read(encoder.texts, encoded)[1:] == ["no </s>"]


def test_a_greeting_is_read_and_not_learned(talkative):
    greeting = (("assistant", "good"), ("user", "it is bad"), ("assistant", "no"))
    encoder = chatty(talkative, talkative)
    (encoded,) = encoder.encode(greeting)
    assert read(encoder.texts, encoded) == ["<s> assistant good </s> user it is bad </s> assistant", "no </s>"]
    strict = "{% if messages[0]['role'] != 'user' %}{{ raise_exception('users begin') }}{% endif %}" + TEMPLATE
    refusing = replace(encoder, chat=ChatTemplate(encoder.texts.tokenizer, strict))
    with pytest.raises(DataError, match=r"it begins with the assistant, and the chat template refuses .*users begin"):
        refusing.encode(greeting)
    with pytest.raises(DataError, match="no turn of the assistant answers one of the user"):
        encoder.encode(greeting[:2])


@pytest.mark.fault(17)
def test_a_conversation_that_is_too_long_loses_whole_turns_and_keeps_its_head(talkative):
    (whole,) = chatty(talkative, talkative).encode(LONG)
    (encoded,) = chatty(talkative, talkative, limit=len(whole.ids) - 1).encode(LONG)
    shorter = (LONG[0], *LONG[3:])
    assert encoded == replace(chatty(talkative, talkative).encode(shorter)[0], cut=len(whole.ids) - len(encoded.ids))
    assert encoded.ids[0] == 1 and encoded.cut > 0
    assert chatty(talkative, talkative, limit=len(encoded.ids)).encode(LONG) == (encoded,)
    assert chatty(talkative, talkative, limit=len(encoded.ids) - 1).encode(LONG) == (None,)


@pytest.mark.fault(17)
def test_an_encoder_reads_whole_turns_too(talkative, encoder_decoder):
    def encoder(**more):
        return chatty(encoder_decoder, talkative, architecture="seq2seq", **more)

    first, second = encoder().encode(LONG)
    cut_first, cut_second = encoder(limit=len(first.ids), answer_limit=9).encode(LONG)
    assert cut_first == first and cut_second.cut == len(second.ids) - len(cut_second.ids) > 0
    assert cut_second.ids == encoder().encode((LONG[0], *LONG[3:]))[0].ids and cut_second.labels == second.labels
    assert encoder(limit=3, answer_limit=9).encode(LONG) == (None, None)


def test_a_completion_that_brings_its_end_token_ends_once(texts, encoder_decoder):
    (plain,), (ended,) = Encoder(texts).encode(("it is", " good")), Encoder(texts).encode(("it is", " good </s>"))
    assert ended == plain and ended.ids.count(2) == 1
    aside = Encoder(TokenizerAdapter(load_tokenizer(encoder_decoder), Architecture.SEQ2SEQ), "seq2seq")
    assert aside.encode(("it is", " good </s>")) == aside.encode(("it is", " good"))


@pytest.mark.parametrize("completion", ["", " ", "\n"])
def test_a_completion_of_nothing_is_refused_where_it_stands(texts, completion):
    encoder = Encoder(texts, place=lambda _: "mine.jsonl:7")
    with pytest.raises(DataError, match=r"mine\.jsonl:7: an empty completion"):
        encoder.encode(("it is ", completion))
