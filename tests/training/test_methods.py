"""Every method learns a little task on decoder-only and encoder-decoder models, and what it leaves gives again, loaded
by transformers and peft, the logits of the model in memory.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from slow_cases import first_of_each
from training.makers import RATES, recipe, silent, weights
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from evalharness.checkpoints.libraries import quiet
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.errors import UsageError
from evalharness.training import loop, save

ADAPTERS = ("lora", "ia3", "prompt", "prefix", "p-tuning")
CAUSAL = [("base", method) for method in RATES if method != "bitfit"]
BIASES = [("with_biases", method) for method in ("bitfit", "lora", "ia3", "prefix")]
BOTH = [("encoder_decoder", method) for method in RATES if method != "bitfit"]


def which(model, method):
    """Every method once, LoRA and prompts on every model."""
    return method, model if method in ("lora", "prompt") else ""


@pytest.fixture
def seen(monkeypatch):
    """The models that were trained, as they were when they were saved."""
    kept = []

    def keeping(recipe, start, loaded, model, folder):
        kept.append(model)
        save.save_model(recipe, start, loaded, model, folder)

    monkeypatch.setattr(loop, "save_model", keeping)
    return kept


def logits(model) -> torch.Tensor:
    ids = torch.tensor([[1, 6, 5, 7, 3, 16, 10, 11]])
    model.eval()
    if model.config.is_encoder_decoder:
        decoder = torch.tensor([[0, 12, 2]])
        with torch.no_grad():
            return model(
                input_ids=ids, attention_mask=torch.ones_like(ids), decoder_input_ids=decoder, use_cache=True
            ).logits
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True).logits


def loaded_again(base, out, method):
    """By transformers and peft alone."""
    kind = (
        AutoModelForSeq2SeqLM
        if json.loads((base / "config.json").read_text())["model_type"] == "t5"
        else AutoModelForCausalLM
    )
    with quiet():
        if method not in ADAPTERS:
            return kind.from_pretrained(out)
        return PeftModel.from_pretrained(kind.from_pretrained(base), str(out))


@pytest.mark.parametrize(("model", "method"), first_of_each(CAUSAL + BIASES + BOTH, which))
def test_it_learns_and_loads_again(model, method, examples, tmp_path, request, seen):
    base = request.getfixturevalue(model)
    rate = 0.5 if (model, method) == ("encoder_decoder", "prompt") else RATES[method]
    out = loop.train(
        recipe(base, tmp_path / "candidate", method, steps=8, batch_size=16, learning_rate=rate), examples, silent
    )
    facts = json.loads((out / "training.json").read_text())
    assert facts["losses"][-1] < 0.9 * facts["losses"][0] and len(facts["losses"]) == 8
    assert facts["method"] == method and facts["architecture"] == (
        "seq2seq" if model == "encoder_decoder" else "causal"
    )
    assert 0 < facts["trainable"] <= facts["parameters"] and facts["precision"] == ""
    assert torch.allclose(logits(loaded_again(base, out, method)), logits(seen[0]), atol=1e-5)
    checkpoint = recognise(str(out))
    verify(checkpoint)
    assert (
        bool(checkpoint.adapter) == (method in ADAPTERS)
        and checkpoint.target_task == "films"
        and checkpoint.base == base.resolve()
    )
    assert checkpoint.bytes == facts["bytes"]
    if method in ADAPTERS and method != "p-tuning":  # of which only what the network says is kept
        assert checkpoint.trainable == facts["trainable"]
    assert [path.name for path in tmp_path.iterdir()] == ["candidate"]


def changed(base, out):
    before, after = weights(base), weights(out)
    return {name for name in after if not torch.equal(before[name], after[name])}


def test_layer_patterns_train_these_and_nothing_else(base, examples, tmp_path):
    out = loop.train(
        recipe(base, tmp_path / "one", "layers", parameters=("model.layers.1.*", "*.0.*norm*")), examples, silent
    )
    wanted = {
        name for name in weights(base) if name.startswith("model.layers.1.") or (".0." in name and "norm" in name)
    }
    assert changed(base, out) == wanted
    facts = json.loads((out / "training.json").read_text())
    assert facts["trainable"] == sum(tensor.numel() for name, tensor in weights(base).items() if name in wanted)


def test_bitfit_trains_biases_and_says_where_there_are_none(base, with_biases, examples, tmp_path):
    out = loop.train(recipe(with_biases, tmp_path / "one", "bitfit"), examples, silent)
    assert changed(with_biases, out) == {name for name in weights(with_biases) if name.endswith(".bias")}
    with pytest.raises(UsageError, match="has no biases"):
        loop.train(recipe(base, tmp_path / "two", "bitfit"), examples, silent)


@pytest.mark.parametrize(
    ("model", "targets", "names"),
    [
        ("base", "attention", {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("base", ("q_proj", "v_proj"), {"q_proj", "v_proj"}),
        ("base", r"model\.layers\.1\..*(gate|up)_proj", {"gate_proj", "up_proj"}),
        ("base", "all-linear", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
        ("with_biases", "attention", {"attn.c_attn", "attn.c_proj"}),
        ("encoder_decoder", "attention", {"q", "k", "v", "o"}),
    ],
)
def test_where_lora_goes(model, targets, names, examples, tmp_path, request):
    out = loop.train(
        recipe(request.getfixturevalue(model), tmp_path / "candidate", targets=targets, rank=2, steps=1),
        examples,
        silent,
    )
    paths = [name.split(".lora_")[0] for name in weights(out)]
    assert {next((each for each in names if path.endswith(f".{each}")), path) for path in paths} == names
    assert min(min(tensor.shape) for tensor in weights(out).values()) == 2
    if "layers" in str(targets):
        assert all(".layers.1." in path for path in paths)


def test_dora_and_rslora(base, examples, tmp_path):
    out = loop.train(recipe(base, tmp_path / "candidate", dora=True, rslora=True, alpha=3.0, steps=1), examples, silent)
    config = json.loads((out / "adapter_config.json").read_text())
    assert (config["use_dora"], config["use_rslora"], config["lora_alpha"]) == (True, True, 3.0)
    assert any("magnitude" in name for name in weights(out))


def test_a_prefix_starts_as_the_model_reads_its_own_tokens(base, examples, tmp_path):
    """Keys and values of the first layer are those of embeddings of the vocabulary, computed here from the weights."""
    out = loop.train(recipe(base, tmp_path / "candidate", "prefix", learning_rate=1e-12, steps=1), examples, silent)
    prefix = weights(out)["prompt_embeddings"].view(4, 2, 2, 16)  # (virtual tokens, layers, keys and values, hidden)
    own = weights(base)
    table = own["model.embed_tokens.weight"]
    normed = table / (table.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * own["model.layers.0.input_layernorm.weight"]
    values = normed @ own["model.layers.0.self_attn.v_proj.weight"].T
    assert all((values - row).abs().max(-1).values.min() < 1e-5 for row in prefix[:, 0, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ("q_proj", "query")}, "'query' names no linear layer .* q_proj"),
        ({"targets": "model.layers.7.*"}, "names no linear layer"),
        ({"targets": "model.*"}, "no linear layer in the model"),
        ({"targets": "(q_proj"}, "no regular expression"),
        ({"method": "layers", "parameters": ("*norm*", "layers.9.*")}, "'layers.9.*' matches no parameter"),
        ({"method": "prompt", "virtual_tokens": 31}, "leave no space"),
        ({"method": "qlora"}, "qlora: .*GPU"),
    ],
)
def test_what_cannot_be_trained_in_this_model(base, examples, tmp_path, changes, message):
    method = changes.pop("method", "lora")
    wrong = recipe(base, tmp_path / "candidate", "lora" if method == "qlora" else method, **changes)
    if method == "qlora":
        wrong = replace(wrong, method="qlora", base=str(tmp_path / "nowhere"), learning_rate=None)
    with pytest.raises(UsageError, match=message):
        loop.train(wrong, examples, silent)
    assert list(tmp_path.iterdir()) == []
