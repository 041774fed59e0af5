"""The engine as the pipeline sees it: described without weights, refused early, logits by both paths, and proved."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from slow_cases import quick_ones
from transformers import AutoModelForCausalLM

from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.engines.adapter_check import prove
from evalharness.engines.hf.factory import FACTORY
from evalharness.errors import ModelError, UsageError
from evalharness.records.models import EngineSettings

ALL = [f"{architecture}{kind}" for architecture in ("llama", "gpt2", "qwen3") for kind in ("", "-lora", "-prompt")]
QUICK = ("llama", "gpt2-lora", "qwen3-prompt")  # every architecture, and every kind
PROMPTS = ["the cat sat on a mat and a dog ran over", "Question : what is it ?", "yes"]
CPU = EngineSettings(device="cpu")


@pytest.mark.parametrize("name", ["llama", "gpt2-lora", "qwen3-prompt"])
def test_described_as_it_is_opened_and_without_weights(name, zoo, tmp_path):
    checkpoint = recognise(str(zoo[name]))
    engine = FACTORY.open(checkpoint, CPU)
    assert engine.info == FACTORY.describe(checkpoint, CPU)
    assert engine._loaded.model.config._attn_implementation == engine.info.details["attention"]
    assert set(engine.info.details) >= {
        "algorithm",
        "device",
        "dtype",
        "batch_size",
        "batch_tokens",
        "threads",
        "torch",
        "transformers",
        "tokenizers",
        "peft",
    }
    base = shutil.copytree(zoo[name.partition("-")[0]], tmp_path / "bare")
    bare = recognise(str(base))
    (base / "model.safetensors").unlink()
    assert FACTORY.describe(bare, CPU).fingerprint == engine.info.fingerprint
    assert FACTORY.token_counter(bare)("the cat") > 0


@pytest.mark.parametrize("setting", [{"batch_size": 4}, {"batch_tokens": 64}, {"dtype": "bfloat16"}])
def test_what_can_move_a_number_is_in_the_fingerprint(setting, zoo):
    checkpoint = recognise(str(zoo["llama"]))
    assert (
        FACTORY.describe(checkpoint, EngineSettings(device="cpu", **setting)).fingerprint
        != FACTORY.describe(checkpoint, CPU).fingerprint
    )


@pytest.mark.parametrize(
    "setting", [{"dtype": "float16"}, {"dtype": "int8"}, {"device": "tpu"}, {"device": "cuda:99"}, {"batch_size": 0}]
)
def test_settings_that_cannot_be_had(setting, zoo):
    with pytest.raises(UsageError, match="--"):
        FACTORY.describe(recognise(str(zoo["llama"])), EngineSettings(**{"device": "cpu", **setting}))


def test_token_counter_counts_what_the_model_reads(zoo):
    checkpoint = recognise(str(zoo["llama-lora"]))
    assert FACTORY.token_counter(checkpoint)("the cat") == len(
        FACTORY.open(checkpoint, CPU)._loaded.tokenizer("the cat")["input_ids"]
    )


@pytest.mark.parametrize("name", quick_ones(ALL, QUICK))
def test_both_paths_agree_and_off_is_the_base(name, engine, zoo):
    """Scoring and decoding give the same logits; with the adapter off they are the base's own, by a plain forward of
    one row.
    """
    ours = engine(name)
    score, decode = (ours.next_token_logits(PROMPTS, adapter=True, path=path) for path in ("score", "decode"))
    assert np.abs(score - decode).max() < 1e-4
    base = AutoModelForCausalLM.from_pretrained(zoo[name.partition("-")[0]])
    for path in ("score", "decode"):
        for prompt, logits in zip(PROMPTS, ours.next_token_logits(PROMPTS, adapter=False, path=path), strict=True):
            with torch.inference_mode():
                expected = base(torch.tensor([ours._loaded.tokenizer(prompt)["input_ids"]])).logits[0, -1].numpy()
            assert np.abs(logits - expected).max() < 1e-4


@pytest.mark.parametrize("name", quick_ones(ALL, QUICK))
def test_proved(name, engine, zoo):
    proof = prove(engine(name), recognise(str(zoo[name])), PROMPTS, allow_noop=False)
    assert (proof.scoring > 0.1 and proof.decoding > 0.1) == ("-" in name)
    assert 0 < proof.padding < 1e-3


def test_an_untrained_lora_is_refused_unless_allowed(engine, tiny, zoo, tmp_path):
    """peft starts with B = 0: the adapter is there and changes nothing."""
    path = tiny.make_adapter(zoo["qwen3"], tmp_path / "step-0", tiny.lora(), trained=False)
    checkpoint, opened = recognise(str(path)), engine(path)
    with pytest.raises(ModelError, match="changes no logit in scoring"):
        prove(opened, checkpoint, PROMPTS, allow_noop=False)
    proof = prove(opened, checkpoint, PROMPTS, allow_noop=True)
    assert (proof.scoring, proof.decoding) == (0.0, 0.0)


@pytest.mark.parametrize("name", ["llama", "gpt2-lora", "qwen3-prompt"])
def test_bfloat16_answers_near_float32(name, engine, zoo, ask, rankings, generations):
    half = engine(name, dtype="bfloat16")
    full = ask(engine(name), rankings)
    for a, b in zip(ask(half, rankings), full, strict=True):
        assert np.allclose(a.logprobs, b.logprobs, rtol=0.15, atol=2.0)
    assert len(ask(half, generations)) == len(generations)
    prove(half, recognise(str(zoo[name])), PROMPTS, allow_noop=False)


def test_weights_stored_in_float16_are_cast(zoo, engine, tmp_path, ask, rankings):
    """A float16 checkpoint answers in float32 on a CPU, with the values that were stored."""
    folder = shutil.copytree(zoo["llama"], tmp_path / "half")
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16).save_pretrained(folder)
    ours = engine(folder)
    assert ours._loaded.model.dtype == torch.float32
    assert np.allclose(ask(ours, rankings)[0].logprobs, ask(engine("llama"), rankings)[0].logprobs, rtol=0.02)


def test_closed(engine):
    ours = engine("llama")
    ours.close()
    ours.close()
    assert ours._loaded is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", quick_ones(ALL, QUICK))
def test_cuda_equals_cpu(name, engine, ask, rankings, generations):
    cpu, cuda = engine(name), engine(name, device="cuda")
    for a, b in zip(ask(cpu, rankings), ask(cuda, rankings), strict=True):
        assert np.allclose(a.logprobs, b.logprobs, rtol=1e-5, atol=1e-3)
    same = [a.text == b.text for a, b in zip(ask(cpu, generations), ask(cuda, generations), strict=True)]
    assert sum(same) >= len(same) - 1  # a near tie may fall the other way


def test_counters_of_equal_tokenizers_are_equal(zoo):
    count = {name: FACTORY.token_counter(recognise(str(zoo[name]))) for name in ("llama", "llama-lora", "gpt2")}
    assert count["llama"] == count["llama-lora"]
    assert len({count["llama"], count["llama-lora"], count["gpt2"]}) == 2
    assert count["llama"]("the cat sat") == count["llama-lora"]("the cat sat") > 3


def test_files_that_change_after_they_were_recognised_are_refused(copy, zoo) -> None:
    lora = copy("llama-lora")
    checkpoint = recognise(str(lora), base=str(zoo["llama"]))
    tensors = load_file(lora / "adapter_model.safetensors")
    save_file(
        {name: tensor * 2 for name, tensor in tensors.items()},
        lora / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(ModelError, match="its files changed after they were read"):
        FACTORY.open(checkpoint, CPU)
    FACTORY.open(recognise(str(lora), base=str(zoo["llama"])), CPU).close()


def test_whatever_attention_a_config_asks_for_ours_answers(copy, edit_json, ask, rankings, zoo) -> None:
    folder = copy("llama")
    edit_json(folder / "config.json", attn_implementation="flash_attention_2", _attn_implementation="flash_attention_2")
    checkpoint = recognise(str(folder))
    verify(checkpoint)
    engine, plain = FACTORY.open(checkpoint, CPU), FACTORY.open(recognise(str(zoo["llama"])), CPU)
    assert engine.info.fingerprint == plain.info.fingerprint
    assert ask(engine, rankings[:2]) == ask(plain, rankings[:2])


def test_an_engine_says_what_it_answers_plainly_and_why(engine, zoo, tmp_path):
    """A rule of decoding that our own loop does not follow, and layers that count places in the row."""
    ruled = shutil.copytree(zoo["llama"], tmp_path / "ruled")
    rules = json.loads((ruled / "generation_config.json").read_text())
    (ruled / "generation_config.json").write_text(json.dumps({**rules, "repetition_penalty": 1.2}))
    for place, said in ((zoo["llama"], ""), (ruled, "writing (its generation config states repetition_penalty)")):
        opened = engine(place)
        for path in ("score", "decode"):
            opened.next_token_logits(["the cat sat", "the dog"], adapter=True, path=path)
        assert opened.plain_because == said
        opened.close()
