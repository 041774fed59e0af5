"""LoRA's arithmetic on the published example, and on adapters that peft saved, against what peft says is trainable."""

from __future__ import annotations

import warnings

import pytest
from peft import PeftConfig, get_peft_model
from tiny_architectures import open_model
from tiny_models import lora, make_adapter

from evalharness.checkpoints.files import TensorFacts
from evalharness.checkpoints.lora_sizes import in_short, lora_facts, lora_matrices, matrices_of
from evalharness.checkpoints.recognise import recognise

NAME = "base_model.model.model.layers.0.mlp.up_proj"


def tensor(*shape: int) -> TensorFacts:
    return TensorFacts(dtype="F32", shape=shape)


def test_the_published_example():
    """512 × 64 with r = 8 trains 4,608 values in place of 32,768, 86 % fewer."""
    stored = {f"{NAME}.lora_A.weight": tensor(8, 64), f"{NAME}.lora_B.weight": tensor(512, 8)}
    (matrix,) = matrices_of(stored, {"model.layers.0.mlp.up_proj.weight": tensor(512, 64)})
    assert str(matrix) == (
        "512 × 64 = 32,768 weights; r = 8: A 8 × 64 = 512, B 512 × 8 = 4,096, together 4,608, 86 % fewer"
    )
    assert in_short([matrix]) == "1 matrix of 32,768 weights; r = 8: 4,608 trained in their place, 86 % fewer"
    assert lora_facts([matrix]) == {
        "weights": 32_768,
        "trainable": 4_608,
        "fewer": 0.859375,
        "matrices": [
            {"module": NAME, "d": 512, "k": 64, "r": 8, "beside": 0, "in_base": (512, 64)}
            | {"weights": 32_768, "trainable": 4_608}
        ],
    }


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("dora", [False, True])
def test_all_that_is_trained_is_counted(architecture, dora, zoo, tmp_path):
    path = make_adapter(zoo[architecture], tmp_path / "lora", lora(use_dora=dora, target_modules="all-linear"))
    matrices = lora_matrices(recognise(str(path)))
    config = PeftConfig.from_pretrained(str(path))
    config.inference_mode = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = get_peft_model(open_model(zoo[architecture]), config)
    assert sum(each.trainable for each in matrices) == wrapped.get_nb_trainable_parameters()[0]
    assert all(each.in_base in ((each.d, each.k), (each.k, each.d)) for each in matrices)
    assert bool(matrices[0].beside) == dora


def test_embeddings_and_ranks_by_pattern(zoo, tmp_path):
    config = lora(target_modules=["embed_tokens", "q_proj"], rank_pattern={"q_proj": 30})
    path = make_adapter(zoo["llama"], tmp_path / "lora", config)
    matrices = lora_matrices(recognise(str(path)))
    assert {(each.d, each.r) for each in matrices} == {(48, 4), (48, 30)}
    assert "r = 4 to 30" in in_short(matrices) and str(matrices[-1]).endswith("25 % more")


def test_nothing_of_other_checkpoints(zoo):
    assert not lora_matrices(recognise(str(zoo["llama-IA3"]))) and not lora_matrices(recognise(str(zoo["llama"])))
