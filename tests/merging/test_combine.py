"""Several adapters made one, against sums, TIES and DARE computed by hand in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from merging.by_hand import merged_by_hand
from safetensors.numpy import load_file
from tiny_architectures import open_model
from tiny_models import adapter_config, by_peft, logits, lora, make_adapter

from evalharness.checkpoints.recognise import recognise
from evalharness.errors import EvalHarnessError
from evalharness.merging.job import MergeJob
from evalharness.merging.merge import merge

NAME = "base_model.model.model.layers.1.self_attn.q_proj.lora_{}.weight"
FILE = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def adapters(zoo, tmp_path_factory):
    """By name: two of one rank, one of another with rank-stabilised scaling, and kinds that peft does not combine."""
    root = tmp_path_factory.mktemp("adapters")
    config = {
        "a": lora(),
        "b": lora(lora_alpha=2, init_lora_weights="gaussian"),
        "stable": lora(r=9, use_rslora=True, target_modules=["q_proj"]),
        "dora": lora(use_dora=True, target_modules=["q_proj"]),
        "saved": lora(target_modules=["q_proj"], modules_to_save=["lm_head"]),
        "ia3": adapter_config("IA3", "llama"),
    }
    return {name: make_adapter(zoo["llama"], root / name, each) for name, each in config.items()}


def merged(out, adapters, *names, **options):
    return merge(MergeJob(models=tuple(f"{name}={adapters[name]}" for name in names), out=out, **options))


def update(path, scale):
    """What a LoRA adds to one matrix."""
    tensors = load_file(path / FILE)
    return scale * tensors[NAME.format("B")] @ tensors[NAME.format("A")]


def test_cat_adds_the_weighted_sum_whatever_ranks_targets_and_scaling(adapters, zoo, tmp_path):
    facts = merged(tmp_path / "one", adapters, "stable", "a", method="cat", weights={"a": 0.25, "stable": -0.5})
    wanted = 0.25 * update(adapters["a"], 8 / 4) - 0.5 * update(adapters["stable"], 8 / 9**0.5)
    assert np.abs(update(tmp_path / "one", 1.0) - wanted).max() < 1e-5
    assert facts["rank"] == 13 and facts["apart"] < 1e-6
    result = recognise(str(tmp_path / "one"))
    assert (result.kind, result.base, result.training) == (
        "lora",
        zoo["llama"].resolve(),
        {"method": "merge", "rank": 13},
    )


def test_svd_of_few_ranks_says_how_far_it_is_from_the_sum(adapters, tmp_path):
    facts = merged(tmp_path / "one", adapters, "a", "b", method="svd", rank=2)
    sums = 0.5 * update(adapters["a"], 2) + 0.5 * update(adapters["b"], 0.5)
    lost = np.linalg.svd(sums, compute_uv=False)[2:]
    own = np.linalg.norm(update(tmp_path / "one", 1.0) - sums)
    assert own == pytest.approx(np.linalg.norm(lost), rel=1e-4) and 0 < facts["apart"] < 1


@pytest.mark.parametrize("method", ["linear", "magnitude_prune", "ties"])
def test_a_and_b_are_combined_one_by_one(method, adapters, tmp_path):
    density = None if method == "linear" else 0.3
    merged(tmp_path / "one", adapters, "a", "b", method=method, density=density, weights={"a": 0.5, "b": 2.0})
    for matrix in "AB":
        parts = [load_file(adapters[name] / FILE)[NAME.format(matrix)] for name in "ab"]
        roots = [(0.5 * 2) ** 0.5, (2.0 * 0.5) ** 0.5]  # of weight × scaling, as A and B are multiplied
        own = load_file(tmp_path / "one" / FILE)[NAME.format(matrix)]
        assert np.abs(own - merged_by_hand(method, parts, roots, density)).max() < 1e-6


@pytest.mark.slow
def test_dare_is_drawn_by_the_seed(adapters, tmp_path):
    options = {"method": "dare_linear", "density": 0.5}
    for name, seed in (("one", 1), ("again", 1)):
        merged(tmp_path / name, adapters, "a", "b", seed=seed, **options)
    one, again = (load_file(tmp_path / name / FILE)[NAME.format("A")] for name in ("one", "again"))
    assert np.array_equal(one, again)


def test_several_go_into_the_base_in_one_step(adapters, zoo, tmp_path):
    merged(tmp_path / "one", adapters, "a", "b", method="cat")
    merged(tmp_path / "full", adapters, "a", "b", method="cat", into_base=True)
    full = logits(open_model(tmp_path / "full"))
    assert torch.allclose(full, by_peft(zoo["llama"], tmp_path / "one"), atol=1e-4)
    assert not (tmp_path / "full" / "adapter_config.json").exists()


def test_ia3_is_summed(adapters, copy, tmp_path, edit_tensors):
    other = copy("llama-IA3", "other")
    edit_tensors(other / FILE, lambda all_: all_.update({name: 2 * value for name, value in all_.items()}))
    merged(tmp_path / "one", {**adapters, "c": other}, "ia3", "c", method="linear", weights={"ia3": 1.0, "c": 0.5})
    one, first, second = (load_file(path / FILE) for path in (tmp_path / "one", adapters["ia3"], other))
    assert all(np.allclose(one[name], first[name] + 0.5 * second[name]) for name in one)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("a", "b"), {}, "--method: several"),
        (("a",), {"weights": {"a": 0.5}}, "--weight"),
        (("a",), {"method": "ties", "density": 0.5}, "ties takes several"),
        (("a", "b"), {"method": "cat", "weights": {"c": 1.0}}, "--weight c: no such"),
        (("a", "stable"), {"method": "linear"}, "one rank, and a has 4, stable has 9"),
        (("a", "dora"), {"method": "cat"}, "DoRA"),
        (("a", "saved"), {"method": "cat"}, "trained whole"),
        (("a", "ia3"), {"method": "cat"}, "IA3 and LORA"),
        (("a", "b"), {"method": "ties"}, "--density: ties keeps"),
        (("a", "b"), {"method": "cat", "density": 0.5}, "--density"),
        (("a", "b"), {"method": "ties", "density": 1.5}, "--density"),
        (("a", "b"), {"method": "cat", "rank": 3}, "--rank"),
        (("a", "b"), {"method": "svd", "rank": 0}, "--rank: 0; a whole number above zero"),
        (("a", "b"), {"method": "mean"}, "no method 'mean'"),
    ],
)
def test_what_peft_cannot_combine_is_refused(names, options, message, adapters, tmp_path):
    with pytest.raises(EvalHarnessError, match=message) as error:
        merged(tmp_path / "one", adapters, *names, **options)
    assert error.value.exit_code == 2 and not list(tmp_path.iterdir())


def test_adapters_of_two_bases_are_refused(adapters, zoo, tmp_path):
    with pytest.raises(EvalHarnessError, match="merge checkpoints of one base"):
        merged(tmp_path / "one", {**adapters, "other": zoo["qwen3-lora"]}, "a", "other", method="cat")
