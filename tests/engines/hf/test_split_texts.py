"""Texts that begin alike have the ids that transformers' tokenizer gives each whole text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from evalharness.checkpoints.tokenizer import load_tokenizer
from evalharness.engines.hf.split_texts import PATTERNS, SharedBeginnings, encoder, splits_between_words

CORPUS = ["the cat sat on the mat, don't it? It's 12 345 o'clock\n\nNaïve Ünïcode  here; ÉTÉ \t end.\r\n"] * 3
LLAMA3, QWEN2 = sorted(PATTERNS, key=len)[::-1]
SPLIT = {
    "byte level": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "byte level behind a space": pre_tokenizers.ByteLevel(add_prefix_space=True),
    "llama 3": pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    ),
    "qwen 2": pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    ),
    "digits": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]),
    "bert": pre_tokenizers.BertPreTokenizer(),
    "words and signs": pre_tokenizers.Whitespace(),
    "words": pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]),
}
NOT_SPLIT = {
    "nothing": None,
    "spaces replaced": pre_tokenizers.Metaspace(split=False),
    "bytes alone": pre_tokenizers.ByteLevel(False, use_regex=False),
    "another pattern": pre_tokenizers.Split(Regex(r"\w+ \w+"), "isolated"),
    "spaces joined": pre_tokenizers.Split(Regex(QWEN2), "merged_with_previous"),
}
WORDS = some.sampled_from(
    [
        "the",
        "cat",
        "don't",
        "it's",
        "12",
        "345",
        "Naïve",
        "e\u0301",
        "\u0301",
        "  ",
        "\n",
        "\n\n",
        "\t",
        ", ",
        ".",
        "<x>",
        "日本",
    ]
)
TEXT = some.lists(some.tuples(WORDS, some.sampled_from([" ", " ", ""])), max_size=30).map(
    lambda pieces: "".join(word + space for word, space in pieces)
)


def trained(split: Any, normalizer: Any = None, *added: AddedToken) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.normalizer = split, normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([AddedToken("<x>"), *added])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def plain(tokenizer: PreTrainedTokenizerFast, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text, add_special_tokens=False))


@pytest.mark.parametrize("split", SPLIT.values(), ids=SPLIT)
@pytest.mark.parametrize("normalizer", [None, normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])])
def test_texts_that_begin_alike_have_the_ids_of_whole_texts(split, normalizer):
    tokenizer = trained(split, normalizer)
    ids = encoder(tokenizer)
    assert isinstance(ids, SharedBeginnings)

    @settings(max_examples=40, deadline=None)
    @given(some.lists(some.tuples(some.integers(0, 2), TEXT), min_size=1, max_size=6), some.tuples(TEXT, TEXT, TEXT))
    def check(tails, heads):
        for number, tail in tails:
            head = " the cat sat on the mat".join(heads[: number + 1]) * 4
            for text in (head, head + tail, head + " " + tail):
                assert ids(text) == plain(tokenizer, text)

    check()


@pytest.mark.parametrize("split", NOT_SPLIT.values(), ids=NOT_SPLIT)
def test_a_pipeline_that_is_not_known_to_split_reads_whole_texts(split):
    tokenizer = trained(split)
    assert not splits_between_words(tokenizer.backend_tokenizer)
    assert encoder(tokenizer)("the cat sat " * 20) == plain(tokenizer, "the cat sat " * 20)


@pytest.mark.parametrize(
    "added",
    [AddedToken("cat sat"), AddedToken("cat "), AddedToken("cat", rstrip=True), AddedToken("sat", lstrip=True)],
    ids=str,
)
def test_an_added_token_over_a_cut_is_found(added):
    assert not splits_between_words(trained(SPLIT["byte level"], None, added).backend_tokenizer)
    assert splits_between_words(trained(SPLIT["byte level"], None, AddedToken("  ")).backend_tokenizer)


def test_a_normaliser_that_looks_further_is_not_cut():
    for further in (normalizers.Replace("t s", "x"), normalizers.Prepend("x"), normalizers.Strip()):
        assert not splits_between_words(trained(SPLIT["byte level"], further).backend_tokenizer)


def test_a_beginning_is_encoded_once():
    read: list[str] = []
    tokenizer = trained(SPLIT["byte level"])

    def counted(text: str) -> tuple[int, ...]:
        read.append(text)
        return plain(tokenizer, text)

    ids, header = SharedBeginnings(counted), "the cat sat on the mat, " * 50
    for question in range(20):
        context = f"{header}Question {question}: does the cat sit on the mat that it likes most of all the mats?"
        for choice in ("", " yes", " no", " it does not"):
            assert ids(context + choice) == plain(tokenizer, context + choice)
    assert sum(map(len, read)) < 4 * len(header) + 20 * 400


def test_what_others_set_on_the_tokenizer_cuts_no_text(zoo):
    tokenizer = load_tokenizer(zoo["llama"])
    tokenizer.pad_token = tokenizer.eos_token
    ids, text = encoder(tokenizer), "the cat sat on the mat " * 9
    whole = ids(text)
    tokenizer([text, "the"], truncation=True, max_length=4, padding=True, split_special_tokens=True)
    assert ids(text) == whole


def test_a_class_of_its_own_reads_texts_its_own_way():
    class Own(PreTrainedTokenizerFast):
        def _encode_plus(self, text: Any, *args: Any, **options: Any) -> Any:
            return super()._encode_plus(text[::-1], *args, **options)

    own = Own(tokenizer_object=trained(SPLIT["byte level"]).backend_tokenizer)
    assert (
        encoder(own)("the cat sat") == plain(own, "the cat sat") != encoder(trained(SPLIT["byte level"]))("the cat sat")
    )
