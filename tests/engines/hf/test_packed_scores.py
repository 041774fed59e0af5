"""Packed rows score what whole rows score, one at a time: over architectures, virtual tokens, shapes of prefixes,
budgets and the window's edge. Where a model cannot read them, it is found out.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from slow_cases import first_of_each
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MptConfig,
    OPTConfig,
    PhiConfig,
    Qwen3Config,
)

from evalharness.checkpoints.load import LoadedModel, VirtualPrefix
from evalharness.engines.hf.architectures import pair_scorer
from evalharness.engines.hf.batches import BatchLimits, Refusal
from evalharness.engines.hf.causal import Causal
from evalharness.engines.hf.packed_check import reach_of
from evalharness.engines.hf.packed_scores import PackedPairScorer
from evalharness.engines.hf.pair_scores import PlainPairScorer
from evalharness.engines.hf.tokenizer_adapter import TokenPair

VOCABULARY, WINDOW, SLIDING = 90, 128, 48
EAGER = ("gemma2", "mamba", "mpt", "bloom", "gpt_neo")  # they have no other attention, or need it for their caps
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": VOCABULARY}
LLAMA = {**SMALL, "intermediate_size": 48, "max_position_embeddings": WINDOW, "initializer_range": 0.3}
GEMMA = {**LLAMA, "head_dim": 8, "num_key_value_heads": 2, "sliding_window": SLIDING}
PACKED = {
    "gpt2": GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=WINDOW, vocab_size=90, initializer_range=0.3),
    "llama": LlamaConfig(**LLAMA, num_key_value_heads=4),
    "llama with grouped heads": LlamaConfig(**LLAMA, num_key_value_heads=2),
    "qwen3": Qwen3Config(**LLAMA, num_key_value_heads=2, head_dim=8),
    "mistral": MistralConfig(**LLAMA, num_key_value_heads=2, sliding_window=SLIDING),
    "gemma2": Gemma2Config(**GEMMA, query_pre_attn_scalar=8),
    "gemma3": Gemma3TextConfig(**GEMMA, query_pre_attn_scalar=8),
    "phi": PhiConfig(**LLAMA, partial_rotary_factor=0.5),
    "gpt-neox": GPTNeoXConfig(**LLAMA),
    "opt": OPTConfig(**SMALL, ffn_dim=48, max_position_embeddings=WINDOW, init_std=0.3, word_embed_proj_dim=32),
    "falcon": FalconConfig(**SMALL, initializer_range=0.3, alibi=False, max_position_embeddings=WINDOW),
}
PLAIN = {
    "bloom": (BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=90), "takes no positions"),
    "mpt": (MptConfig(d_model=32, n_layers=2, n_heads=4, vocab_size=90, max_seq_len=WINDOW), "takes no positions"),
    "mamba": (MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=90, state_size=4), "takes no positions"),
    "gpt-neo": (
        GPTNeoConfig(
            hidden_size=32, num_layers=2, num_heads=4, vocab_size=90, attention_types=[[["global", "local"], 1]]
        ),
        "see 0 tokens",
    ),
    "falcon with alibi": (FalconConfig(**SMALL, alibi=True), "cannot read packed rows"),
}


class _Padded:
    """What is needed of a tokenizer where the tokens are given."""

    pad = 0


def model_of(config, lead="none", seed=0) -> Causal:
    torch.manual_seed(seed)
    attention = "eager" if config.model_type in EAGER else "sdpa"
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval().requires_grad_(False)
    prefix = VirtualPrefix()
    if lead == "embeddings":
        prefix = VirtualPrefix(embeddings=torch.randn(5, 32))
    if lead == "cache":
        heads = 1 if config.model_type == "falcon" else getattr(config, "num_key_value_heads", None) or 4
        prefix = VirtualPrefix(cache=tuple((torch.randn(heads, 5, 8), torch.randn(heads, 5, 8)) for _ in range(2)))
    loaded = LoadedModel(model=model, bare=model, tokenizer=None, device=torch.device("cpu"), lead=prefix)
    return Causal(loaded, _Padded(), WINDOW)


def drawn_pairs(chance: random.Random, longest: int) -> list[TokenPair]:
    """Pairs under a few headers and passages, that end anywhere up to the window; some equal, some one token long."""

    def tokens(least: int, most: int) -> tuple[int, ...]:
        return tuple(chance.randrange(VOCABULARY) for _ in range(chance.randint(least, most)))

    pairs = []
    for header in [tokens(0, longest // 2) for _ in range(chance.randint(1, 2))]:
        for passage in [tokens(0, longest // 4) for _ in range(chance.randint(1, 2))]:
            for _ in range(chance.randint(1, 4)):
                context = header + passage + tokens(1, longest // 8)
                choices = [tokens(1, chance.choice((1, 3, longest // 8))) for _ in range(chance.randint(1, 5))]
                pairs += [TokenPair(context, choice) for choice in choices]
    return chance.sample(pairs, len(pairs))


def assert_same(packed: PackedPairScorer, plain: PlainPairScorer, pairs: list[TokenPair]) -> None:
    ours, whole = packed.scores(pairs), plain.scores(pairs)
    assert ours.keys() == whole.keys()
    for pair, score in whole.items():
        assert not isinstance(score, Refusal)
        assert abs(ours[pair].logprob - score.logprob) <= max(1e-4, 1e-6 * abs(score.logprob))
        assert ours[pair].greedy == score.greedy


def check(name: str, lead: str, seeds: range, most: int) -> None:
    model = model_of(PACKED[name], lead)
    packed = pair_scorer(model, BatchLimits(8, 2048))
    assert isinstance(packed, PackedPairScorer) and packed.plain_because == ""
    for seed in seeds:
        chance = random.Random(seed)
        packed.budget = chance.choice((1, 8, 20, 64, 512))
        longest = chance.choice((20, 60, WINDOW - 5 - 16))
        assert_same(packed, PlainPairScorer(model, BatchLimits(16, 2048)), drawn_pairs(chance, longest)[:most])


LEADS = ("none", "embeddings", "cache")


def which(name: str, lead: str) -> tuple[str, str]:
    """Every architecture with one lead, each of them with another; one with all."""
    return name, lead if name == "llama" else ""


@pytest.mark.parametrize(
    ("name", "lead"),
    first_of_each(((name, LEADS[(i + j) % 3]) for i, name in enumerate(PACKED) for j in range(3)), which),
)
def test_packed_rows_score_what_whole_rows_score(name, lead):
    check(name, lead, range(2), 30)


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("lead", LEADS)
def test_packed_rows_score_what_whole_rows_score_in_many_cases(name, lead):
    check(name, lead, range(2, 60), 100)


@pytest.mark.parametrize("name", PLAIN)
def test_a_model_that_cannot_read_packed_rows_is_asked_plainly(name):
    config, reason = PLAIN[name]
    model = model_of(config)
    scorer = pair_scorer(model, BatchLimits(8, 2048))
    assert isinstance(scorer, PlainPairScorer) and reason in scorer.plain_because
    pairs = drawn_pairs(random.Random(1), 60)
    assert_same(scorer, PlainPairScorer(model, BatchLimits(1, 2048)), pairs)


@pytest.mark.parametrize("heeds_masks", [True, False])
def test_a_model_that_rules_tokens_out_is_looked_at_as_well(heeds_masks):
    """Logits of -inf are no reason not to look."""
    model = model_of(PACKED["llama"])

    def rule_out(_module, _given, logits):
        return logits.index_fill(-1, torch.tensor([3, 5]), -torch.inf)

    def without_mask(_module, _given, inputs):
        return (), {**inputs, "attention_mask": None}

    model.loaded.model.lm_head.register_forward_hook(rule_out)
    if not heeds_masks:
        model.loaded.model.model.register_forward_pre_hook(without_mask, with_kwargs=True)
    reason = pair_scorer(model, BatchLimits(8, 2048)).plain_because
    assert (reason == "") if heeds_masks else ("packed rows move a logit" in reason)


def test_every_row_alone_means_whole_rows():
    scorer = pair_scorer(model_of(PACKED["llama"]), BatchLimits(1, 2048))
    assert isinstance(scorer, PlainPairScorer) and scorer.plain_because == ""


@pytest.mark.parametrize(
    ("name", "reach"), [("llama", None), ("mistral", SLIDING), ("gemma3", SLIDING), ("qwen3", None)]
)
def test_how_far_every_layer_sees(name, reach):
    assert reach_of(PACKED[name]) == reach


def test_positions_that_change_with_a_text_s_length_bound_what_is_packed():
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 100}
    assert reach_of(LlamaConfig(**LLAMA | {"max_position_embeddings": 64}, rope_parameters=rope)) == 64


def test_the_same_pairs_give_the_same_bits_whatever_was_asked_before():
    """A header that is still in memory from the block before gives what it gives when it is read."""
    model, chance = model_of(PACKED["llama"]), random.Random(5)
    header = tuple(chance.randrange(VOCABULARY) for _ in range(60))
    blocks = [[TokenPair((*header, chance.randrange(90), i), (i % 7, 3)) for i in range(30)] for _ in range(2)]
    used, fresh = (PackedPairScorer(model, BatchLimits(8, 40)) for _ in range(2))
    used.scores(blocks[0])
    assert used.scores(blocks[1]) == fresh.scores(blocks[1])


def test_a_header_that_does_not_fit_in_memory_is_read_with_every_row(monkeypatch):
    model = model_of(PACKED["llama"])
    packed, plain = PackedPairScorer(model, BatchLimits(8, 40)), PlainPairScorer(model, BatchLimits(1, 2048))
    pairs = [TokenPair((*range(60), 60 + i), (i % 7, 3)) for i in range(20)]
    forward = model.loaded.model.forward

    def scarce(**inputs):
        if inputs["input_ids"].shape[1] > 50 and inputs["use_cache"]:
            raise RuntimeError("not enough memory: you tried to allocate 1 bytes")
        return forward(**inputs)

    monkeypatch.setattr(model.loaded.model, "forward", scarce)
    assert_same(packed, plain, pairs)


def test_last_logits_come_in_the_order_of_the_prompts():
    model, chance = model_of(PACKED["gpt2"]), random.Random(2)
    prompts = [pair.context for pair in drawn_pairs(chance, 60)]
    packed, plain = PackedPairScorer(model, BatchLimits(8, 40)), PlainPairScorer(model, BatchLimits(1, 2048))
    np.testing.assert_allclose(packed.last_logits(prompts, True), plain.last_logits(prompts, True), atol=1e-4)
