"""An adapter merged into its base against peft's own forward pass with the adapter; and what cannot be merged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_architectures import open_model
from tiny_models import adapter_config, by_peft, logits, lora, make_adapter

from evalharness.checkpoints.recognise import recognise
from evalharness.errors import EvalHarnessError
from evalharness.merging.job import MergeJob
from evalharness.merging.merge import merge

TINY = Path(__file__).resolve().parent.parent.parent / "fixtures" / "models" / "tiny-base"


def merged(out, *models, **options):
    return merge(MergeJob(models=tuple(map(str, models)), out=out, **options))


@pytest.mark.parametrize("kind", ["LORA", "IA3"])
def test_merged_weights_answer_as_peft_with_the_adapter(kind, tmp_path):
    config = lora(lora_alpha=1) if kind == "LORA" else adapter_config("IA3", "llama")
    adapter = make_adapter(TINY, tmp_path / "adapter", config)
    facts = merged(tmp_path / "full", adapter, dtype="float32")
    wanted, own = by_peft(TINY, adapter), logits(open_model(tmp_path / "full"))
    assert (own - wanted).abs().max() < 1e-5 * max(1, float(wanted.abs().max()))
    assert (own - logits(open_model(TINY))).abs().max() > 1e-2
    assert facts["merged"]["largest"] <= facts["tolerance"] == facts["merged"]["allowed"] < 0.01
    assert facts["rounded"] is None and facts["merged"]["positions"] > 20


def test_the_result_is_a_whole_candidate_that_knows_its_base_and_parent(zoo, tmp_path):
    merged(tmp_path / "full", zoo["llama-lora"])
    result = recognise(str(tmp_path / "full"))
    assert (result.kind, result.base, result.adapter) == ("full", zoo["llama"].resolve(), "")
    assert result.training == {"method": "merge"}
    for name in ("generation_config.json", "tokenizer.json"):
        assert (tmp_path / "full" / name).read_bytes() == (zoo["llama"] / name).read_bytes()
    record = json.loads((tmp_path / "full" / "merge.json").read_text())
    assert record["parents"][0]["fingerprint"] == recognise(str(zoo["llama-lora"])).fingerprint
    assert (tmp_path / "full" / record["base"]).resolve() == zoo["llama"].resolve()
    assert not list(tmp_path.glob(".*"))


def test_fewer_bits_say_what_they_lose(copy, edit_tensors, edit_json, tmp_path):
    """The type of the base's files is the default."""
    base = copy("qwen3", "base")
    edit_tensors(base / "model.safetensors", lambda all_: all_.update({k: v.bfloat16() for k, v in all_.items()}))
    edit_json(base / "config.json", dtype="bfloat16")
    facts = merged(tmp_path / "full", make_adapter(base, tmp_path / "adapter", lora()))
    assert facts["dtype"] == "bfloat16" and facts["rounded"]["largest"] > facts["tolerance"]
    saved, before = load_file(tmp_path / "full" / "model.safetensors"), load_file(base / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}
    assert torch.equal(saved["model.norm.weight"], before["model.norm.weight"])


@pytest.mark.slow
def test_an_encoder_decoder_model(zoo, tmp_path):
    merged(tmp_path / "full", zoo["bart-lora"])
    wanted = by_peft(zoo["bart"], zoo["bart-lora"])
    assert torch.allclose(logits(open_model(tmp_path / "full")), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("llama-prompt", "virtual tokens"),
        ("t5-PREFIX_TUNING", "virtual tokens"),
        ("llama", "name no base"),
        ("llama-POLY#1", "cannot merge"),
    ],
)
def test_what_has_no_weights_to_merge_is_refused(name, message, zoo, tmp_path):
    place, _, task = name.partition("#")
    with pytest.raises(EvalHarnessError, match=message) as error:
        merged(tmp_path / "full", f"{zoo[place]}{task and '#' + task}")
    assert error.value.exit_code == 2 and not list(tmp_path.iterdir())


def test_what_is_refused_by_its_files(zoo, copy, edit_json, tmp_path):
    with pytest.raises(EvalHarnessError, match="exists already"):
        merged(tmp_path, zoo["llama-lora"])
    tied = make_adapter(zoo["qwen3"], tmp_path / "tied", lora(target_modules=["embed_tokens", "q_proj"]))
    with pytest.raises(EvalHarnessError, match="tied embeddings"):
        merged(tmp_path / "full", tied)
    quantised = copy("llama-lora", "quantised")
    edit_json(quantised / "training.json", precision="nf4")
    with pytest.raises(EvalHarnessError, match="quantised"):
        merged(tmp_path / "full", quantised)
    assert {path.name for path in tmp_path.iterdir()} == {"tied", "quantised"}


def test_what_was_left_by_a_kill_is_replaced(zoo, tmp_path):
    left = tmp_path / ".full.unfinished" / "candidate"
    left.mkdir(parents=True)
    (left / "stray").write_text("")
    merged(tmp_path / "full", zoo["gpt2-lora"])
    assert not (tmp_path / "full" / "stray").exists() and not left.parent.exists()
