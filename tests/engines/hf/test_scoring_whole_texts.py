"""Texts are scored whole as by lm-eval's rolling windows and peft's unpadded forward of every window; failures stay
with their text.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from slow_cases import quick_ones

from evalharness.checkpoints.load import VirtualPrefix, load
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.architectures import model_adapter, pair_scorer
from evalharness.engines.hf.batches import BatchLimits
from evalharness.engines.hf.model_adapter import UNLIMITED
from evalharness.engines.hf.scoring import Scorer
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.records.requests import Failure, Rank, Score, Scoring

ALL = [f"{architecture}{kind}" for architecture in ("llama", "gpt2", "qwen3") for kind in ("", "-lora", "-prompt")]
QUICK = ("llama", "gpt2-lora", "qwen3-prompt")  # every architecture, and every kind


def close(ours: float, theirs: float) -> bool:
    return abs(ours - theirs) <= max(1e-4, 1e-6 * abs(theirs))


@pytest.fixture(scope="session")
def texts(words, tiny) -> list[str]:
    """From one token to several windows; exactly the window, one more and one less; BOS that the text brings; nothing
    that the vocabulary knows.
    """
    tokenizers = [tiny.make_tokenizer(architecture) for architecture in tiny.ARCHITECTURES]
    single = sorted(
        {
            word
            for word in tiny.WORDS
            if all(len(each.encode(f" {word}", add_special_tokens=False)) == 1 for each in tokenizers)
        }
    )
    assert len(single) > 5
    draw = random.Random(4)
    exact = [
        "".join(f" {draw.choice(single)}" for _ in range(tiny.WINDOW + more))
        for more in (-1, 0, 1, tiny.WINDOW, tiny.WINDOW + 1)
    ]
    mixed = " ".join(words(40, 18, seed=3))
    return [
        "cat",
        "the cat sat on a mat .",
        mixed[:200],
        mixed,
        *exact,
        "<s>the cat",
        "<|endoftext|>the dog",
        "naïve \u65e5\u672c \U0001f600\n\n  end ",
    ]


@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("name", quick_ones((name for name in ALL if "prompt" not in name), ("qwen3", *QUICK)))
def test_equals_lm_eval(name, batch_size, engine, ask, oracle, texts):
    """lm-eval 0.4.13's HFLM.loglikelihood_rolling, text by text."""
    ours, theirs = engine(name, batch_size=batch_size), oracle(name, batch_size)
    counted = TokenizerAdapter(ours._loaded.tokenizer)
    for text, answer in zip(texts, ask(ours, [Score(text=text) for text in texts]), strict=True):
        assert close(answer.logprob, theirs.score(text)), text
        assert answer.tokens == len(counted.encode(text))


@pytest.mark.parametrize("name", quick_ones((name for name in ALL if "-" in name), ("llama-prompt", *QUICK)))
def test_equals_peft_one_window_at_a_time(name, engine, ask, peft_model, texts, tiny):
    """Adapters against peft's own forward of single unpadded windows, cut by lm-eval's own functions; virtual tokens
    take their share.
    """
    ours, theirs = engine(name), peft_model(name)
    encoded = TokenizerAdapter(ours._loaded.tokenizer)
    room = tiny.WINDOW - (tiny.VIRTUAL if "prompt" in name else 0)
    for text, answer in zip(texts, ask(ours, [Score(text=text) for text in texts]), strict=True):
        expected = 0.0
        for context, continuation in map(
            make_disjoint_window, get_rolling_token_windows(list(encoded.encode(text)), encoded.prefix, room, 1)
        ):
            with torch.inference_mode():
                logits = (
                    theirs(input_ids=torch.tensor([(context + continuation)[:-1]]))
                    .logits[0, -len(continuation) :]
                    .double()
                )
            expected += float(
                torch.log_softmax(logits, -1)[torch.arange(len(continuation)), torch.tensor(continuation)].sum()
            )
        assert close(answer.logprob, expected), text


@pytest.mark.parametrize("name", ["llama-lora", "gpt2-prompt", "qwen3"])
def test_batching_moves_nothing(name, engine, ask, texts):
    requests = [Score(text=text) for text in texts]
    one = ask(engine(name, batch_size=1), requests)
    for other in (ask(engine(name, batch_size=4), requests), ask(engine(name, batch_size=16), requests[::-1])[::-1]):
        assert np.allclose([a.logprob for a in one], [b.logprob for b in other], rtol=1e-6, atol=2e-5)
        assert [a.tokens for a in one] == [b.tokens for b in other]


