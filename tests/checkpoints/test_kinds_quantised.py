"""Every type of adapter on quantised weights: its effect is that on the same weights unpacked where the table says so;
else it is refused by name.
"""

from __future__ import annotations

import pytest
import torch
from slow_cases import first_of_each
from tiny_models import described, logits, open_model
from torch import nn

from evalharness.checkpoints.adapter_fit import adapter_fit
from evalharness.checkpoints.attach import attach
from evalharness.checkpoints.kinds import BITSANDBYTES, TYPES, refusal_on_quantised
from evalharness.checkpoints.load import load
from evalharness.checkpoints.quantised import empty_model
from evalharness.errors import ModelError

bnb = pytest.importorskip("bitsandbytes")  # the extra `quant`
CASES = [
    (base, kind)
    for base, named in (("llama", "causal"), ("t5", "seq2seq"))
    for kind, facts in TYPES.items()
    if named in facts.architectures
]


def unpacked(module):
    if hasattr(module, "quant_state"):
        return bnb.functional.dequantize_4bit(module.weight.data, module.weight.quant_state).float()
    return module.state.CB.float() * module.state.SCB.float()[:, None] / 127


@pytest.fixture(scope="module")
def pairs(zoo):
    """Architecture and precision to the quantised base and the same with its weights unpacked."""
    made = {}

    def pair(base, precision):
        if (base, precision) not in made:
            held = load(described(zoo[base], None, "", precision=precision), "float32", "cpu").model
            whole = open_model(zoo[base]).eval().requires_grad_(False)
            for name, module in held.named_modules():
                if type(module).__name__ in ("Linear4bit", "Linear8bitLt"):
                    whole.get_submodule(name).weight.data = unpacked(module).clone()
            made[base, precision] = held, whole
        return made[base, precision]

    return pair


@pytest.fixture
def exact(monkeypatch):
    """int8 rounds what it multiplies as well: without that, so that only the adapter can differ."""

    def multiply(given, weight, bias=None, state=None, **_):
        return nn.functional.linear(given, state.CB.float() * state.SCB.float()[:, None] / 127, bias)

    monkeypatch.setattr(bnb.nn.modules.bnb, "matmul", multiply)


@pytest.mark.parametrize(("base", "kind"), first_of_each(CASES, lambda base, kind: kind))
def test_its_effect_is_that_on_the_weights_unpacked(base, kind, zoo, pairs, exact):
    for precision in BITSANDBYTES:
        held, whole = pairs(base, precision)
        checkpoint = described(
            zoo[f"{base}-{kind}"], zoo[base], kind
        )  # without a precision, so that the table is not asked
        wanted = answer(checkpoint, whole)
        try:
            off = float((answer(checkpoint, held) - wanted).norm() / wanted.norm())
        except ModelError:
            off = 1.0
        assert (off < 1e-4) == (precision in TYPES[kind].quantised), (precision, off)


def answer(checkpoint, base):
    attached = attach(checkpoint, base)
    if attached.lead.tokens:
        tensors = (
            [attached.lead.embeddings]
            if attached.lead.cache is None
            else [one for layer in attached.lead.cache for one in layer]
        )
        return torch.cat([one.flatten() for one in tensors])
    return logits(attached.model)


@pytest.mark.parametrize(
    "kind", [kind for kind, facts in TYPES.items() if facts.architectures and "other" not in facts.quantised]
)
def test_what_is_not_supported_is_refused_by_name_before_anything_is_loaded(kind, zoo):
    for precision in {*BITSANDBYTES, "gptq"} - {*TYPES[kind].quantised}:
        checkpoint = described(zoo[f"llama-{kind}"], zoo["llama"], kind, precision=precision)
        with pytest.raises(
            ModelError,
            match=f"peft's {kind} .* cannot answer on a base in {precision}; give its base without quantisation",
        ):
            adapter_fit(checkpoint, empty_model(zoo["llama"]))


def test_the_reasons():
    assert "computes with the packed codes" in refusal_on_quantised("HRA", "int8")
    assert "has no effect" in refusal_on_quantised("UNILORA", "int8")
    assert (
        refusal_on_quantised("HRA", "")
        == refusal_on_quantised("LORA", "gptq")
        == refusal_on_quantised("PLACEBO", "nf4")
        == ""
    )
    assert all(facts.why_not_quantised for facts in TYPES.values() if "other" not in facts.quantised)


@pytest.mark.parametrize("kind", ["PVERA", "RANDLORA"])
def test_every_shape_of_layer_is_tried_before_a_merge(kind, zoo, tiny, tmp_path):
    """peft merges some layers and fails in others, or only when a merged one computes: then nothing is merged, and
    nothing ends.
    """
    path = tiny.make_adapter(zoo["llama"], tmp_path / "mine", tiny.adapter_config(kind, "llama"))
    loaded = load(described(path, zoo["llama"], kind, precision="nf4"), "float32", "cpu")
    before = logits(loaded.model)
    with loaded.merged() as model:
        assert (model is None) == bool(loaded.unmergeable)
        if model is not None:
            logits(model)
    assert torch.equal(logits(loaded.model), before)
