"""Log-probabilities against lm-eval's HFLM and peft's unpadded forward, whatever the batch; failures stay with their
request.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from slow_cases import quick_ones

from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.architectures import model_adapter, pair_scorer
from evalharness.engines.hf.batches import BatchLimits
from evalharness.engines.hf.scoring import Scorer
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.records.requests import Failure, Rank, Ranking

ALL = [f"{architecture}{kind}" for architecture in ("llama", "gpt2", "qwen3") for kind in ("", "-lora", "-prompt")]
QUICK = ("llama", "gpt2-lora", "qwen3-prompt")  # every architecture, and every kind


def close(ours: float, theirs: float) -> bool:
    return abs(ours - theirs) <= max(1e-4, 1e-6 * abs(theirs))


@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("name", quick_ones((name for name in ALL if "prompt" not in name), ("qwen3", *QUICK)))
def test_equals_lm_eval(name, batch_size, engine, ask, oracle, rankings):
    """Every pair's log-likelihood and greedy flag, and every argmax over choices, as lm-eval 0.4.13 has them."""
    theirs = oracle(name, batch_size)
    for request, answer in zip(rankings, ask(engine(name, batch_size=batch_size), rankings), strict=True):
        expected = theirs.rank(request)
        assert all(close(ours, logprob) for ours, (logprob, _) in zip(answer.logprobs, expected, strict=True))
        assert list(answer.greedy) == [greedy for _, greedy in expected]
        top = sorted(logprob for logprob, _ in expected)
        assert top[-1] - top[-2] < 2e-4 or int(np.argmax(answer.logprobs)) == int(
            np.argmax([logprob for logprob, _ in expected])
        )


@pytest.mark.parametrize("name", quick_ones((name for name in ALL if "-" in name), ("llama-prompt", *QUICK)))
def test_equals_peft_one_row_at_a_time(name, engine, ask, peft_model, rankings):
    """Adapters against peft's own forward of a single unpadded row; virtual tokens sit before the text."""
    ours, theirs = engine(name), peft_model(name)
    texts = TokenizerAdapter(ours._loaded.tokenizer)
    for request, answer in zip(rankings, ask(ours, rankings), strict=True):
        for (context, continuation), logprob in zip(request.pairs, answer.logprobs, strict=True):
            pair = texts.pair(context, continuation)
            with torch.inference_mode():
                logits = theirs(input_ids=torch.tensor([pair.fed])).logits[0, -len(pair.continuation) :].double()
            expected = torch.log_softmax(logits, -1)[
                torch.arange(len(pair.continuation)), torch.tensor(pair.continuation)
            ].sum()
            assert close(logprob, float(expected))


@pytest.mark.parametrize("name", quick_ones(ALL, QUICK))
def test_batching_moves_nothing(name, engine, ask, rankings):
    one = ask(engine(name, batch_size=1), rankings)
    for other in (ask(engine(name, batch_size=4), rankings), ask(engine(name, batch_size=16), rankings[::-1])[::-1]):
        for a, b in zip(one, other, strict=True):
            assert np.allclose(a.logprobs, b.logprobs, rtol=1e-6, atol=2e-5)
            assert a.greedy == b.greedy and a.tokens == b.tokens


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3"])
def test_one_row_with_continuations_of_several_lengths(name, engine, ask, oracle):
    """The same tokens split at different places share a row, and each is scored at its own positions.

    lm-eval 0.4.13 asked for them together shares the row too, and takes the shorter ones' logits from the longest one's
    first positions; asked one at a time it is right.
    """
    pairs = (("what is it", " ? Answer"), ("what is it ?", " Answer"), ("what", " is it ? Answer"))
    theirs = oracle(name, 1)
    alone = [theirs.rank(Rank(pairs=(pair,)))[0] for pair in pairs]
    answer = ask(engine(name), [Rank(pairs=pairs)])[0]
    assert len(set(answer.tokens)) == 3
    assert all(close(ours, logprob) for ours, (logprob, _) in zip(answer.logprobs, alone, strict=True))
    together = theirs.rank(Rank(pairs=pairs))
    assert not all(close(logprob, expected) for (logprob, _), (expected, _) in zip(together, alone, strict=True))


