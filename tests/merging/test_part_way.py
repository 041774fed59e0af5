"""Part of the way from a base to a candidate, against peft's own scaling of an adapter and numpy by hand."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from tiny_architectures import open_model
from tiny_models import adapter_config, by_peft, logits, lora, make_adapter

from evalharness.checkpoints.recognise import recognise
from evalharness.errors import EvalHarnessError
from evalharness.merging.part_way import ends_of, part_way

FILE, RECORD = "model.safetensors", {"repair": {"lambda": 0.25}}
KINDS = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "patterns": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
}


def scaled_by_peft(base, path, scale):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PeftModel.from_pretrained(open_model(base), str(path)).eval()
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            layer.scale_layer(scale)
    return logits(model)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_answers_as_peft_scales_it(kind, zoo, tmp_path):
    base, adapter = zoo["llama"], make_adapter(zoo["llama"], tmp_path / "adapter", lora(**KINDS[kind]))
    ends = ends_of(str(adapter), str(base))
    wanted = scaled_by_peft(base, adapter, 0.25)
    assert not torch.allclose(wanted, logits(open_model(base)), atol=1e-3)
    assert torch.allclose(by_peft(base, part_way(ends, 0.25, tmp_path / "a", RECORD)), wanted, atol=1e-5)
    assert torch.equal(by_peft(base, part_way(ends, 0.0, tmp_path / "none", RECORD)), logits(open_model(base)))
    assert torch.equal(by_peft(base, part_way(ends, 1.0, tmp_path / "all", RECORD)), by_peft(base, adapter))


def test_full_weights_are_interpolated_and_say_what_they_are(zoo, copy, edit_tensors, edit_json, tmp_path):
    model = copy("llama", "full")
    edit_tensors(model / FILE, lambda tensors: [value.mul_(1.25) for value in tensors.values()])
    edit_json(model / "training.json", base=str(zoo["llama"]), target_task="rte")
    ends = ends_of(str(model), None)
    out = part_way(ends, 0.75, tmp_path / "part", RECORD)
    base, trained, own = (load_file(path / FILE) for path in (zoo["llama"], model, out))
    for name, tensor in own.items():
        assert torch.allclose(tensor, base[name] + 0.75 * (trained[name] - base[name]), atol=1e-6)
    none = load_file(part_way(ends, 0.0, tmp_path / "none", RECORD) / FILE)
    assert all(torch.equal(none[name], base[name]) for name in none)
    result, facts = recognise(str(out)), json.loads((out / "merge.json").read_text())
    assert (result.base, result.target_task) == (zoo["llama"].resolve(), "rte")
    assert facts["repair"] == RECORD["repair"] and [each["weight"] for each in facts["parents"]] == [0.75]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (lambda: lora(use_dora=True), "DoRA's magnitudes"),
        (lambda: lora(modules_to_save=["lm_head"], target_modules=["q_proj"]), "modules trained whole"),
        (lambda: lora(bias="lora_only"), "biases"),
        (lambda: lora(target_modules=["q_proj"], trainable_token_indices=[40]), "trained tokens"),
        (lambda: lora(target_modules=["embed_tokens", "q_proj"]), "no factor"),  # peft saves the embeddings, too
        (lambda: adapter_config("IA3", "llama"), "no factor that could be scaled"),
        (lambda: adapter_config("PROMPT_TUNING", "llama"), "virtual tokens"),
    ],
)
def test_what_has_no_exact_path_is_refused(config, words, zoo, tmp_path):
    adapter = make_adapter(zoo["llama"], tmp_path / "adapter", config())
    with pytest.raises(EvalHarnessError, match=words) as error:
        ends_of(str(adapter), str(zoo["llama"]))
    assert error.value.exit_code == 2


def test_another_base_is_refused(zoo, copy, edit_json):
    model = copy("llama", "full")
    edit_json(model / "training.json", base=str(zoo["llama"]), base_weights="0" * 64)
    with pytest.raises(EvalHarnessError, match="another base"):
        ends_of(str(model), None)
    with pytest.raises(EvalHarnessError, match="architecture"):
        ends_of(str(copy("gpt2", "other")), str(zoo["llama"]))
