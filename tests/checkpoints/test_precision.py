"""Quantised weights: named, counted and checked by their files; what is quantised on loading is another model;
references beside a base.
"""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from evalharness.checkpoints import fingerprint
from evalharness.checkpoints.derived import at_precision, placebo_of, unquantised_of
from evalharness.checkpoints.precision import precision_of, quantisation_differences
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.errors import ModelError

BNB = {"quant_method": "bitsandbytes"}
NF4 = {**BNB, "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}


def pack(tensors, kind):
    """The names, types and shapes that bitsandbytes writes; the values do not matter here."""
    for name in [name for name in tensors if "_proj.weight" in name]:
        shape = tensors[name].shape
        if kind == "int8":
            tensors[name] = torch.zeros(shape, dtype=torch.int8)
            tensors[name.removesuffix("weight") + "SCB"] = torch.ones(shape[0])
            tensors[name + "_format"] = torch.tensor(0, dtype=torch.uint8)
            continue
        tensors[name] = torch.zeros(shape.numel() // 2, 1, dtype=torch.uint8)
        tensors[f"{name}.absmax"] = torch.ones(shape.numel() // 64)
        tensors[f"{name}.quant_map"] = torch.linspace(-1, 1, 16)
        tensors[f"{name}.quant_state.bitsandbytes__{kind}"] = torch.zeros(80, dtype=torch.uint8)


@pytest.fixture
def quantised(copy, edit_json, edit_tensors):
    def make(kind):
        folder = copy("llama", kind)
        stated = {**BNB, "load_in_8bit": True} if kind == "int8" else {**NF4, "bnb_4bit_quant_type": kind}
        edit_json(folder / "config.json", quantization_config=stated)
        edit_tensors(folder / "model.safetensors", lambda tensors: pack(tensors, kind))
        return folder

    return make


@pytest.mark.parametrize("kind", ["nf4", "fp4", "int8"])
def test_bitsandbytes(kind, quantised, zoo, copy, edit_json):
    folder, plain = quantised(kind), recognise(str(zoo["llama"]))
    checkpoint = recognise(str(folder))
    assert (checkpoint.precision, checkpoint.kind, checkpoint.parameters) == (kind, "full", plain.parameters)
    assert verify(checkpoint) == ()
    adapter = copy("llama-lora")
    edit_json(adapter / "training.json", base=str(folder), precision="nf4")  # the base's own files win
    checkpoint = recognise(str(adapter))
    assert checkpoint.precision == kind and checkpoint.parameters > plain.parameters
    assert verify(checkpoint) == ()


@pytest.mark.parametrize(
    ("kind", "gone", "words"),
    [
        (
            "nf4",
            "model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4",
            "no quantisation state for model.layers.0.mlp.up_proj.weight",
        ),
        (
            "nf4",
            "model.layers.0.mlp.up_proj.weight.absmax",
            "no quantisation state for model.layers.0.mlp.up_proj.weight",
        ),
        ("nf4", "model.layers.1.self_attn.q_proj.weight", "missing model.layers.1.self_attn.q_proj.weight"),
        ("int8", "model.layers.0.mlp.up_proj.SCB", r"no scales \(SCB\) for model.layers.0.mlp.up_proj.weight"),
        ("int8", "model.norm.weight", "missing model.norm.weight"),
    ],
)
def test_quantised_weights_that_are_incomplete(kind, gone, words, quantised, edit_tensors):
    folder = quantised(kind)
    edit_tensors(folder / "model.safetensors", lambda tensors: tensors.pop(gone))
    with pytest.raises(ModelError, match=words):
        verify(recognise(str(folder)))


def test_quantised_weights_that_do_not_fit(quantised, edit_tensors):
    folder, name = quantised("nf4"), "model.layers.0.mlp.up_proj.weight"
    edit_tensors(
        folder / "model.safetensors", lambda tensors: tensors.update({name: tensors[name][:-9], "extra": torch.ones(1)})
    )
    with pytest.raises(ModelError, match=rf"unexpected extra; wrong size {name}: \d+ values where 4608 belong"):
        verify(recognise(str(folder)))
    scales = f"{name}.absmax"
    folder = quantised("fp4")
    edit_tensors(folder / "model.safetensors", lambda tensors: tensors[scales].fill_(torch.nan))
    with pytest.raises(ModelError, match=f"NaN or infinite values in {scales}"):
        verify(recognise(str(folder)))


@pytest.mark.parametrize(
    ("stated", "packed", "values"),
    [
        (
            {"quant_method": "gptq", "bits": 4},
            {"x.qweight": (torch.int32, (6, 96)), "x.qzeros": (torch.int32, (1, 12))},
            48 * 96,
        ),
        (
            {"quant_method": "gptq", "bits": 8},
            {"x.qweight": (torch.int32, (12, 96)), "x.scales": (torch.float16, (1, 96))},
            48 * 96,
        ),
        (
            {"quant_method": "awq", "w_bit": 4},
            {"x.qweight": (torch.int32, (48, 12)), "x.scales": (torch.float16, (1, 96))},
            48 * 96,
        ),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"num_bits": 8}}}},
            {
                "x.weight_packed": (torch.int32, (96, 12)),
                "x.weight_scale": (torch.float16, (96, 1)),
                "x.weight_shape": (torch.int64, (2,)),
            },
            48 * 96,
        ),
        (
            {"quant_method": "mxfp4"},
            {"x_blocks": (torch.uint8, (2, 96, 3, 16)), "x_scales": (torch.uint8, (2, 96, 3))},
            2 * 96 * 96,
        ),
        (
            {"quant_method": "fp8"},
            {"x.weight": (torch.float8_e4m3fn, (96, 48)), "x.weight_scale_inv": (torch.float32, (1, 1))},
            48 * 96,
        ),
    ],
)
def test_other_methods_are_named_and_counted(stated, packed, values, copy, edit_json):
    folder = copy("llama")
    edit_json(folder / "config.json", quantization_config=stated)
    tensors = {name: torch.zeros(shape).to(dtype) for name, (dtype, shape) in packed.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    checkpoint = recognise(str(folder))
    assert (checkpoint.precision, checkpoint.parameters) == (stated["quant_method"], values)
    (notice,) = verify(checkpoint)
    assert "whether each tensor fits shows when they are loaded" in notice


def test_older_configurations_name_no_method(tmp_path):
    assert precision_of(tmp_path, {"quantization_config": {"load_in_8bit": True}}) == "int8"
    assert precision_of(tmp_path, {"quantization_config": {"load_in_4bit": True}}) == "fp4"  # bitsandbytes' default


# ---- on loading ------------------------------------------------------------------------------------------------------


def test_quantised_on_loading_is_another_model(zoo):
    base = recognise(str(zoo["llama"]), role="base")
    loaded_as = {
        precision: at_precision(recognise(str(zoo["llama"]), role="base"), precision)
        for precision in ("", "nf4", "fp4", "int8")
    }
    assert loaded_as[""] == base
    assert len({one.fingerprint for one in loaded_as.values()}) == 4
    assert loaded_as["nf4"].fingerprint == fingerprint.of_quantised(base.fingerprint, "nf4")
    assert loaded_as["nf4"].precision == "nf4" and loaded_as["nf4"].parameters == base.parameters
    assert at_precision(loaded_as["nf4"], "") == base
    assert at_precision(loaded_as["nf4"], "int8") == loaded_as["int8"]


def test_an_adapter_trained_on_a_quantised_base(zoo, copy, edit_json):
    folder = copy("llama-lora")
    plain = recognise(str(folder))
    edit_json(folder / "training.json", precision="nf4", base=str(zoo["llama"]))
    checkpoint = recognise(str(folder))
    assert checkpoint.precision == "nf4" and checkpoint.fingerprint != plain.fingerprint
    assert checkpoint.training == {"precision": "nf4"}
    assert at_precision(checkpoint, "").fingerprint == plain.fingerprint
    edit_json(folder / "training.json", precision="nf5")
    with pytest.raises(ModelError, match=r"training.json: precision is 'nf5'; one of nf4, fp4, int8"):
        recognise(str(folder))


def test_precisions_that_cannot_be_had(zoo, quantised):
    with pytest.raises(ModelError, match=r"cannot be quantised to 'gptq' on loading; one of nf4, fp4, int8"):
        at_precision(recognise(str(zoo["llama"])), "gptq")
    checkpoint = recognise(str(quantised("int8")))
    assert at_precision(checkpoint, "int8") == checkpoint
    for other in ("nf4", ""):
        with pytest.raises(ModelError, match="its files hold weights quantised to int8"):
            at_precision(checkpoint, other)


def test_references(zoo, quantised):
    base = recognise(f"mine={zoo['llama']}", role="base")
    at = at_precision(base, "nf4")
    placebo, plain = placebo_of(base), unquantised_of(at)
    assert (placebo.name, placebo.kind, placebo.adapter, placebo.base, placebo.weights) == (
        "placebo",
        "placebo",
        "PLACEBO",
        base.path,
        base.path,
    )
    assert (placebo.trainable, placebo.bytes, placebo.parameters, placebo.window) == (
        0,
        0,
        base.parameters,
        base.window,
    )
    assert placebo.fingerprint == fingerprint.of_placebo(base.fingerprint) != base.fingerprint
    assert at_precision(placebo, "nf4").fingerprint == placebo_of(at).fingerprint != placebo.fingerprint
    assert (plain.name, plain.kind, plain.precision, plain.fingerprint, plain.base) == (
        "unquantised",
        "unquantised",
        "",
        base.fingerprint,
        base.path,
    )
    assert verify(placebo) == verify(plain) == ()
    with pytest.raises(ModelError, match="its files hold weights quantised to nf4"):
        unquantised_of(recognise(str(quantised("nf4")), role="base"))


def test_a_configuration_with_infinity(copy, edit_json):
    """Some architectures state limits of Infinity, which Python writes and JSON proper does not know."""
    folder = copy("llama")
    value = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**value, "time_step_limit": [0.0, float("inf")], "x": float("nan")})
    )
    identity = recognise(str(folder)).fingerprint
    (folder / "config.json").write_text(json.dumps({**value, "time_step_limit": [0.0, 9.0], "x": float("nan")}))
    assert recognise(str(folder)).fingerprint != identity
    assert load_file(folder / "model.safetensors")


def test_quantised_otherwise_than_its_base(copy, edit_json, zoo):
    single = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    usual = {**single, "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "float32"}
    assert quantisation_differences(single, None) == ("bnb_4bit_use_double_quant False, its base's True",)
    assert (
        quantisation_differences(usual, None)
        == quantisation_differences(single, single)
        == quantisation_differences(None, None)
        == quantisation_differences({"quant_method": "gptq"}, None)
        == ()
    )
    assert quantisation_differences({**usual, "bnb_4bit_compute_dtype": "bfloat16"}, None) == (
        "bnb_4bit_compute_dtype 'bfloat16', its base's that of --dtype",
    )
    eight = {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 0.0}
    assert quantisation_differences(eight, None) == ("llm_int8_threshold 0.0, its base's 6.0",)
    folder = copy("llama", "mine")
    edit_json(folder / "config.json", quantization_config=single)
    checkpoint = recognise(str(folder), base=str(zoo["llama"]))
    assert any("quantised otherwise than its base" in notice for notice in verify(checkpoint))
