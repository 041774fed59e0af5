"""Forecasts of memory against torch's own record of what a real pass allocates, closed forms, and published figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from transformers import AutoConfig, AutoModelForCausalLM

from evalharness.checkpoints.libraries import quiet
from evalharness.errors import ModelError, UsageError
from evalharness.paths import shipped
from evalharness.records.models import Method
from evalharness.training.memory import MemoryForecast, recipes, row_shape
from evalharness.training.memory_trace import forecast

LLAMA_65B = shipped("fixtures") / "configs" / "llama-65b"  # Touvron et al. 2023, table 2, and its published config.json
SMALL = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 160,
    "vocab_size": 500,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
T5 = {
    "model_type": "t5",
    "is_encoder_decoder": True,
    "d_model": 64,
    "d_ff": 128,
    "d_kv": 16,
    "num_layers": 2,
    "num_heads": 4,
    "vocab_size": 500,
    "decoder_start_token_id": 0,
    "pad_token_id": 0,
    "dtype": "float32",
}


def base(folder: Path, config: dict[str, object]) -> str:
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def told(path: str, method: str, length: int = 96, answer: int | None = None, **options: object) -> MemoryForecast:
    held = options.pop("held", "float32")
    (recipe,) = recipes([method], {"base": path, "batch_size": 4, **options})
    return forecast(recipe, row_shape(path, length, answer, held))  # type: ignore[arg-type]


def test_the_peak_is_what_torch_records_of_a_real_step(tmp_path: Path) -> None:
    path = base(tmp_path, SMALL)
    with quiet():
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path), dtype=torch.float32)
    ids = torch.zeros(4, 96, dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[0, 90:] = 0  # a padded batch has a mask of rows × length × length
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.flatten(0, 1).float()
        loss = torch.nn.functional.cross_entropy(logits, ids.flatten(), reduction="sum")
        del logits
        loss.backward()  # type: ignore[no-untyped-call]
    events = [each for each in record.profiler.kineto_results.events() if each.name() == "[memory]"]  # type: ignore[union-attr]
    live = peak = 0
    for event in sorted(events, key=lambda each: each.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    one = told(path, "full")
    assert one.peak - one.weights - one.optimiser == pytest.approx(peak, rel=0.02)
    assert one.gradients <= live <= 1.02 * one.gradients + 8


def test_what_is_held_by_each_method(tmp_path: Path) -> None:
    path = base(tmp_path, SMALL)
    attention = 64 * 64 + 2 * 64 * 32 + 64 * 64
    whole = 500 * 64 + 2 * (attention + 3 * 64 * 160 + 2 * 64) + 64  # the head is the embeddings
    full = told(path, "full")
    assert (full.parameters, full.trainable, full.adapter) == (whole, whole, 0)
    assert (full.gradients, full.optimiser, full.disk) == (4 * whole, 8 * whole, 2 * whole)
    assert full.weights == pytest.approx(4 * whole, rel=1e-3)
    lora = told(path, "lora", rank=4, targets=("q_proj", "v_proj"))
    updates = 2 * 4 * ((64 + 64) + (64 + 32))
    assert (lora.trainable, lora.parameters) == (updates, whole + updates)
    assert (lora.adapter, lora.gradients, lora.optimiser, lora.disk) == tuple(n * updates for n in (4, 4, 8, 4))
    prompt = told(path, "prompt", virtual_tokens=7)
    assert (prompt.trainable, prompt.disk) == (7 * 64, 4 * 7 * 64)
    network = told(path, "p-tuning", virtual_tokens=7)
    assert network.disk == prompt.disk < 4 * network.trainable
    linear = 2 * (attention + 3 * 64 * 160)
    qlora = told(path, "qlora", rank=4)
    assert qlora.weights == pytest.approx(4 * (whole - linear) + linear * (0.5 + 1 / 64 + 1 / 4096), rel=1e-3)


def test_what_lowers_and_what_raises_the_peak(tmp_path: Path) -> None:
    path = base(tmp_path, SMALL)
    full = told(path, "full")
    assert told(path, "full", gradient_checkpointing=True).activations < 0.7 * full.activations
    assert told(path, "full", answer=8).activations < full.activations
    accumulated = told(path, "full", gradient_accumulation=4)
    assert accumulated.peak == full.weights + full.gradients + full.optimiser + full.activations >= full.peak
    half = told(path, "full", held="bfloat16")
    assert (half.gradients, half.optimiser) == (full.gradients / 2, full.optimiser)
    mixed = told(path, "full", dtype="bfloat16")
    assert (mixed.weights, mixed.gradients) == (full.weights, full.gradients) and mixed.activations != full.activations


@pytest.mark.parametrize(
    "method",
    (
        Method.FULL,
        Method.QLORA,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (Method.PREFIX, Method.LAYERS)),
    ),
)
def test_encoder_decoder_models_too(tmp_path: Path, method: Method) -> None:
    own = {"parameters": ("*.1.*",)} if method == Method.LAYERS else {}
    one = told(base(tmp_path, T5), method, answer=16, **own)
    assert 0 < one.trainable <= one.parameters and one.peak > one.weights + one.adapter + one.optimiser
    assert one.disk > 0 and one.activations > 4 * 16 * 500 * 4


def test_what_cannot_be_forecast_is_said(tmp_path: Path) -> None:
    path = base(tmp_path, SMALL)
    for arguments, what in (
        ({"method": "full", "rank": 4}, "--rank: is no option of full"),
        ({"method": "full", "length": 129}, "--max-length: 129 tokens, and the base has a window of 128"),
        ({"method": "full", "answer": 97}, "--answer-tokens: 97 of rows of 96 tokens"),
        ({"method": "bitfit"}, "has no biases"),
        ({"method": "lora", "targets": ("nothing",)}, "nothing"),
    ):
        with pytest.raises(UsageError, match=what):
            told(path, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="foreign"):
        told(base(tmp_path, {"model_type": "foreign"}), "full")


@pytest.mark.slow
def test_published_65_billion_parameters() -> None:
    """Dettmers et al. 2023 (QLoRA): a full training of LLaMA-65B in 16 bits takes over 780 GB, qlora below 48."""
    path = str(LLAMA_65B)
    (recipe,) = recipes(["full"], {"base": path, "batch_size": 1})
    full = forecast(recipe, row_shape(path, 512, None, "bfloat16"))
    assert full.parameters == pytest.approx(65.2e9, rel=0.002)
    assert full.weights + full.gradients + full.optimiser == pytest.approx(12 * full.parameters, rel=1e-3)
    assert full.peak > 780e9
    (recipe,) = recipes(["qlora"], {"base": path, "batch_size": 1, "gradient_checkpointing": True})
    assert forecast(recipe, row_shape(path, 512, None)).peak < 48e9