@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3-lora"])
def test_choices_without_their_question_equal_lm_eval(name, batch_size, engine, ask, oracle, words):
    """What acc_mutual_info asks for: the pairs of a question, then each choice after the prefix token alone."""
    choices = [f" {choice}" for choice in words(4, 3, seed=7)]
    request = Rank(pairs=(*(("what is it ?", choice) for choice in choices), *(("", choice) for choice in choices)))
    (answer,) = ask(engine(name, batch_size=batch_size), [request])
    theirs = oracle(name, batch_size)
    for part, ours in (request.pairs[:4], answer.logprobs[:4]), (request.pairs[4:], answer.logprobs[4:]):
        assert all(close(one, logprob) for one, (logprob, _) in zip(ours, theirs.rank(Rank(pairs=part)), strict=True))


def test_same_plan_same_bits(engine, ask, rankings):
    assert ask(engine("qwen3-lora"), rankings) == ask(engine("qwen3-lora"), rankings)


def test_greedy_flag_follows_the_model(engine, ask, words):
    """A continuation is greedy where it is what the model's largest logit says, and only there."""
    ours = engine("gpt2")
    texts, prompts = TokenizerAdapter(ours._loaded.tokenizer), words(60, 8, seed=5)
    best = ours.next_token_logits(prompts, adapter=True, path="score").argmax(1).tolist()
    pairs = [(prompt, texts.decode([token])) for prompt, token in zip(prompts, best, strict=True)]
    pairs = [
        pair for pair, token in zip(pairs, best, strict=True) if texts.pair(*pair).continuation == (token,)
    ]  # the text is that token alone
    assert len(pairs) >= 3
    wrong = [(prompt, " weather") for prompt, text in pairs if text != " weather"]
    answer = ask(ours, [Rank(pairs=(*pairs, *wrong))])[0]
    assert answer.greedy == (True,) * len(pairs) + (False,) * len(wrong)


@pytest.mark.fault(17)
def test_a_request_over_the_window_fails_and_the_longest_that_fits_does_not(engine, ask, tiny):
    """The last token need not be read, so window + 1 tokens fit: as lm-eval has it. Nothing is ever cut."""
    ours = engine("gpt2")
    texts = TokenizerAdapter(ours._loaded.tokenizer)
    context = " cat" * tiny.WINDOW
    assert len(texts.pair(context, " cat").fed) == tiny.WINDOW
    fits, over, beside = ask(
        ours,
        [Rank(pairs=((context, " cat"),)), Rank(pairs=((context + " cat", " cat"),)), Rank(pairs=(("the", " cat"),))],
    )
    assert isinstance(fits, Ranking) and isinstance(beside, Ranking)
    assert (
        isinstance(over, Failure) and f"{tiny.WINDOW + 1} tokens do not fit the window of {tiny.WINDOW}" in over.reason
    )


def test_virtual_tokens_take_their_share_of_the_window(engine, ask, tiny):
    context = " cat" * (tiny.WINDOW - tiny.VIRTUAL)
    fits, over = ask(
        engine("gpt2-prompt"), [Rank(pairs=((context, " cat"),)), Rank(pairs=((context + " cat", " cat"),))]
    )
    assert isinstance(fits, Ranking) and isinstance(over, Failure)


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [((("the", ""),), "empty continuation"), ((("", ""),), "empty continuation"), ((("\ud800", "a"),), "tokenised")],
)
def test_what_has_no_probability_is_a_failure(pairs, reason, engine, ask):
    answer = ask(engine("gpt2"), [Rank(pairs=pairs)])[0]
    assert isinstance(answer, Failure) and reason in answer.reason


