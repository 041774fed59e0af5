"""A training as a whole: the same from the same seed, in steps of any size, packed or not, validated; what it leaves,
and what it never leaves.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from training.makers import equal, recipe, silent, weights

from evalharness.checkpoints import fingerprint
from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.errors import DataError, ModelError, StoreError, UsageError
from evalharness.training.batches import batches_by_length, collate, pack
from evalharness.training.data import TrainingSet
from evalharness.training.encode import IGNORED, EncodedExample
from evalharness.training.loop import train
from evalharness.training.recipe import Recipe
from evalharness.training.trainer import optimizer_of

UNEVEN = TrainingSet(
    examples=tuple(
        ("the " * (number % 5) + "film was good \n Answer :", " yes" * (number % 3 + 1)) for number in range(12)
    ),
    counts={"films": 12},
)


def facts_of(folder):
    return json.loads((folder / "training.json").read_text())


def test_what_training_json_says(base, examples, tmp_path):
    reports = []
    out = train(recipe(base, tmp_path / "candidate", steps=8), examples, reports.append)
    facts = facts_of(out)
    assert facts["losses"][-1] < facts["losses"][0] and len(facts["losses"]) == facts["steps"] == 8
    assert facts["base_weights"] == fingerprint.of_tensors(base) and facts[
        "base_fingerprint"
    ] == fingerprint.of_weights(base)
    data = {"digest": examples.digest, "examples": 16, "counts": {"films": 16}, "sources": []}
    assert facts["data"] == {**data, "seen": 32, "passes": 2.0}
    assert Recipe.from_fields(facts["recipe"]).out == str(out)
    assert facts["optimiser"] == {
        "name": "AdamW",
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "max_grad_norm": 1.0,
        "optimizer": optimizer_of(recipe(base, "out")),
    }
    lengths = [
        len(text.split(" "))
        for text in ("<s> the film was good \n Answer : yes </s>", "<s> it was bad \n Answer : no </s>")
    ]
    assert facts["tokens"] == 2 * 8 * sum(lengths)
    assert facts["peak_memory_process"] > 1e6 and facts["peak_memory_device"] is None and facts["tokens_per_second"] > 0
    assert "after" not in facts and "validation" not in facts
    assert any("step 8/8" in line for line in reports) and any("left" in line for line in reports)


@pytest.mark.parametrize("method", ["full", "lora", pytest.param("prompt", marks=pytest.mark.slow)])
def test_the_same_seed_gives_the_same_weights(base, examples, tmp_path, method):
    more = {"dropout": 0.1} if method == "lora" else {}
    one, same, other = (
        train(recipe(base, tmp_path / name, method, seed=seed, steps=2, **more), examples, silent)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert equal(one, same) and not equal(one, other)


# ---- steps and rows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["base", "encoder_decoder"])
def test_accumulated_batches_are_one_big_batch(model, tmp_path, request):
    """The mean is over the completion tokens of all of them, of which their parts have different numbers."""
    base = request.getfixturevalue(model)
    sizes = ({"batch_size": size, "gradient_accumulation": 12 // size} for size in (12, 2))
    big, small = (
        train(recipe(base, tmp_path / f"{size['batch_size']}", "full", steps=3, **size), UNEVEN, silent)
        for size in sizes
    )
    assert facts_of(big)["losses"] == pytest.approx(facts_of(small)["losses"], rel=1e-5)
    assert all(torch.allclose(tensor, weights(small)[name], atol=1e-4) for name, tensor in weights(big).items())


@pytest.mark.parametrize("model", ["base", "with_biases"])
def test_packed_losses_are_those_of_rows_of_their_own(model, tmp_path, request):
    base = request.getfixturevalue(model)
    plain = train(recipe(base, tmp_path / "plain", "full", batch_size=12, steps=3), UNEVEN, silent)
    packed = train(
        recipe(base, tmp_path / "packed", "full", batch_size=12, steps=3, packing=True, max_length=WINDOW),
        UNEVEN,
        silent,
    )
    assert facts_of(plain)["losses"] == pytest.approx(facts_of(packed)["losses"], rel=1e-5)
    noise = "c_attn.bias"  # a bias of all keys moves no attention: its gradient is rounding
    assert all(
        torch.allclose(tensor, weights(packed)[name], atol=1e-4)
        for name, tensor in weights(plain).items()
        if noise not in name
    )
    assert facts_of(plain)["tokens"] == facts_of(packed)["tokens"]


WINDOW = 32


def test_packing_is_refused_where_examples_would_see_one_another(
    base, encoder_decoder, examples, tmp_path, monkeypatch
):
    with pytest.raises(UsageError, match="--packing: an encoder-decoder model"):
        train(recipe(encoder_decoder, tmp_path / "one", packing=True), examples, silent)
    monkeypatch.setattr("transformers.masking_utils.find_packed_sequence_indices", lambda position_ids: None)
    with pytest.raises(UsageError, match="--packing: a llama model lets packed examples see one another"):
        train(recipe(base, tmp_path / "two", packing=True), examples, silent)


def test_packs_hold_what_fits():
    examples = [EncodedExample(ids=tuple(range(length)), labels=tuple(range(length))) for length in (3, 4, 2, 5, 9)]
    assert [[len(each.ids) for each in row] for row in pack(examples, 9)] == [[3, 4, 2], [5], [9]]
    batch = collate([tuple(examples[:2]), tuple(examples[2:3])], 0, packed=True)
    assert (
        batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3], [0, 1, 0, 1, 2, 3, 4]]
        and "attention_mask" not in batch
    )
    assert batch["labels"][1].tolist() == [0, 1] + [IGNORED] * 5


def test_batches_of_like_lengths(base, tmp_path):
    rows = [(EncodedExample(ids=(0,) * length, labels=(0,) * length),) for length in range(1, 41)]
    batches = batches_by_length(rows, 4, 20, seed=3)
    widths = [[len(row[0].ids) for row in batch] for batch in batches]
    assert sorted(length for batch in widths[:10] for length in batch) == list(range(1, 41))
    assert all(max(batch) - min(batch) == 3 for batch in widths) and widths[:10] != widths[10:]
    assert batches == batches_by_length(rows, 4, 20, seed=3) and batches != batches_by_length(rows, 4, 20, seed=4)
    one, two = (train(recipe(base, tmp_path / name, group_by_length=True, steps=5), UNEVEN, silent) for name in "ab")
    assert equal(one, two) and len(facts_of(one)["losses"]) == 5


@pytest.mark.parametrize("method", ["full", pytest.param("lora", marks=pytest.mark.slow), "prompt"])
def test_gradient_checkpointing_changes_no_weights(base, examples, tmp_path, method):
    one, two = (
        train(recipe(base, tmp_path / f"{on}", method, gradient_checkpointing=on, steps=2), examples, silent)
        for on in (True, False)
    )
    assert all(torch.allclose(tensor, weights(two)[name], atol=1e-6) for name, tensor in weights(one).items())


def test_schedules(base, examples, tmp_path):
    outs = [
        train(recipe(base, tmp_path / name, scheduler=name, steps=4, warmup=0.0), examples, silent)
        for name in ("linear", "cosine", "constant")
    ]
    assert len({facts_of(out)["last_loss"] for out in outs}) == 3


# ---- validation ------------------------------------------------------------------------------------------------------


def losses_on(out, examples):
    """Mean loss over completion tokens, one example at a time."""
    loaded = load(recognise(str(out)), "float32", "cpu")
    total = tokens = 0.0
    for prompt, completion in examples:
        ids = [*loaded.tokenizer.encode(prompt + completion), loaded.tokenizer.eos_token_id]
        start = len(loaded.tokenizer.encode(prompt))
        with torch.no_grad():
            logs = loaded.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        total -= sum(float(logs[place - 1, ids[place]]) for place in range(start, len(ids)))
        tokens += len(ids) - start
    return total / tokens


def test_the_best_weights_are_kept_and_nothing_goes_on_in_vain(base, examples, tmp_path):
    """Validated on what contradicts the training, the loss only grows after a while."""
    held = (("the film was good \n Answer :", " no no"), ("it is bad", " yes"), ("cat", " dog"))
    validated = replace(examples, validation=held, validation_source={"digest": "x"})
    plan = recipe(base, tmp_path / "candidate", steps=40, eval_every=2, patience=2, learning_rate=0.003)
    reports = []
    facts = facts_of(train(plan, validated, reports.append))
    losses = dict(facts["validation"]["losses"])
    best = min(losses, key=losses.__getitem__)
    assert (
        facts["validation"]["best_step"] == best
        and facts["stopped_early"]
        and facts["steps"] == max(losses) == best + 4 < 40
    )
    assert losses_on(tmp_path / "candidate", held) == pytest.approx(losses[best], abs=1e-4)
    assert any("stopped early" in line for line in reports) and any(
        f"kept: the weights of step {best}" in line for line in reports
    )


@pytest.mark.parametrize(
    "method", ["prompt", "layers", *(pytest.param(name, marks=pytest.mark.slow) for name in ("prefix", "p-tuning"))]
)
def test_every_kind_keeps_its_best(base, examples, tmp_path, method):
    validated = replace(examples, validation=examples.examples[:2], validation_source={"digest": "x"})
    facts = facts_of(train(recipe(base, tmp_path / "candidate", method, steps=3, eval_every=1), validated, silent))
    assert [step for step, _ in facts["validation"]["losses"]] == [1, 2, 3] and not facts["stopped_early"]


def test_once_a_pass_where_nothing_else_is_said(base, examples, tmp_path):
    validated = replace(examples, validation=examples.examples[:2], validation_source={"digest": "x"})
    facts = facts_of(train(recipe(base, tmp_path / "candidate", steps=10, batch_size=4), validated, silent))
    assert [step for step, _ in facts["validation"]["losses"]] == [4, 8, 10]


# ---- what is left ----------------------------------------------------------------------------------------------------


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


def test_only_answers_count_and_padding_does_not():
    batch = collate(
        [(EncodedExample(ids=(5, 6, 7), labels=(-100, 6, 7)),), (EncodedExample(ids=(8,), labels=(8,)),)], pad=0
    )
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_long_prompts_are_reported(base, tmp_path):
    reports = []
    long = TrainingSet(examples=(("good " * 40 + "Answer :", " yes"),), counts={"films": 1})
    out = train(recipe(base, tmp_path / "candidate", steps=1), long, reports.append)
    assert any("--max-length: 1" in line for line in reports)
    assert json.loads((out / "training.json").read_text())["truncated"] == 1


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"learning_rate": 1e30}, ModelError, "diverged"),
        ({"method": "full", "learning_rate": 1e39, "steps": 1}, ModelError, "diverged"),
        ({"learning_rate": 1e30, "save_every": 1}, ModelError, "diverged"),
        ({"base": "nowhere"}, ModelError, "nowhere"),
        ({"max_length": 2}, DataError, "the window .or --max-length. leaves 2"),
        ({"device": "tpu"}, UsageError, "--device"),
    ],
)
def test_nothing_is_left_where_training_fails(base, examples, tmp_path, changes, error, message):
    wrong = replace(recipe(base, tmp_path / "candidate"), **changes)
    with pytest.raises(error, match=message):
        train(wrong, examples, silent)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_never_overwritten(base, examples, tmp_path):
    (tmp_path / "candidate").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        train(recipe(base, tmp_path / "candidate"), examples, silent)
    with pytest.raises(DataError, match="no training examples"):
        train(recipe(base, tmp_path / "new"), TrainingSet(examples=(), counts={}), silent)


def test_a_place_that_cannot_be_written(base, examples, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write here"):
        train(recipe(base, tmp_path / "file" / "candidate", steps=1), examples, silent)


def test_an_adapter_is_no_base(base, examples, tmp_path):
    adapter = train(recipe(base, tmp_path / "adapter", steps=1), examples, silent)
    with pytest.raises(ModelError, match="adapter"):
        train(recipe(adapter, tmp_path / "candidate"), examples, silent)