def test_windows_that_read_the_same_tokens_are_scored_each_at_its_own_places(engine, ask, oracle, tiny):
    """In a text of one word over and over windows read the same. lm-eval 0.4.13 shares their row and takes logits from
    the wrong places when it
    has several in a batch; one at a time it is right."""
    text = " cat" * (2 * tiny.WINDOW + 1)
    (answer,) = ask(engine("gpt2"), [Score(text=text)])
    assert close(answer.logprob, oracle("gpt2", 1).score(text))
    assert not close(answer.logprob, oracle("gpt2", 4).score(text))


@pytest.mark.parametrize("length", [1, 9, 10, 11, 19, 20, 21, 35, 40, 41])
def test_pieces_are_lm_evals_windows(length, engine):
    texts = TokenizerAdapter(engine("gpt2")._loaded.tokenizer)
    tokens = list(texts.encode(" cat dog the" * length))[:length]
    texts.encode = lambda text, *_: tuple(tokens)
    theirs = map(make_disjoint_window, get_rolling_token_windows(tokens, texts.prefix, 10, 1))
    pieces = texts.pieces("…", 10)
    assert [(list(piece.context), list(piece.continuation)) for piece in pieces] == list(theirs)
    assert [token for piece in pieces for token in piece.continuation] == tokens
    assert max(len(piece.fed) for piece in pieces) <= 10


def test_a_text_of_no_tokens_has_probability_one(engine, ask, oracle):
    """As in lm-eval: nothing to predict is 0 nats over 0 tokens; where the tokenizer adds BOS, that is predicted."""
    assert ask(engine("gpt2"), [Score(text="")]) == [Scoring(request_id=Score(text="").id, logprob=0.0, tokens=0)]
    assert oracle("gpt2", 1).score("") == 0
    (answer,) = ask(engine("llama"), [Score(text="")])
    assert answer.tokens == 1 and close(answer.logprob, oracle("llama", 1).score(""))


def test_a_text_is_the_sum_of_what_rank_gives_its_window(engine, ask):
    """One window of text is the continuation of an empty context."""
    text = "the cat sat on a mat"
    scored, ranked = ask(engine("gpt2"), [Score(text=text), Rank(pairs=(("", text),))])
    assert close(scored.logprob, ranked.logprobs[0]) and scored.tokens == ranked.tokens[0]


def test_all_kinds_of_request_in_one_block(engine, ask, rankings, generations, texts):
    """Texts in the block move no other answer by a bit."""
    requests = [Score(text=texts[1]), *rankings[:3], Score(text=texts[3]), *generations[:2]]
    answers = ask(engine("llama"), requests)
    assert answers[1:4] == ask(engine("llama"), rankings[:3])
    assert answers[5:] == ask(engine("llama"), generations[:2])


def test_what_cannot_be_read_is_a_failure(engine, ask):
    bad, good = ask(engine("gpt2"), [Score(text="a\ud800"), Score(text="the cat")])
    assert isinstance(bad, Failure) and "tokenised" in bad.reason
    assert isinstance(good, Scoring)


class TestInside:
    @pytest.fixture
    def loaded(self, zoo):
        return load(recognise(str(zoo["llama"])), "float32", "cpu")

    @staticmethod
    def scorer(loaded, window):
        return Scorer(model := model_adapter(loaded, window), lambda: pair_scorer(model, BatchLimits(8, 10_000)))

    @pytest.mark.fault(14)
    def test_non_finite_logits_fail_the_text_they_touch_and_no_other(self, loaded):
        spoiled = loaded.tokenizer.encode(" dog", add_special_tokens=False)
        with torch.no_grad():
            loaded.model.model.embed_tokens.weight[spoiled[0]] = torch.nan
        bad, good = self.scorer(loaded, 96).score([Score(text="the dog ran over"), Score(text="the cat sat")])
        assert bad == Failure(request_id=bad.request_id, reason="non-finite logits")
        assert isinstance(good, Scoring)

    def test_virtual_tokens_that_fill_the_window_leave_no_room(self, loaded):
        loaded.lead = VirtualPrefix(embeddings=torch.zeros(5, 48))
        (answer,) = self.scorer(loaded, 5).score([Score(text="the cat")])
        assert isinstance(answer, Failure) and "no space" in answer.reason

    def test_a_model_without_a_stated_limit_reads_as_much_as_in_lm_eval(self, loaded, monkeypatch):
        seen = []
        scorer = self.scorer(loaded, None)
        monkeypatch.setattr(scorer.model.tokenizer, "pieces", lambda text, room, special: seen.append(room) or ())
        list(scorer.score([Score(text="the cat")]))
        assert seen == [UNLIMITED] == [2048]

    def test_no_prefix_token_to_begin_with(self, loaded):
        scorer = self.scorer(loaded, 96)
        scorer.model.tokenizer.prefix = None
        (answer,) = scorer.score([Score(text="the cat")])
        assert isinstance(answer, Failure) and "neither BOS nor EOS" in answer.reason
