"""Part of the way from a base to a candidate, against peft's own scaling of an adapter and numpy by hand."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from tiny_architectures import open_model
from tiny_models import adapter_config, by_peft, logits, lora, make_adapter

from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.errors import EvalHarnessError
from evalharness.merging.job import MergeJob
from evalharness.merging.merge import merge
from evalharness.merging.part_way import ends_of, part_way

TINY = Path(__file__).resolve().parent.parent.parent / "fixtures" / "models" / "tiny-base"  # of four layers

FILE, ADAPTER, RECORD = "model.safetensors", "adapter_model.safetensors", {"repair": {"lambda": 0.25}}
KINDS = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "patterns": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
}


def with_peft(base, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PeftModel.from_pretrained(open_model(base), str(path)).eval()


def scaled_by_peft(base, path, scales):
    """Logits of peft's own scaling: one scale, or one for each layer of the model."""
    model = with_peft(base, path)
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            layer.scale_layer(scales[int(name.split(".layers.")[1].split(".")[0])] if len(scales) > 1 else scales[0])
    return logits(model)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_answers_as_peft_scales_it(kind, zoo, tmp_path):
    base, adapter = zoo["llama"], make_adapter(zoo["llama"], tmp_path / "adapter", lora(**KINDS[kind]))
    ends = ends_of(str(adapter), str(base))
    wanted = scaled_by_peft(base, adapter, [0.25])
    assert not torch.allclose(wanted, logits(open_model(base)), atol=1e-3)
    assert torch.allclose(by_peft(base, part_way(ends, [0.25], tmp_path / "a", RECORD)), wanted, atol=1e-5)
    assert torch.equal(by_peft(base, part_way(ends, [0.0], tmp_path / "none", RECORD)), logits(open_model(base)))
    assert torch.equal(by_peft(base, part_way(ends, [1.0], tmp_path / "all", RECORD)), by_peft(base, adapter))


@pytest.mark.parametrize(
    ("kind", "scales"), [("plain", [0.75, 0.125]), ("rslora", [0.25]), ("patterns", [0.75, 0.125])]
)
def test_a_repaired_adapter_is_the_same_in_peft_alone_in_our_engine_and_merged(kind, scales, tmp_path, monkeypatch):
    adapter = make_adapter(TINY, tmp_path / "adapter", lora(lora_alpha=2, **KINDS[kind]))
    out = part_way(ends_of(str(adapter), str(TINY)), scales, tmp_path / "part", RECORD)
    each_layer = scales if len(scales) == 1 else [scales[0]] * 2 + [scales[1]] * 2
    wanted = scaled_by_peft(TINY, adapter, each_layer)
    assert not torch.allclose(wanted, logits(open_model(TINY)), atol=1e-2)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attached = by_peft(TINY, out)
        unloaded = logits(with_peft(TINY, out).merge_and_unload())
    merge(MergeJob(models=(str(out),), out=tmp_path / "merged", dtype="float32"))
    ours = load(recognise(str(out)), "float32", "cpu").model
    for own in (attached, unloaded, logits(ours), logits(open_model(tmp_path / "merged"))):
        assert (own - wanted).abs().max() < 1e-5 * max(1, float(wanted.abs().max()))


def test_an_adapter_at_the_ends_is_the_candidate_bit_for_bit_in_its_type(copy, zoo, edit_tensors, tmp_path):
    adapter = copy("llama-lora", "adapter")
    edit_tensors(adapter / ADAPTER, lambda all_: all_.update({k: v.bfloat16() for k, v in all_.items()}))
    ends, own = ends_of(str(adapter), None), load_file(adapter / ADAPTER)
    for name, scales in (("whole", [1.0]), ("blocks", [1.0, 1.0])):
        same = load_file(part_way(ends, scales, tmp_path / name, RECORD) / ADAPTER)
        assert all(same[key].dtype == own[key].dtype and torch.equal(same[key], own[key]) for key in own)
    none = load_file(part_way(ends, [0.0, 0.0], tmp_path / "none", RECORD) / ADAPTER)
    assert all(none[key].dtype == own[key].dtype and not (".lora_B." in key and none[key].any()) for key in own)
    between = load_file(part_way(ends, [1.0, 0.5], tmp_path / "between", RECORD) / ADAPTER)
    assert {tensor.dtype for tensor in between.values()} == {torch.float32}
    last = {key for key in own if ".layers.1." in key and ".lora_B." in key}
    assert last and all(torch.equal(between[key], own[key].float() * (0.5 if key in last else 1)) for key in own)


