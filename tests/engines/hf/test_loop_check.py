"""Which models and rows the greedy loop serves, and that the others are decoded by `generate` all the same."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, MambaConfig, MistralConfig, MptConfig, PreTrainedConfig

from evalharness.checkpoints.load import LoadedModel
from evalharness.engines.hf.architectures import model_adapter
from evalharness.engines.hf.batches import BatchLimits
from evalharness.engines.hf.decoding import Decoder
from evalharness.engines.hf.endings import token_prompt
from evalharness.records.requests import Generate

SMALL = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.fixture
def decoder(tiny):
    """A decoder of a model of random weights."""

    def of(config: PreTrainedConfig, rows: int = 4) -> Decoder:
        tokenizer = tiny.make_tokenizer("llama")
        config.vocab_size, config.bos_token_id, config.eos_token_id, config.pad_token_id = len(tokenizer), 1, 2, 0
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(config).eval()
        loaded = LoadedModel(model=model, bare=model, tokenizer=tokenizer, device=torch.device("cpu"))
        return Decoder(model_adapter(loaded, None), BatchLimits(rows, 4096))

    return of


REQUESTS = [Generate(prompt=text, stop=(), max_tokens=6) for text in ("the cat sat on a mat", "a dog", "yes no yes")]


@pytest.mark.parametrize(
    "config",
    [
        BloomConfig(hidden_size=48, n_layer=2, n_head=4, initializer_range=0.3),
        MambaConfig(hidden_size=48, num_hidden_layers=2, state_size=4, initializer_range=0.3),
    ],
    ids=["positions from the mask", "recurrent"],
)
def test_what_the_loop_does_not_serve_is_decoded_by_generate(config, decoder):
    ours, alone = decoder(config), decoder(config, rows=1)
    answers = list(ours.generate(REQUESTS))
    assert ours.plain_because.startswith("its ")
    assert answers == [next(iter(alone.generate([request]))) for request in REQUESTS]


def test_positions_that_hang_on_distance_alone_are_served(decoder):
    ours = decoder(MptConfig(d_model=48, n_layers=2, n_heads=4, initializer_range=0.3))
    assert ours._serves() or ours.plain_because


def test_rows_that_leave_the_window_are_decoded_by_generate(decoder):
    """At both sides of its edge the texts are those of `generate` of one row."""
    config = MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=16, initializer_range=0.3)
    ours, alone = decoder(config), decoder(config, rows=1).plain
    requests = [Generate(prompt="the cat sat on a", stop=(), max_tokens=new) for new in range(2, 16)]
    answers = {answer.request_id: answer for answer in ours.generate(requests)}
    prompts = [token_prompt(request, ours.model) for request in requests]
    assert {ours._within(len(prompt.tokens) + prompt.request.max_tokens) for prompt in prompts} == {True, False}
    expected = [alone.endings.answer(prompt.request, alone.rows([prompt])[0]) for prompt in prompts]
    assert [answers[request.id] for request in requests] == expected
