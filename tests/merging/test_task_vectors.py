"""Full weights of one base merged tensor by tensor, against numpy by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from merging.by_hand import merged_by_hand
from safetensors.torch import load_file
from tiny_architectures import open_model
from tiny_models import logits

from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.errors import EvalHarnessError
from evalharness.merging import task_vectors
from evalharness.merging.job import MergeJob
from evalharness.merging.merge import merge

NAME, FILE = "model.layers.0.mlp.up_proj.weight", "model.safetensors"


@pytest.fixture
def models(zoo, copy, edit_tensors, edit_json):
    """A base and two models trained from it, by name."""
    paths = {"base": zoo["llama"]}
    for name, seed in (("a", 1), ("b", 2)):
        paths[name], generator = copy("llama", name), torch.Generator().manual_seed(seed)
        edit_tensors(
            paths[name] / FILE,
            lambda all_, generator=generator: [
                value.add_(0.05 * torch.randn(value.shape, generator=generator)) for value in all_.values()
            ],
        )
        edit_json(paths[name] / "training.json", base=str(zoo["llama"]), target_task="rte")
    return paths


def merged(out, models, names="ab", **options):
    return merge(MergeJob(models=tuple(str(models[name]) for name in names), out=out, **options))


@pytest.mark.parametrize("method", ["linear", "magnitude_prune", "ties"])
def test_every_value_is_what_the_method_says(method, models, tmp_path):
    density = None if method == "linear" else 0.2
    weights = {"a": 0.7, "b": 0.4}
    facts = merged(tmp_path / "full", models, method=method, density=density, weights=weights)
    base, *parts = (load_file(models[name] / FILE)[NAME].numpy() for name in ("base", "a", "b"))
    wanted = base + merged_by_hand(method, [part - base for part in parts], list(weights.values()), density)
    assert np.abs(load_file(tmp_path / "full" / FILE)[NAME].numpy() - wanted).max() < 1e-6
    assert facts["target_task"] == "rte" and facts["dtype"] == "float32" and facts["lost"] == 0.0


def test_weights_alike_are_the_average_of_the_models(models, tmp_path):
    facts = merged(tmp_path / "full", models, method="linear")
    tensors = [load_file(models[name] / FILE) for name in "ab"]
    own = load_file(tmp_path / "full" / FILE)
    assert all(torch.allclose(own[name], (tensors[0][name] + tensors[1][name]) / 2, atol=1e-6) for name in own)
    assert [each["weight"] for each in facts["parents"]] == [0.5, 0.5]
    result = recognise(str(tmp_path / "full"))
    assert (result.kind, result.base, result.target_task) == ("full", models["base"].resolve(), "rte")


def test_dare_drops_by_the_seed_and_scales_what_stays(models, tmp_path):
    options = {"method": "dare_ties", "density": 0.25, "weights": {"a": 1.0}}
    for name, seed in (("one", 7), ("again", 7), ("other", 8)):
        facts = merged(tmp_path / name, models, "a", seed=seed, **options)
    one, again, other = (load_file(tmp_path / name / FILE)[NAME] for name in ("one", "again", "other"))
    base, trained = (load_file(models[name] / FILE)[NAME] for name in ("base", "a"))
    dropped = torch.isclose(one, base, atol=1e-7)
    assert torch.allclose(one[~dropped], (base + (trained - base) / 0.25)[~dropped], atol=1e-6)
    assert 0.7 < dropped.float().mean() < 0.8
    assert torch.equal(one, again) and not torch.equal(one, other) and facts["seed"] == 8


def test_part_of_the_way_from_the_base_in_shards_and_few_bits(models, tmp_path, monkeypatch):
    monkeypatch.setattr(task_vectors, "SHARD", 50_000)
    facts = merged(tmp_path / "full", models, "a", method="linear", weights={"a": 0.5}, dtype="bfloat16")
    index = json.loads((tmp_path / "full" / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2 and 0 < facts["lost"] < 0.2
    base, trained = (load_file(models[name] / FILE)[NAME] for name in ("base", "a"))
    own = load_file(tmp_path / "full" / index["weight_map"][NAME])[NAME]
    assert torch.equal(own, (base + 0.5 * (trained - base)).bfloat16())
    loaded = load(recognise(str(tmp_path / "full")), "float32", "cpu")
    assert torch.equal(logits(loaded.model), logits(open_model(tmp_path / "full").float()))


def test_a_tied_head_that_only_some_store_is_no_difference(zoo, copy, edit_tensors, edit_json, tmp_path):
    twice = copy("qwen3", "twice")
    edit_tensors(twice / FILE, lambda all_: all_.update({"lm_head.weight": all_["model.embed_tokens.weight"].clone()}))
    edit_json(twice / "training.json", base=str(zoo["qwen3"]))
    merged(tmp_path / "full", {"a": twice}, "a", method="linear")
    assert "lm_head.weight" not in load_file(tmp_path / "full" / FILE)


def test_what_cannot_be_merged_is_refused(models, zoo, copy, edit_json, edit_tensors, tmp_path):
    other, wide, trained_elsewhere = copy("gpt2", "other"), copy("llama", "wide"), copy("llama", "elsewhere")
    edit_json(other / "training.json", base=str(models["base"]))
    edit_json(wide / "training.json", base=str(models["base"]))
    edit_tensors(wide / FILE, lambda all_: all_.update({NAME: torch.zeros(98, 48)}))
    edit_json(trained_elsewhere / "training.json", base=str(models["base"]), base_weights="0" * 64)
    more = {**models, "o": other, "w": wide, "e": trained_elsewhere, "l": zoo["llama-lora"], "g": zoo["gpt2"]}
    for names, options, said in (
        ("ab", {}, "--method: full weights"),
        ("ab", {"method": "cat"}, "cat is for adapters"),
        ("ab", {"method": "linear", "into_base": True}, "--into-base"),
        ("ao", {"method": "linear"}, "another architecture"),
        ("aw", {"method": "linear"}, "1 tensors are not its base's"),
        ("ae", {"method": "linear"}, "another base"),
        ("al", {"method": "linear"}, "adapters and full weights"),
        ("ag", {"method": "linear"}, "name no base"),
    ):
        with pytest.raises(EvalHarnessError, match=said) as error:
            merged(tmp_path / "full", more, names, **options)
        assert error.value.exit_code == 2
    assert not list(tmp_path.glob("full*")) and not list(tmp_path.glob(".*"))
