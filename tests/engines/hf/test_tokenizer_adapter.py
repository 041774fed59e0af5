"""Token ids are those that lm-eval's HFLM makes and, where it stops with an assertion, something that can be scored."""

from __future__ import annotations

import pytest

from evalharness.checkpoints.tokenizer import load_tokenizer
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, Untokenizable

ARCHITECTURES = ["llama", "gpt2", "qwen3"]
TEXTS = [
    "the cat",
    " the  cat ",
    "<s>the cat",
    "<|endoftext|>the",
    "<|im_end|>cat",
    "é 日本 \U0001f600\n",
    "\t",
    "a" * 50,
]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_tokens_equal_lm_eval(name, zoo, oracle):
    texts, theirs = TokenizerAdapter(load_tokenizer(zoo[name])), oracle(name, 1).model
    assert texts.prefix == theirs.prefix_token_id
    for text in TEXTS:
        assert list(texts.encode(text)) == theirs.tok_encode(text)
        assert texts.decode(texts.encode(text)) == theirs.tok_decode(list(texts.encode(text)))
        for continuation in (" yes", "no", "\nthe cat sat"):
            if text.strip() and len(theirs._encode_pair(text, continuation)[1]):
                pair = texts.pair(text, continuation)
                assert (list(pair.context), list(pair.continuation)) == theirs._encode_pair(text, continuation)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_token_over_the_seam_is_scored_whole(name, zoo, oracle):
    """ " c" + "at" is one token: lm-eval has no continuation left, and asserts; here the token itself is scored."""
    texts = TokenizerAdapter(load_tokenizer(zoo[name]))
    assert oracle(name, 1).model._encode_pair("the c", "at")[1] == []
    pair = texts.pair("the c", "at")
    assert pair.context + pair.continuation == texts.encode("the cat") and len(pair.continuation) == 1


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_empty_context_is_the_prefix_token(name, zoo):
    texts = TokenizerAdapter(load_tokenizer(zoo[name]))
    for context in ("", " ", "\n"):
        assert texts.pair(context, "the cat").context == (texts.prefix,)
    assert texts.prompt("")[-1] == texts.prefix


def test_no_prefix_token_at_all(zoo):
    tokenizer = load_tokenizer(zoo["qwen3"])
    tokenizer.eos_token = None
    texts = TokenizerAdapter(tokenizer)
    assert texts.encode("the cat") == TokenizerAdapter(load_tokenizer(zoo["qwen3"])).encode("the cat")
    with pytest.raises(Untokenizable, match="neither BOS nor EOS"):
        texts.pair("", "the cat")


@pytest.mark.fault(18)
def test_a_lone_surrogate_cannot_be_asked(zoo):
    with pytest.raises(Untokenizable, match="cannot be tokenised"):
        TokenizerAdapter(load_tokenizer(zoo["llama"])).encode("\ud800")
