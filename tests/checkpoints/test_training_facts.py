"""How many parameters a training could change: of every type of adapter what peft counts; of full weights what
training.json says.
"""

from __future__ import annotations

import warnings

import pytest
from peft import get_peft_model
from slow_cases import first_of_each
from tiny_models import TASKS, adapter_config, open_model

from evalharness.checkpoints.kinds import TYPES
from evalharness.checkpoints.recognise import recognise

CASES = [
    (base, kind)
    for base, named in (("llama", "causal"), ("t5", "seq2seq"))
    for kind, facts in TYPES.items()
    if named in facts.architectures
]


@pytest.mark.parametrize(("base", "kind"), first_of_each(CASES, lambda base, kind: kind))
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
