"""Stages: a training that goes on from what another one left, and what the candidate then stands on."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from faults.overwriting import other_content, overwrite
from training.makers import recipe, silent, weights

from evalharness.checkpoints import fingerprint
from evalharness.checkpoints.load import load
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.errors import ModelError, UsageError
from evalharness.training import loop
from evalharness.training.loop import train

STILL = {"learning_rate": 1e-12, "steps": 1}  # a stage that changes nothing worth naming


@pytest.fixture(scope="module")
def stages(base, examples, tmp_path_factory):
    """A first stage of each kind."""
    folder = tmp_path_factory.mktemp("stages")
    kinds = ("full", "lora", "prompt", "prefix", "p-tuning", "ia3")
    candidates = {method: train(recipe(base, folder / method, method, steps=3), examples, silent) for method in kinds}
    return {"base": base, **candidates}


def logits(path):
    loaded = load(recognise(str(path)), "float32", "cpu")
    ids = torch.tensor([[1, 6, 5, 7, 3, 16]])
    vectors = loaded.model.get_input_embeddings()(ids)
    with torch.no_grad():
        if loaded.lead.embeddings is not None:
            vectors = torch.cat([loaded.lead.embeddings[None], vectors], 1)
        return loaded.model(inputs_embeds=vectors).logits[0, -1]


def facts_of(folder):
    return json.loads((folder / "training.json").read_text())


@pytest.mark.parametrize(
    ("first", "then", "stands_on"),
    [
        ("full", "full", "base"),
        ("full", "layers", "base"),
        ("full", "lora", "full"),
        ("full", "prompt", "full"),
        ("lora", "lora", "base"),
        ("ia3", "ia3", "base"),
        ("prompt", "prompt", "base"),
        ("lora", "full", "base"),
    ],
)
def test_a_stage_begins_where_the_one_before_ended(stages, examples, tmp_path, first, then, stands_on):
    stage = stages[first]
    out = train(recipe("", tmp_path / "two", then, after=str(stage), **STILL), examples, silent)
    checkpoint, facts = recognise(str(out)), facts_of(out)
    verify(checkpoint)
    assert checkpoint.base == stages[stands_on].resolve()
    assert facts["after"]["fingerprint"] == recognise(str(stage)).fingerprint and facts["after"]["name"] == first
    assert (out / facts["after"]["path"]).resolve() == stage.resolve()
    assert ("first_base" in facts) == (stands_on == "full")
    if then != "prompt" or first == "prompt":
        assert torch.allclose(logits(out), logits(stage), atol=1e-4)


def test_a_prefix_goes_on(stages, examples, tmp_path):
    out = train(recipe("", tmp_path / "two", "prefix", after=str(stages["prefix"]), **STILL), examples, silent)
    assert torch.allclose(weights(out)["prompt_embeddings"], weights(stages["prefix"])["prompt_embeddings"], atol=1e-6)


def test_an_adapter_that_goes_on_keeps_its_own_shape(stages, examples, tmp_path):
    with pytest.raises(UsageError, match="--rank: 4: the adapter that goes on has 8"):
        train(recipe("", tmp_path / "two", after=str(stages["lora"]), rank=4), examples, silent)
    small = train(recipe(stages["base"], tmp_path / "small", rank=2, targets=("q_proj",), steps=1), examples, silent)
    out = train(recipe("", tmp_path / "two", after=str(small), steps=1), examples, silent)
    assert facts_of(out)["recipe"]["rank"] == 2 and facts_of(out)["recipe"]["targets"] == ["q_proj"]
    assert weights(out).keys() == weights(small).keys()


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        ("lora", "prompt", "cannot be put"),
        (
            "prompt",
            "full",
            "cannot be put; go on with the same method, or begin anew with --base .*: virtual tokens cannot be merged",
        ),
        ("p-tuning", "full", "cannot be put; begin anew with --base"),
        ("lora", "ia3", "cannot be put; go on with the same method, or merge it into its base first"),
        ("p-tuning", "p-tuning", "leaves no network"),
    ],
)
def test_what_cannot_go_on(stages, examples, tmp_path, first, then, said):
    with pytest.raises(UsageError, match=f"--after: .*{said}"):
        train(recipe("", tmp_path / "two", then, after=str(stages[first])), examples, silent)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def when_opened(monkeypatch):
    """Has something done once the weights are in memory, before what is to be trained is made of them."""

    def arrange(act) -> None:
        monkeypatch.setattr(loop, "set_seed", lambda seed: act())

    return arrange


@pytest.mark.fault(10)
@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_an_adapter_that_was_written_over_is_not_gone_on_from(stages, examples, tmp_path, when_opened, method):
    stage = shutil.copytree(stages[method], tmp_path / "stage")
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        path = stage / name
        before, other = path.read_bytes(), other_content(path)
        when_opened(lambda path=path, other=other: overwrite(path, other))
        with pytest.raises(ModelError, match=f"{stage}: its files changed"):
            train(recipe(stages["base"], tmp_path / "two", method, after=str(stage), **STILL), examples, silent)
        overwrite(path, before)
    assert list(tmp_path.iterdir()) == [stage]


@pytest.mark.fault(10)
def test_what_is_recorded_of_a_base_is_what_was_trained(base, examples, tmp_path, when_opened):
    copy = shutil.copytree(base, tmp_path / "base")
    paths = [copy / name for name in ("model.safetensors", "generation_config.json")]
    before, weights_before = paths[1].read_bytes(), fingerprint.of_tensors(copy)
    when_opened(lambda: [overwrite(path, other_content(path)) for path in paths])
    out = train(recipe(copy, tmp_path / "candidate", "full", **STILL), examples, silent)
    assert fingerprint.of_tensors(copy) != weights_before == facts_of(out)["base_weights"]
    assert (out / "generation_config.json").read_bytes() == before
