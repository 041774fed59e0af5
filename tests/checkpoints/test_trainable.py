"""How many parameters a training could change: of every type of adapter what peft counts; of full weights what
training.json says.
"""

from __future__ import annotations

import warnings

import pytest
import torch
from peft import get_peft_model
from tiny_models import TASKS, adapter_config, open_model

from evalharness.checkpoints import shared_weights
from evalharness.checkpoints.kinds import TYPES
from evalharness.checkpoints.precision import quantisation_differences
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify

CASES = [
    (base, kind)
    for base, named in (("llama", "causal"), ("t5", "seq2seq"))
    for kind, facts in TYPES.items()
    if named in facts.architectures
]


@pytest.mark.parametrize(("base", "kind"), CASES)
def test_what_peft_counts(base, kind, zoo):
    """peft's get_nb_trainable_parameters; of p-tuning's network nothing is kept, so that without training.json the
    tokens count.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = get_peft_model(open_model(zoo[base]), adapter_config(kind, base))
    wanted = wrapped.get_nb_trainable_parameters()[0]
    if kind == "P_TUNING":
        wanted = sum(
            p.numel()
            for name, p in wrapped.named_parameters()
            if name.endswith("prompt_encoder.default.embedding.weight")
        )
    task = "#1" if kind in TASKS else ""
    assert recognise(f"{zoo[f'{base}-{kind}']}{task}").trainable == wanted


@pytest.mark.parametrize("base", ["llama", "qwen3", "t5", "bart"])
@pytest.mark.parametrize("method", ["bitfit", "layers"])
def test_full_weights_that_were_trained_in_part(method, base, copy, edit_json):
    folder = copy(base, "mine")
    whole = sum(parameter.numel() for parameter in open_model(folder).parameters())
    edit_json(folder / "training.json", method=method, trainable=123, parameters=whole)
    assert recognise(str(folder)).trainable == 123
    wrong = [{"trainable": one} for one in (whole + 1, True, "9", None)]
    for other in (*wrong, {"parameters": whole + 1}, {"method": "lora"}):
        edit_json(folder / "training.json", **{"method": method, "trainable": 123, "parameters": whole, **other})
        assert recognise(str(folder)).trainable == whole, other


def test_the_network_of_p_tuning(copy, zoo, edit_json):
    folder = copy("llama-P_TUNING", "mine")
    edit_json(folder / "training.json", method="p-tuning", trainable=2112, parameters=99999, base=str(zoo["llama"]))
    assert recognise(str(folder)).trainable == 2112
    edit_json(folder / "training.json", method="prompt")
    assert recognise(str(folder)).trainable == 240


def test_marks_see_what_torch_does_not_count(zoo):
    """`tensor.data` is written past torch's count of writes."""
    model = open_model(zoo["llama"])
    before = shared_weights.marks(model)
    assert shared_weights.marks(model) == before
    weight = model.model.layers[1].mlp.up_proj.weight
    weight.data[0, 0] += 1e-3
    assert shared_weights.marks(model) != before
    large = torch.nn.Linear(2048, 2048, bias=False)
    before = shared_weights.marks(large)
    large.weight.data.add_(1e-4)
    assert shared_weights.marks(large) != before


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