def test_full_weights_at_the_ends_are_those_of_the_files(zoo, copy, edit_tensors, edit_json, tmp_path):
    """A candidate of another type than its base: what lies between has the base's."""
    model = copy("llama", "full")
    edit_tensors(model / FILE, lambda all_: all_.update({k: (v * 1.1).bfloat16() for k, v in all_.items()}))
    edit_json(model / "config.json", dtype="bfloat16")
    edit_json(model / "training.json", base=str(zoo["llama"]))
    ends = ends_of(str(model), None)
    base, trained = load_file(zoo["llama"] / FILE), load_file(model / FILE)
    for count in (1, 2):
        for scale, wanted in ((0.0, base), (1.0, trained)):
            out = part_way(ends, [scale] * count, tmp_path / f"{count}-{scale}", RECORD)
            own = load_file(out / FILE)
            assert all(own[name].dtype == wanted[name].dtype and torch.equal(own[name], wanted[name]) for name in own)
            type_ = json.loads((out / "config.json").read_text()).get("dtype")
            assert type_ == ("bfloat16" if scale else json.loads((zoo["llama"] / "config.json").read_text())["dtype"])


def test_blocks_of_full_weights_have_their_own_scales(zoo, copy, edit_tensors, edit_json, tmp_path):
    model = copy("llama", "full")
    edit_tensors(model / FILE, lambda tensors: [value.mul_(1.25) for value in tensors.values()])
    edit_json(model / "training.json", base=str(zoo["llama"]))
    ends = ends_of(str(model), None)
    out = part_way(ends, [0.0, 0.5], tmp_path / "part", RECORD)
    base, trained, own = (load_file(path / FILE) for path in (zoo["llama"], model, out))
    for name, tensor in own.items():
        first = ".layers.0." in name or "embed" in name
        wanted = base[name] if first else base[name] + 0.5 * (trained[name] - base[name])
        assert torch.equal(tensor, base[name]) if first else torch.allclose(tensor, wanted, atol=1e-6)
    facts = json.loads((out / "merge.json").read_text())
    assert facts["blocks"] == [{"layers": "model.layers.0", "weight": 0.0}, {"layers": "model.layers.1", "weight": 0.5}]
    assert facts["parents"][0]["weight"] is None
    with pytest.raises(EvalHarnessError, match="3 blocks of 2 layers"):
        part_way(ends, [0.5] * 3, tmp_path / "three", RECORD)


@pytest.mark.parametrize("method", [None, "linear"])
def test_a_base_named_from_the_working_directory_is_found_from_anywhere(method, zoo, tmp_path, monkeypatch, edit_json):
    shutil.copytree(zoo["llama"], tmp_path / "here" / "base")
    shutil.copytree(zoo["llama-lora"], tmp_path / "here" / "out" / "adapter")
    monkeypatch.chdir(tmp_path / "here")
    edit_json(Path("out/adapter/adapter_config.json"), base_model_name_or_path="base")
    if method is None:
        out = part_way(ends_of("out/adapter", None), [0.5], Path("part"), RECORD)
    else:
        merge(MergeJob(models=("out/adapter",), out=(out := Path("linear")), method=method, weights={"adapter": 0.5}))
    out = out.resolve()
    monkeypatch.chdir(tmp_path)
    named = json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert Path(named) == (tmp_path / "here" / "base").resolve() == recognise(str(out)).base
    (out / "merge.json").unlink()
    assert recognise(str(out)).base == Path(named)


def test_full_weights_are_interpolated_and_say_what_they_are(zoo, copy, edit_tensors, edit_json, tmp_path):
    model = copy("llama", "full")
    edit_tensors(model / FILE, lambda tensors: [value.mul_(1.25) for value in tensors.values()])
    edit_json(model / "training.json", base=str(zoo["llama"]), target_task="rte")
    ends = ends_of(str(model), None)
    out = part_way(ends, [0.75], tmp_path / "part", RECORD)
    base, trained, own = (load_file(path / FILE) for path in (zoo["llama"], model, out))
    for name, tensor in own.items():
        assert torch.allclose(tensor, base[name] + 0.75 * (trained[name] - base[name]), atol=1e-6)
    none = load_file(part_way(ends, [0.0], tmp_path / "none", RECORD) / FILE)
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
