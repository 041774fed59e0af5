"""Sources read once with continuations that branch off from the decoder's cache: whole rows alone are the oracle, which
test_seq2seq.py holds against lm-eval and the models' own forward.
"""

from __future__ import annotations

import random

import pytest
import torch
from transformers.models.bart.modeling_bart import BartLearnedPositionalEmbedding

from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.architectures import model_adapter, pair_scorer
from evalharness.engines.hf.batches import TOO_LARGE, BatchLimits, Refusal
from evalharness.engines.hf.pair_scores import PlainPairScorer
from evalharness.engines.hf.seq2seq_scores import SharedSourceScorer
from evalharness.engines.hf.tokenizer_adapter import TokenPair

SUBJECTS = ("t5", "bart", "t5-lora", "bart-prompt", "t5-PREFIX_TUNING")
WIDE = BatchLimits(16, 4096)


@pytest.fixture(scope="module")
def opened(zoo):
    """A model in memory by the zoo's name, a new one each time."""
    return lambda name, dtype="float32": model_adapter(load(recognise(str(zoo[name])), dtype, "cpu"), None)


def scorer(model, limits=WIDE) -> SharedSourceScorer:
    chosen = pair_scorer(model, limits)
    assert isinstance(chosen, SharedSourceScorer), chosen.plain_because
    return chosen


def alone(model, pairs):
    return PlainPairScorer(model, BatchLimits(1, 1)).scores(pairs)


def assert_equal(scores, expected):
    assert scores.keys() == expected.keys()
    for pair, score in scores.items():
        assert abs(score.logprob - expected[pair].logprob) <= max(1e-4, 1e-6 * abs(expected[pair].logprob))
        assert score.greedy == expected[pair].greedy


def random_pairs(chance: random.Random) -> list[TokenPair]:
    """One to nine continuations of every source; some the beginning of another, some of one token, some equal but for
    the last; contexts that are equal but for the last, too.
    """
    tokens = lambda most: tuple(chance.randint(4, 350) for _ in range(chance.randint(1, most)))  # noqa: E731
    pairs: list[TokenPair] = []
    for _ in range(chance.randint(2, 5)):
        source, continuations = tokens(40), [tokens(12)]
        for _ in range(chance.randint(0, 8)):
            begun = chance.choice(continuations)
            continuations.append(begun[: chance.randint(0, len(begun))] + tokens(chance.choice((1, 6))))
        pairs += [TokenPair(source, continuation) for continuation in continuations]
        pairs.append(TokenPair((*source[:-1], 7), continuations[0]))
    return list(dict.fromkeys(chance.sample(pairs, len(pairs))))


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SUBJECTS)
def test_scores_are_those_of_whole_rows_alone(name, rounds, opened):
    """Within max(1e-4, 1e-6·|ll|), greedy flags equal, whatever the lengths, shared beginnings, budgets and what leads
    before source or decoder.
    """
    model, chance = opened(name), random.Random(f"{name} {rounds}")
    for _ in range(rounds):
        pairs = random_pairs(chance)
        limits = BatchLimits(chance.randint(2, 16), chance.choice((1, 30, 100, 400, 4096)))
        assert_equal(scorer(model, limits).scores(pairs), alone(model, pairs))


@pytest.mark.parametrize("name", ["t5", "bart", "bart-prompt"])
def test_rounding_of_fewer_bits_is_no_reason_for_whole_rows(name, opened):
    scorer(opened(name, "bfloat16"))


def test_greedy_flags_join(opened):
    """The model's own continuation is greedy though two rows predict it; each of them not where the other is."""
    model = opened("t5")
    prompt = tuple(range(40, 60))
    own = model.loaded.model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=6, min_new_tokens=6)
    best = tuple(own[0, 1:].tolist())
    late, early = (*best[:4], best[4] + 1), (best[0] + 1, *best[1:])
    longest = (*best[:2], best[2] + 1, *best[3:], 5, 5)  # what the others branch off from
    pairs = [TokenPair(prompt, continuation) for continuation in (best, late, early, longest)]
    assert [score.greedy for score in scorer(model).scores(pairs).values()] == [True, False, False, False]