class TestInside:
    """With the scorer itself, on a model that is made to misbehave."""

    @pytest.fixture
    def loaded(self, zoo):
        return load(recognise(str(zoo["llama"])), "float32", "cpu")

    @staticmethod
    def scorer(loaded, rows=8):
        return Scorer(model := model_adapter(loaded, None), lambda: pair_scorer(model, BatchLimits(rows, 10_000)))

    def test_the_head_is_computed_only_where_something_is_scored(self, loaded, rankings):
        scorer, seen = self.scorer(loaded), []
        assert scorer.pair_scorer.plain_because == ""
        loaded.model.lm_head.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape))
        request = Rank(
            pairs=(("the cat sat on the mat", " yes"), ("the cat sat on the mat", " no"), ("a dog", " ran over"))
        )
        (answer,) = scorer.rank([request])
        single = answer.tokens[:2] == (1, 1)
        assert [shape[:2] for shape in seen] == [
            (1, (1 if single else answer.tokens[0] + answer.tokens[1] - 1) + answer.tokens[2])  # a shared first place
        ]

    @pytest.mark.fault(14)
    def test_non_finite_logits_fail_the_requests_they_touch_and_no_others(self, loaded):
        """One token's embedding is NaN: only rows that read it are spoiled, in the same batch."""
        spoiled = loaded.tokenizer.encode(" dog", add_special_tokens=False)
        with torch.no_grad():
            loaded.model.model.embed_tokens.weight[spoiled[0]] = torch.nan
        bad, good = self.scorer(loaded).rank([Rank(pairs=(("the dog", " ran"),)), Rank(pairs=(("the cat", " sat"),))])
        assert bad == Failure(request_id=bad.request_id, reason="non-finite logits")
        assert isinstance(good, Ranking) and np.isfinite(good.logprobs).all()

    def test_a_poisoned_head_gives_no_number(self, loaded):
        with torch.no_grad():
            loaded.model.lm_head.weight[3] = torch.inf
        assert all(
            isinstance(answer, Failure) for answer in self.scorer(loaded).rank([Rank(pairs=(("the cat", " sat"),))])
        )

    @pytest.mark.fault(12)
    @pytest.mark.parametrize(
        "error",
        [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
    )
    def test_too_little_memory_halves_the_batch(self, loaded, rankings, error):
        expected = list(self.scorer(loaded).rank(rankings))
        sizes = []

        def choke(_module, _args, inputs):
            sizes.append(inputs["input_ids"].numel())
            if sizes[-1] > 60:
                raise error

        loaded.model.register_forward_pre_hook(choke, with_kwargs=True)
        for a, b in zip(self.scorer(loaded).rank(rankings), expected, strict=True):
            assert np.allclose(a.logprobs, b.logprobs, atol=2e-5)
            assert a.greedy == b.greedy and np.argmax(a.logprobs) == np.argmax(b.logprobs)
        assert max(sizes) > 120 and any(30 < size <= 60 for size in sizes)

    @pytest.mark.fault(12)
    def test_too_little_memory_for_one_row_fails_that_row_only(self, loaded):
        def choke(_module, _args, inputs):
            if inputs["input_ids"].shape[1] > 10:
                raise MemoryError

        loaded.model.register_forward_pre_hook(choke, with_kwargs=True)
        long, short = self.scorer(loaded).rank(
            [Rank(pairs=(("the cat sat on a mat and a dog ran over", " red"),)), Rank(pairs=(("the", " cat"),))]
        )
        assert isinstance(long, Failure) and "memory" in long.reason
        assert isinstance(short, Ranking)

    def test_another_error_is_named_and_never_a_score(self, loaded):
        def broken(_module, _args):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

        loaded.model.register_forward_pre_hook(broken)
        (answer,) = self.scorer(loaded).rank([Rank(pairs=(("the", " cat"),))])
        assert isinstance(answer, Failure) and "mat1 and mat2 shapes" in answer.reason
