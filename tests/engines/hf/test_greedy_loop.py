"""Texts of the greedy loop against transformers' own `generate`, each row alone: lengths, limits, stops, headers,
windows, adapters and soft prompts drawn at random; and what memory and failures do to it.
"""

from __future__ import annotations

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, GPTNeoXConfig, LlamaConfig, OPTConfig, PreTrainedConfig

from evalharness.checkpoints.load import LoadedModel, load
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.architectures import model_adapter
from evalharness.engines.hf.batches import BatchLimits
from evalharness.engines.hf.decoding import Decoder
from evalharness.engines.hf.endings import TokenPrompt
from evalharness.records.requests import Generate

SMALL = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
WIDE = {"initializer_range": 0.3, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
CONFIGS: dict[str, tuple[type[PreTrainedConfig], dict[str, object]]] = {
    "heads of their own": (LlamaConfig, {**SMALL, "num_key_value_heads": 4}),
    "soft cap": (Gemma2Config, {**SMALL, "num_key_value_heads": 2, "head_dim": 12, "sliding_window": 4096}),
    "parallel residual": (GPTNeoXConfig, SMALL),
    "learnt positions": (
        OPTConfig,
        {**SMALL, "ffn_dim": 96, "word_embed_proj_dim": 48, "init_std": 0.3, "do_layer_norm_before": True},
    ),
}
ZOO = ("llama", "gpt2", "qwen3", "llama-lora", "gpt2-prompt", "qwen3-PREFIX_TUNING")
WINDOW = 56


@pytest.fixture
def make(zoo, tiny):
    """A loaded model by the zoo's name, or of random weights by the name of one of CONFIGS."""

    def loaded(name: str, **more: object) -> LoadedModel:
        if name in ZOO:
            return load(recognise(str(zoo[name])), "float32", "cpu")
        tokenizer = tiny.make_tokenizer("llama")
        kind, options = CONFIGS[name]
        torch.manual_seed(3)
        config = kind(**{"vocab_size": len(tokenizer), "max_position_embeddings": WINDOW, **WIDE, **options, **more})
        model = AutoModelForCausalLM.from_config(config).eval()
        return LoadedModel(model=model, bare=model, tokenizer=tokenizer, device=torch.device("cpu"))

    return loaded


def prompts_of(chance: random.Random, vocabulary: int, room: int) -> list[TokenPrompt]:
    """Prompts of random tokens, some behind one header, each with a limit and stops of its own; one fills the room."""
    header = tuple(chance.choices(range(3, vocabulary), k=chance.choice((0, 0, 20))))
    drawn = []
    for number in range(chance.randint(3, 9)):
        tokens = (*header, *chance.choices(range(3, vocabulary), k=chance.randint(1, 30)))
        limit = room - len(tokens) if number == 0 else chance.randint(1, 16)
        stop = tuple(chance.sample(["\n", "e", "th", "a d", " "], k=chance.randint(0, 2)))
        request = Generate(prompt=str(tokens), stop=stop, max_tokens=limit, stop_at_once=chance.random() < 0.5)
        drawn.append(TokenPrompt(request=request, tokens=tokens))
    return drawn


def check(loaded: LoadedModel, seeds: range) -> None:
    for seed in seeds:
        chance = random.Random(seed)
        decoder = Decoder(model_adapter(loaded, WINDOW), BatchLimits(chance.choice((1, 2, 3, 8)), 4096))
        alone = Decoder(model_adapter(loaded, WINDOW), BatchLimits(1, 4096)).plain
        vocabulary = len(loaded.tokenizer)
        prompts = prompts_of(chance, vocabulary, WINDOW - loaded.lead.tokens)
        assert decoder._serves(), decoder.plain_because
        assert decoder.loop.rows(prompts) == [alone.rows([prompt])[0] for prompt in prompts]


@pytest.mark.parametrize("name", [*ZOO, *CONFIGS])
def test_the_texts_of_generate_row_by_row(name, make):
    check(make(name), range(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ZOO, *CONFIGS])
def test_the_texts_of_generate_for_many_draws(name, make):
    check(make(name), range(2, 40))


def test_a_header_is_read_once_and_changes_no_text(make):
    """Tokens fed: those of the header once, then the rest of each prompt."""
    loaded, chance = make("llama"), random.Random(0)
    header = tuple(chance.choices(range(3, 300), k=30))
    tokens = [(*header, *chance.choices(range(3, 300), k=5)) for _ in range(6)]
    prompts = [TokenPrompt(request=Generate(prompt=str(i), stop=(), max_tokens=1), tokens=row) for i, row in
               enumerate(tokens)]  # fmt: skip
    decoder = Decoder(model_adapter(loaded, WINDOW), BatchLimits(8, 4096))
    assert decoder._serves()
    fed = []
    hook = loaded.model.register_forward_pre_hook(
        lambda *given: fed.append(given[2]["input_ids"].numel()), with_kwargs=True
    )
    rows = decoder.loop.rows(prompts)
    hook.remove()
    assert fed == [30, 6 * 5]
    assert rows == [decoder.plain.rows([prompt])[0] for prompt in prompts]


def test_rows_that_end_give_their_places_up(make):
    """No pass feeds a row that has ended, so that rows × passes is what the answers are long."""
    loaded = make("gpt2")
    requests = [Generate(prompt=f"the cat {i}", stop=(), max_tokens=2 + 3 * (i % 4)) for i in range(12)]
    decoder = Decoder(model_adapter(loaded, WINDOW), BatchLimits(4, 4096))
    assert decoder._serves()
    fed = []
    hook = loaded.model.register_forward_pre_hook(
        lambda *given: fed.append(given[2]["input_ids"].shape), with_kwargs=True
    )
    answers = list(decoder.generate(requests))
    hook.remove()
    assert max(rows for rows, _ in fed) == 4
    steps = sum(rows for rows, width in fed if width == 1)
    assert steps == sum(answer.tokens - 1 for answer in answers)


def test_a_row_whose_logits_are_not_finite_spoils_no_row_that_takes_its_place(make):
    loaded = make("llama")
    chance = random.Random(1)
    rows = [tuple(chance.choices(range(3, 200), k=20 - i)) for i in range(6)]
    rows[0] = (*rows[0][:-1], 250)
    with torch.no_grad():
        loaded.model.model.embed_tokens.weight[250] = torch.nan
    prompts = [TokenPrompt(request=Generate(prompt=str(row), stop=(), max_tokens=9), tokens=row) for row in rows]
    decoder = Decoder(model_adapter(loaded, WINDOW), BatchLimits(2, 4096))
    answers, rows = decoder.endings.answer, decoder.loop.rows(prompts)
    assert not rows[0].finite
    assert [answers(prompt.request, row) for prompt, row in zip(prompts, rows, strict=True)] == [
        answers(prompt.request, decoder.plain.rows([prompt])[0]) for prompt in prompts
    ]


@pytest.mark.fault(12)
def test_a_row_at_which_the_model_fails_costs_no_other_its_answer(make):
    loaded = make("gpt2")
    requests = [Generate(prompt=f"the cat {word}", stop=(), max_tokens=5) for word in ("sat", "ran", "on", "a mat")]
    decoder = Decoder(model_adapter(loaded, WINDOW), BatchLimits(4, 4096))
    expected = {answer.request_id: answer for answer in decoder.generate(requests)}
    wrong = decoder.model.tokenizer.prompt(requests[2].prompt)[-1]

    def fail(_module, _args, inputs):
        if (inputs["input_ids"] == wrong).any() and inputs["input_ids"].shape[1] > 1:
            raise RuntimeError("it fails")

    hook = loaded.model.register_forward_pre_hook(fail, with_kwargs=True)
    answers = {answer.request_id: answer for answer in decoder.generate(requests)}
    hook.remove()
    failed = answers.pop(requests[2].id)
    assert failed.reason == "the model failed: RuntimeError: it fails"
    assert answers.items() <= expected.items() and len(answers) == 3