def test_every_source_is_encoded_once_and_shared_tokens_are_read_once(opened):
    model, encoded, decoded, headed = opened("bart"), [], [], []
    subject = scorer(model)  # checked before the passes are counted
    whole = model.loaded.model
    whole.get_encoder().register_forward_hook(lambda *of: encoded.append(len(of[-1][0])))
    whole.get_decoder().register_forward_hook(lambda *of: decoded.append(of[-1][0].shape[:2]))
    whole.lm_head.register_forward_hook(lambda *of: headed.append(of[-1].shape[1]))
    cat, dog = (50, 51, 52), (60, 61)
    subject.scores([TokenPair(cat, run) for run in ((9,), (8,), (7, 6, 5, 4), (7, 6))] + [TokenPair(dog, (9,))])
    assert (encoded, decoded, headed) == ([2], [(2, 4)], [5])  # nothing branches off
    subject.scores([TokenPair(cat, run) for run in ((7, 6, 5, 4), (7, 6, 3, 2), (7, 6, 3, 1), (7, 6, 9, 9))])
    assert encoded == [2, 1] and decoded[1:] == [(1, 4), (2, 1)] and headed[1:] == [4, 2]


class _LostPositions(BartLearnedPositionalEmbedding):
    """Positions that begin anew after what is cached."""

    def forward(self, input_ids, past_key_values_length=0, position_ids=None):
        return super().forward(input_ids, 0, None)


class _NoCache(torch.nn.Module):
    """A decoder that takes no cache."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, past_key_values=None, **given):
        if past_key_values is not None:
            raise TypeError("no cache is taken")
        return self.decoder(**given)


def test_a_decoder_that_answers_otherwise_from_a_cache_reads_whole_rows(opened):
    pairs = random_pairs(random.Random(3))
    expected = alone(opened("bart"), pairs)
    lost, without = opened("bart"), opened("bart")
    lost.loaded.model.get_decoder().embed_positions.__class__ = _LostPositions
    without.loaded.model.model.decoder = _NoCache(without.loaded.model.model.decoder)
    for model, reason in ((lost, "with the decoder's cache"), (without, "no cache is taken")):
        subject = pair_scorer(model, WIDE)
        assert isinstance(subject, PlainPairScorer) and reason in subject.plain_because
        assert_equal(subject.scores(pairs), expected)


def test_a_row_that_fails_costs_no_other_its_answer(opened):
    """A token outside the vocabulary, in the longest continuation, in a branch, in a source."""
    model, beyond = opened("t5"), 10_000
    good = [TokenPair((50, 51, 52), run) for run in ((7, 8, 9), (7, 6, 5), (4,))] + [TokenPair((60,), (4, 4))]
    bad = [TokenPair((50, 51, 52), (7, beyond, 9, 9)), TokenPair((50, 51, 52), (beyond, 2)), TokenPair((beyond,), (4,))]
    bad.append(TokenPair((60,), (beyond, 5)))
    scores = scorer(model).scores([*good, *bad])
    assert all(isinstance(scores[pair], Refusal) for pair in bad)
    assert_equal({pair: scores[pair] for pair in good}, alone(model, good))


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_memory_for_few_rows_suffices(part, opened):
    """Batches are halved where memory does not suffice for two rows; a refusal where it does not for one."""
    model = opened("t5")
    pairs = [TokenPair((50, *tail), run) for tail in ((), (9,)) for run in ((7, 8, 9), (7, 6, 5), (4,))]
    most = 1
    module = getattr(model.loaded.model, f"get_{part}")()

    def bounded(_module, _given, named):
        if len(named["input_ids"]) > most:
            raise MemoryError

    subject = scorer(model)
    expected = alone(model, pairs)
    module.register_forward_pre_hook(bounded, with_kwargs=True)
    assert_equal(subject.scores(pairs), expected)
    most = 0
    assert set(subject.scores(pairs).values()) == {Refusal(reason=TOO_LARGE)}
