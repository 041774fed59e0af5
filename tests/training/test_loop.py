"""Candidates of each kind: they load again whole, answer otherwise than their base, and come out the same from the same seed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from evalharness.checkpoints import fingerprint
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.checkpoints.weights import load
from evalharness.errors import DataError, ModelError, StoreError, UsageError
from evalharness.training.data import TrainingSet
from evalharness.training.encode import Encoded
from evalharness.training.loop import collate, train
from evalharness.training.recipe import Recipe

METHODS = {"full": {"learning_rate": 1e-2}, "lora": {"learning_rate": 1e-2}, "prompt": {"learning_rate": 0.1, "virtual_tokens": 4}}
PROMPT = "the film was good \n Answer :"


def recipe(base, out, method="lora", **changes):
    return Recipe(method, str(base), str(out), "films", **{"steps": 6, "batch_size": 4, "device": "cpu", **METHODS[method], **changes})


def silent(text): ...


def logits(loaded, adapter=True):
    """Logits after the prompt, the soft prompt in front of it where there is one."""
    ids = torch.tensor([loaded.tokenizer.encode(PROMPT)])
    with torch.no_grad(), loaded.answering(adapter) as (model, lead):
        soft = lead.embeddings
        vectors = model.get_input_embeddings()(ids)
        vectors = vectors if soft is None else torch.cat([soft[None], vectors], dim=1)
        return model(inputs_embeds=vectors).logits[0, -1]


def weights(folder):
    return {name: tensor for path in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(path).items()}


@pytest.mark.parametrize("method", METHODS)
def test_a_candidate_loads_again_and_answers_otherwise(base, examples, tmp_path, method):
    said = []
    out = train(recipe(base, tmp_path / "candidate", method), examples, said.append)
    checkpoint = recognise(str(out))
    verify(checkpoint)
    assert (checkpoint.kind, checkpoint.target_task, checkpoint.base) == (method, "films", base.resolve())
    assert checkpoint.fingerprint != recognise(str(base), role="base").fingerprint
    candidate, own = load(checkpoint, "float32", "cpu"), load(recognise(str(base), role="base"), "float32", "cpu")
    assert not torch.allclose(logits(candidate), logits(own), atol=1e-3)
    if method != "full":
        assert torch.equal(logits(candidate, adapter=False), logits(own))
    assert [path.name for path in tmp_path.iterdir()] == ["candidate"]
    facts = json.loads((out / "training.json").read_text())
    assert facts["losses"][-1] < facts["losses"][0] and len(facts["losses"]) == 6
    assert facts["trainable"] == checkpoint.trainable and facts["parameters"] == checkpoint.parameters and facts["bytes"] == checkpoint.bytes
    assert facts["base_weights"] == fingerprint.of_tensors(base) and facts["base_fingerprint"] == fingerprint.of_weights(base)
    assert facts["data"]["counts"] == {"films": 16} and facts["data"]["digest"] == examples.digest
    assert Recipe.from_json(facts["recipe"]).out == str(out)
    assert any("step 6/6" in line for line in said)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_weights(base, examples, tmp_path, method):
    first, same, other = (
        weights(train(recipe(base, tmp_path / name, method, seed=seed, steps=2, dropout=0.1), examples, silent))
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_full_weights_keep_the_bases_configuration_and_tokenizer(base, examples, tmp_path):
    out = train(recipe(base, tmp_path / "candidate", "full", steps=1), examples, silent)
    mine, its = (json.loads((folder / "config.json").read_text()) for folder in (out, base))
    assert mine == its
    assert (out / "tokenizer.json").read_text() == (base / "tokenizer.json").read_text()


def copied(base, folder):
    folder.mkdir()
    for path in base.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_generation_config_that_transformers_only_reads_is_kept(base, examples, tmp_path):
    own = copied(base, tmp_path / "base")
    (own / "generation_config.json").write_text('{"do_sample": false, "temperature": 0.6, "eos_token_id": [2, 3]}')
    out = train(recipe(own, tmp_path / "candidate", "full", steps=1), examples, silent)
    assert (out / "generation_config.json").read_text() == (own / "generation_config.json").read_text()
    (own / "generation_config.json").unlink()
    out = train(recipe(own, tmp_path / "other", "full", steps=1), examples, silent)
    assert not (out / "generation_config.json").exists()


def test_base_and_candidate_may_move_together(base, examples, tmp_path):
    place = tmp_path / "here"
    place.mkdir()
    train(recipe(copied(base, place / "base"), place / "candidate", steps=1), examples, silent)
    place.rename(tmp_path / "elsewhere")
    assert recognise(str(tmp_path / "elsewhere" / "candidate")).base == tmp_path / "elsewhere" / "base"


def test_bfloat16(base, examples, tmp_path):
    out = train(recipe(base, tmp_path / "candidate", "full", dtype="bfloat16", steps=1), examples, silent)
    assert {tensor.dtype for tensor in weights(out).values()} == {torch.bfloat16}


def test_lora_only_where_it_was_asked_for(base, examples, tmp_path):
    out = train(recipe(base, tmp_path / "candidate", targets=("q_proj", "v_proj"), rank=2, steps=1), examples, silent)
    assert {name.split(".")[-3] for name in weights(out)} == {"q_proj", "v_proj"}
    assert min(min(tensor.shape) for tensor in weights(out).values()) == 2


def test_only_answers_count_and_padding_does_not():
    batch = collate([Encoded((5, 6, 7), (-100, 6, 7)), Encoded((8,), (8,))], pad=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_long_prompts_are_reported(base, tmp_path):
    said = []
    long = TrainingSet((("good " * 40 + "Answer :", " yes"),), {"films": 1})
    out = train(recipe(base, tmp_path / "candidate", steps=1), long, said.append)
    assert any("1 of 1 prompts are longer than the window" in line for line in said)
    assert json.loads((out / "training.json").read_text())["truncated"] == 1


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"targets": ("q_proj", "query")}, UsageError, "'query' names no linear layer .* q_proj"),
        ({"learning_rate": 1e30}, ModelError, "diverged"),
        ({"method": "full", "learning_rate": 1e39, "steps": 1}, ModelError, "diverged"),
        ({"base": "nowhere"}, ModelError, "nowhere"),
        ({"method": "prompt", "virtual_tokens": 31}, UsageError, "leave no room"),
        ({"device": "tpu"}, UsageError, "--device"),
    ],
)
def test_nothing_is_left_where_training_fails(base, examples, tmp_path, changes, error, said):
    wrong = replace(recipe(base, tmp_path / "candidate"), **changes)
    with pytest.raises(error, match=said):
        train(wrong, examples, silent)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_never_overwritten(base, examples, tmp_path):
    (tmp_path / "candidate").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        train(recipe(base, tmp_path / "candidate"), examples, silent)
    with pytest.raises(DataError, match="no training examples"):
        train(recipe(base, tmp_path / "new"), TrainingSet((), {}), silent)


def test_a_place_that_cannot_be_written(base, examples, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        train(recipe(base, tmp_path / "file" / "candidate", steps=1), examples, silent)


def test_an_adapter_is_no_base(base, examples, tmp_path):
    adapter = train(recipe(base, tmp_path / "adapter", steps=1), examples, silent)
    with pytest.raises(ModelError, match="adapter"):
        train(recipe(adapter, tmp_path / "candidate"), examples, silent)
