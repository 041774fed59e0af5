"""Layers in consecutive blocks, by the names that transformers and peft give tensors."""

from __future__ import annotations

import pytest

from evalharness.checkpoints import files
from evalharness.errors import UsageError
from evalharness.merging.blocks import LayerBlocks

LAYER = "self_attn.q_proj.weight"


def test_five_layers_in_two_blocks() -> None:
    names = [*(f"model.layers.{number}.{LAYER}" for number in range(5)), "model.embed_tokens.weight", "lm_head.weight"]
    blocks = LayerBlocks(names, 2)
    assert [blocks.block_of(name) for name in names] == [0, 0, 0, 1, 1, 0, 1]
    assert blocks.block_of("model.norm.weight") == 1
    assert blocks.layer_names() == ("model.layers.0–2", "model.layers.3–4")
    assert (
        LayerBlocks(names, 5).layer_names()[4] == "model.layers.4"
        and LayerBlocks(["lm_head.weight"], 1).block_of("lm_head.weight") == 0
    )


def test_ten_layers_are_in_the_order_of_their_numbers() -> None:
    blocks = LayerBlocks([f"transformer.h.{number}.mlp.c_fc.weight" for number in range(12)], 3)
    assert [blocks.block_of(f"transformer.h.{number}.ln_1.weight") for number in (0, 3, 4, 9, 11)] == [0, 0, 1, 2, 2]


def test_an_adapter_divides_what_it_has() -> None:
    names = [f"base_model.model.model.layers.{number}.{LAYER}" for number in (6, 7)]
    assert [LayerBlocks(names, 2).block_of(name) for name in names] == [0, 1]
    for count in (0, 3):
        with pytest.raises(UsageError, match=f"{count} blocks of 2 layers"):
            LayerBlocks(names, count)


@pytest.mark.parametrize("name", ["bart", "t5"])
def test_the_encoder_is_before_the_decoder(name, zoo) -> None:
    names = files.all_tensors(files.weight_files(zoo[name]))
    blocks = LayerBlocks(names, 2)
    sides = {
        blocks.block_of(each): side for side in ("encoder", "decoder") for each in names if f"{side}." in each and LAYER
    }
    assert sides.keys() == {0, 1}
    layers = [each for each in names if ".layers." in each or ".block." in each]
    assert all(blocks.block_of(each) == ("decoder." in each) for each in layers)
    assert blocks.block_of("model.shared.weight") == blocks.block_of("shared.weight") == 0
