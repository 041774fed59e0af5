"""Nearest tokens and clusters of virtual tokens against brute force over the whole vocabulary in float64."""

from __future__ import annotations

import json
from itertools import chain

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_architectures import make_tokenizer
from tiny_models import VIRTUAL

from evalharness.checkpoints import soft_prompt as module
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.soft_prompt import clusters, in_short, soft_prompt
from evalharness.checkpoints.vocabulary import token_texts

ADAPTER, WEIGHTS = "adapter_model.safetensors", "model.safetensors"
TABLES = {"llama": "embed_tokens.weight", "gpt2": "wte.weight", "t5": "shared.weight"}


def by_brute_force(prompt, table):
    """Of each row of `prompt` the ids of all rows of `table` by falling cosine, with cosine and distance."""
    rows = []
    for token in np.asarray(prompt, np.float64):
        cosine = [token @ row / np.linalg.norm(token) / np.linalg.norm(row) for row in np.asarray(table, np.float64)]
        order = sorted(range(len(cosine)), key=lambda index: (-cosine[index], index))
        rows.append([(index, cosine[index], np.linalg.norm(token - table[index])) for index in order])
    return rows


@pytest.mark.parametrize("name", ["llama-prompt", "gpt2-P_TUNING", "t5-prompt"])
def test_nearest_tokens_in_chunks_are_those_of_brute_force(name, zoo, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 40_000)  # some seven rows of chunks
    base = zoo[name.partition("-")[0]]
    facts = soft_prompt(recognise(str(zoo[name])))
    prompt = load_file(zoo[name] / ADAPTER)["prompt_embeddings"][:VIRTUAL].numpy()
    stored = load_file(base / WEIGHTS)
    table = next(value for key, value in stored.items() if key.endswith(TABLES[base.name])).numpy()
    assert facts["vocabulary"] == len(table) and len(facts["nearest"]) == VIRTUAL
    for near, wanted in zip(facts["nearest"], by_brute_force(prompt, table), strict=True):
        assert [each["id"] for each in near] == [index for index, _, _ in wanted[:5]]
        assert [each["cosine"] for each in near] == pytest.approx([cosine for _, cosine, _ in wanted[:5]], abs=1e-4)
        assert [each["distance"] for each in near] == pytest.approx([far for _, _, far in wanted[:5]], abs=2e-4)
    assert all(isinstance(each["text"], str) for near in facts["nearest"] for each in near)


def test_a_prompt_of_words_is_read_as_these_words(zoo, copy, edit_tensors, monkeypatch):
    """A bfloat16 base, in shards of rows; the first two virtual tokens are one word twice, of two lengths."""
    base, adapter = copy("llama", "base"), copy("llama-prompt", "adapter")
    edit_tensors(base / WEIGHTS, lambda all_: all_.update({k: v.bfloat16() for k, v in all_.items()}))
    table, tokenizer = load_file(base / WEIGHTS)["model.embed_tokens.weight"].float(), make_tokenizer("llama")
    ids = [tokenizer(word, add_special_tokens=False)["input_ids"][-1] for word in ("cat", "cat", "dog", "red", "blue")]
    words = table[ids] * torch.tensor([1.0, 3.0, 1.0, 1.0, 1.0])[:, None]
    edit_tensors(adapter / ADAPTER, lambda all_: all_.update({"prompt_embeddings": words}))
    facts = soft_prompt(recognise(str(adapter), base=str(base)))
    assert [near[0]["id"] for near in facts["nearest"]] == ids
    assert [near[0]["cosine"] for near in facts["nearest"]] == [1.0] * 5
    assert [near[0]["distance"] for near in facts["nearest"][::2]] == pytest.approx([0, 0, 0], abs=0.01)
    assert facts["nearest"][1][0]["distance"] == pytest.approx(2 * float(table[ids[0]].norm()), rel=1e-3)
    assert [0, 1] in facts["clusters"] and sorted(chain(*facts["clusters"])) == [0, 1, 2, 3, 4]
    assert facts["nearest"][0][0]["text"].strip() == tokenizer.decode([ids[0]]).strip()
    assert "{0, 1}" in in_short(facts, 6)[1]


def test_any_two_of_a_cluster_are_alike_and_no_two_clusters_could_be_one():
    generator = np.random.default_rng(3)
    centres = generator.normal(size=(3, 8))
    prompt = np.float32(np.repeat(centres, 4, axis=0) + 0.2 * generator.normal(size=(12, 8)))
    unit = prompt / np.linalg.norm(prompt, axis=1, keepdims=True)
    found = clusters(prompt)
    least = [[(unit[a] @ unit[b].T).min() for b in found] for a in found]
    assert all(least[place][place] >= 0.5 - 1e-6 for place in range(len(found)))
    assert not any(least[a][b] >= 0.5 for a in range(len(found)) for b in range(a))
    assert clusters(prompt[:1]) == [[0]] and clusters(np.zeros((2, 4), np.float32)) == [[0], [1]]


@pytest.mark.parametrize(
    ("name", "message"),
    [("llama-PREFIX_TUNING", "no nearest tokens"), ("llama-CARTRIDGE", "no nearest tokens"), ("llama-CPT", "computes")],
)
def test_what_has_no_embeddings_says_so(name, message, zoo):
    facts = soft_prompt(recognise(str(zoo[name])))
    assert facts.keys() == {"reason"} and message in facts["reason"]


def test_nothing_is_said_of_others(zoo):
    assert soft_prompt(recognise(str(zoo["llama-lora"]))) == soft_prompt(recognise(str(zoo["llama"]))) == {}


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_texts_are_those_of_the_tokenizer(name, zoo):
    tokenizer = make_tokenizer(name)
    texts = token_texts(zoo[name] / "tokenizer.json", range(len(tokenizer)))
    assert len(texts) == len(tokenizer)
    assert all(texts[i].strip() == tokenizer.decode([i]).strip() for i in texts if "\ufffd" not in texts[i])


def test_texts_of_a_unigram_and_of_no_tokenizer(tmp_path):
    path = tmp_path / "tokenizer.json"
    assert token_texts(path, [0]) == {}
    value = {"model": {"vocab": [["<unk>", 0.0], ["▁a", -1.0]]}, "added_tokens": [{"id": 2, "content": "<end>"}]}
    path.write_text(json.dumps(value))
    assert token_texts(path, [1, 2, 9]) == {1: " a", 2: "<end>"}
