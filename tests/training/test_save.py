"""What a saved candidate says of its base, and the type that it is saved in."""

from __future__ import annotations

import json
import os
import shutil

import huggingface_hub
import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from training.makers import equal, recipe, silent, weights
from transformers import AutoModelForCausalLM

from evalharness.checkpoints.libraries import quiet
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.training.loop import train

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB_ID = "somebody/little"


def named_by(out):
    config = json.loads((out / "adapter_config.json").read_text())
    return config["base_model_name_or_path"], config["revision"]


def facts_of(out):
    return json.loads((out / "training.json").read_text())


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # peft looks at it each time


@pytest.fixture
def on_hub(base, tmp_path, monkeypatch):
    """The base in a cache of the hub's, which is away; the snapshot's folder."""
    place = tmp_path / "cache" / "models--somebody--little"
    shutil.copytree(base, place / "snapshots" / COMMIT)
    (place / "refs").mkdir()
    for name in ("main", "v2"):
        (place / "refs" / name).write_text(COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return place / "snapshots" / COMMIT


@pytest.mark.parametrize(("method", "revision"), [("lora", None), ("lora", "v2"), ("prompt", None)])
def test_an_adapter_of_a_hub_base_names_the_hub(on_hub, examples, tmp_path, method, revision):
    given = HUB_ID if revision is None else f"{HUB_ID}@{revision}"
    out = train(recipe(given, tmp_path / "candidate", method, steps=2), examples, silent)
    assert (
        named_by(out) == (HUB_ID, revision) and (facts_of(out)["base"], facts_of(out)["base_as_given"]) == (given,) * 2
    )
    assert str(tmp_path) not in (out / "adapter_config.json").read_text()
    verify(recognise(str(out)))
    with quiet():
        AutoPeftModelForCausalLM.from_pretrained(str(out))
    (out / "training.json").unlink()
    assert recognise(str(out)).base == on_hub


def test_a_second_stage_names_the_hub_too(on_hub, examples, tmp_path):
    first = train(recipe(f"{HUB_ID}@v2", tmp_path / "one", steps=1), examples, silent)
    second = train(recipe("", tmp_path / "two", after=str(first), steps=1), examples, silent)
    assert named_by(second) == (HUB_ID, "v2") and facts_of(second)["base"] == f"{HUB_ID}@v2"
    on_weights = train(recipe("", tmp_path / "three", after=HUB_ID, steps=1), examples, silent)
    assert named_by(on_weights) == (HUB_ID, None) and facts_of(on_weights)["after"]["path"] == HUB_ID
    assert recognise(str(on_weights)).base == on_hub


@pytest.mark.parametrize("method", ["lora", "prompt"])
def test_an_adapter_of_a_local_base_names_it_as_given_and_is_found_from_anywhere(
    base, examples, tmp_path, monkeypatch, method
):
    shutil.copytree(base, tmp_path / "here" / "models" / "little")
    monkeypatch.chdir(tmp_path / "here")
    out = train(recipe("models/little", "out", method, steps=2), examples, silent).resolve()
    assert named_by(out) == ("./models/little", None) and facts_of(out)["base_as_given"] == "models/little"
    with quiet():
        AutoPeftModelForCausalLM.from_pretrained("out")
    monkeypatch.chdir(tmp_path)
    assert recognise(str(out)).base == tmp_path / "here" / "models" / "little"
    os.rename(tmp_path / "here", tmp_path / "there")
    moved = tmp_path / "there" / "out"
    assert recognise(str(moved)).base == tmp_path / "there" / "models" / "little"
    with quiet():
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(moved))
    monkeypatch.chdir(tmp_path / "there")
    (moved / "training.json").unlink()
    assert recognise(str(moved)).base == tmp_path / "there" / "models" / "little"


def test_a_stage_on_a_local_adapter_names_the_base_from_here(base, examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = train(recipe(base, "one", steps=1), examples, silent)
    second = train(recipe("", "two", after=str(first), steps=1), examples, silent)
    assert named_by(first) == (str(base), None) and named_by(second) == (os.path.relpath(base), None)
    assert recognise(str(second)).base == base


# ---- the type of the files -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def half(base, tmp_path_factory):
    """The base, stored in bfloat16."""
    folder = tmp_path_factory.mktemp("models") / "half"
    shutil.copytree(base, folder)
    with quiet():
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(folder)
    return folder


def dtypes(out):
    return {tensor.dtype for tensor in weights(out).values()}


def test_full_weights_are_saved_as_their_base_is(base, half, examples, tmp_path):
    out = train(recipe(half, tmp_path / "as-base", "full", steps=2), examples, silent)
    whole = train(recipe(half, tmp_path / "whole", "full", steps=2, save_dtype="float32"), examples, silent)
    assert dtypes(out) == {torch.bfloat16} and dtypes(whole) == {torch.float32}
    assert (facts_of(out)["saved_as"], facts_of(whole)["saved_as"]) == ("bfloat16", "float32")
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    precise = weights(whole)
    assert all(torch.equal(tensor, precise[name].bfloat16()) for name, tensor in weights(out).items())
    computed_in_half = train(recipe(base, tmp_path / "float32", "full", dtype="bfloat16", steps=1), examples, silent)
    assert dtypes(computed_in_half) == {torch.float32}


@pytest.mark.parametrize("method", ["lora", "prompt", pytest.param("p-tuning", marks=pytest.mark.slow)])
def test_adapters_are_saved_as_they_are_trained_unless_asked_otherwise(half, examples, tmp_path, method):
    plan = {"steps": 1, "dtype": "bfloat16"}
    out = train(recipe(half, tmp_path / "candidate", method, **plan), examples, silent)
    small = train(recipe(half, tmp_path / "small", method, **plan, save_dtype="bfloat16"), examples, silent)
    assert (dtypes(out), dtypes(small)) == ({torch.float32}, {torch.bfloat16})
    assert facts_of(small)["saved_as"] == "bfloat16"
    verify(recognise(str(small)))


def test_a_kill_rounds_nothing(half, examples, tmp_path):
    """The states on the way are float32: what goes on from one ends as if there had been none."""
    plan = {"steps": 4, "save_every": 1}
    whole = train(recipe(half, tmp_path / "whole", "full", **plan), examples, silent)

    class Killed(BaseException): ...

    def kill(text):
        if text.startswith("step 3/"):
            raise Killed

    broken = recipe(half, tmp_path / "broken", "full", **plan)
    with pytest.raises(Killed):
        train(broken, examples, kill)
    reports = []
    assert equal(whole, train(broken, examples, reports.append)) and "going on from step 2" in reports
