"""Weights held in fewer bits: by bitsandbytes while loading or as they were saved, adapters on them, and clear words
without it.
"""

from __future__ import annotations

import importlib.util
import warnings

import pytest
import torch
from peft import PeftModel
from tiny_models import described, logits, open_model

from evalharness.checkpoints import quantised, shared_weights
from evalharness.checkpoints.load import load, resident_of
from evalharness.errors import ModelError

INSTALLED = importlib.util.find_spec("bitsandbytes") is not None
needs = pytest.mark.skipif(not INSTALLED, reason="needs bitsandbytes (the extra `quant`)")
PRECISIONS = ("nf4", "fp4", "int8")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_without_the_library_the_error_names_it(precision, zoo, monkeypatch):
    monkeypatch.setattr(quantised, "LIBRARY", "no_such_library")
    with pytest.raises(
        ModelError, match=rf"weights in {precision} need no_such_library, which is not installed; pip install"
    ):
        load(described(zoo["llama"], None, "", precision=precision), "float32", "cpu")


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("gptq", "cannot be loaded .*; install the library that quantised it"),
        ("new", "transformers does not know the quantisation"),
    ],
)
def test_files_of_another_method(method, words, copy, edit_json):
    folder = copy("llama")
    edit_json(folder / "config.json", quantization_config={"quant_method": method, "bits": 4, "group_size": 32})
    with pytest.raises(ModelError, match=words):
        load(described(folder, None, "", precision=method), "float32", "cpu")


@needs
@pytest.mark.parametrize("base", ["llama", "gpt2", "t5"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_base_is_quantised_while_it_is_loaded(precision, base, zoo):
    loaded = load(described(zoo[base], None, "", precision=precision), "float32", "cpu")
    whole = logits(load(described(zoo[base], None, ""), "float32", "cpu").model)
    first, marks = logits(loaded.model), shared_weights.marks(loaded.model)
    assert loaded.model.is_quantized and not torch.allclose(first, whole, atol=1e-2)
    assert torch.equal(logits(loaded.model), first) and shared_weights.marks(loaded.model) == marks


@needs
@pytest.mark.parametrize("precision", PRECISIONS)
def test_quantised_weights_that_were_saved(precision, zoo, tmp_path):
    """Every tensor beside the packed ones (absmax, quant_map, SCB) is accounted for; the same answers as before
    saving.
    """
    loaded = load(described(zoo["llama"], None, "", precision=precision), "float32", "cpu")
    wanted = logits(loaded.model)
    loaded.model.save_pretrained(tmp_path / "llama-saved")
    loaded.tokenizer.save_pretrained(tmp_path / "llama-saved")
    again = load(described(tmp_path / "llama-saved", None, "", precision=precision), "float32", "cpu")
    assert torch.allclose(logits(again.model), wanted, atol=1e-5)


@needs
@pytest.mark.parametrize(
    ("base", "dtype", "precision"),
    [
        ("llama", "float32", "nf4"),
        ("t5", "float32", "fp4"),
        ("gpt2", "float32", "int8"),
        ("llama", "bfloat16", "int8"),
        pytest.param("gpt2", "float32", "nf4", marks=pytest.mark.slow),
        pytest.param("llama", "bfloat16", "fp4", marks=pytest.mark.slow),
        pytest.param("t5", "float32", "int8", marks=pytest.mark.slow),
    ],
)
def test_adapters_in_turn_on_one_quantised_base(precision, base, dtype, zoo):
    loaded = load(described(zoo[base], None, "", precision=precision), dtype, "cpu")
    bare, alone = loaded.model, logits(loaded.model)
    kinds = ("LORA", "VERA", "LORA")
    for kind in kinds:
        checkpoint = described(zoo[f"{base}-{kind}"], zoo[base], kind, precision=precision)
        loaded = load(checkpoint, dtype, "cpu", resident_of(loaded))
        assert loaded.bare is bare
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fresh = load(described(zoo[base], None, "", precision=precision), dtype, "cpu").model
            theirs = logits(PeftModel.from_pretrained(fresh, str(checkpoint.path)).eval())
        answered = logits(loaded.model)
        assert torch.equal(answered, theirs) and not torch.allclose(answered, alone, atol=1e-2)
        with loaded.merged() as model:
            assert model is not None and torch.isfinite(logits(model)).all()
        assert torch.equal(logits(loaded.model), answered) and torch.equal(logits(bare), alone)


@needs
def test_a_type_that_peft_cannot_put_on_quantised_weights_is_refused(zoo):
    checkpoint = described(zoo["llama-IA3"], zoo["llama"], "IA3", precision="nf4")
    with pytest.raises(ModelError, match=r"peft's IA3 does not work on a base in nf4 and torch.bfloat16"):
        load(checkpoint, "bfloat16", "cpu")


@needs
def test_another_precision_is_another_base(zoo):
    four = load(described(zoo["llama"], None, "", precision="nf4"), "float32", "cpu")
    plain = load(described(zoo["llama"], None, ""), "float32", "cpu", resident_of(four))
    assert not getattr(plain.model, "is_quantized", False)
    assert torch.equal(logits(plain.model), logits(open_model(zoo["llama"]).eval()))


@needs
@pytest.mark.parametrize("precision", ["", *PRECISIONS])
def test_rows_that_hang_on_their_neighbours_are_asked_alone(precision, zoo):
    loaded = load(described(zoo["llama"], None, "", precision=precision), "float32", "cpu")
    row, other = torch.tensor([[40, 41, 50, 60, 7, 9]]), torch.tensor([[99, 120, 200, 201, 33, 5]])
    with torch.no_grad():
        moved = (loaded.model(torch.cat([row, other])).logits[0] - loaded.model(row).logits[0]).abs().max()
    assert loaded.alone == (precision == "int8") == bool(moved > 1e-3)
