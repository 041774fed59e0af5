"""Folders of several checkpoints: what lies inside, in which order, and `DIR/*`."""

from __future__ import annotations

import shutil

import pytest

from evalharness.checkpoints.discover import base_of, checkpoints_in, expand, expand_all
from evalharness.checkpoints.naming import parse
from evalharness.checkpoints.recognise import recognise
from evalharness.errors import ModelError


@pytest.fixture
def output(zoo, tmp_path):
    """A trainer's output folder, without final weights."""
    folder = tmp_path / "out"
    for step in (5, 100, 20):
        shutil.copytree(zoo["llama"], folder / f"checkpoint-{step}")
    (folder / "runs").mkdir()
    (folder / ".cache").mkdir()
    (folder / "trainer_state.json").write_text("{}")
    return folder


@pytest.fixture
def several(zoo, tmp_path):
    """As peft saves a model with the adapters default, b and a."""
    folder = shutil.copytree(zoo["llama-lora"], tmp_path / "adapters")
    shutil.copytree(zoo["llama-lora"], folder / "b")
    shutil.copytree(zoo["llama-prompt"], folder / "a")
    return folder


def names(paths):
    return [path.name for path in paths]


def test_a_trainers_output_folder(output, zoo):
    assert names(checkpoints_in(output)) == ["checkpoint-5", "checkpoint-20", "checkpoint-100"]
    with pytest.raises(ModelError) as error:
        recognise(str(output))
    what = "no checkpoint itself, but 3 inside: checkpoint-5, checkpoint-20, checkpoint-100"
    fix = f"name the newest ({output}/checkpoint-100), or every one with '{output}/*' in quotes"
    fix += f"; `evalharness trace --model '{output}/*'` says what was forgotten when"
    assert (error.value.what, error.value.fix) == (what, fix)
    assert recognise(str(output / "checkpoint-20")).name == "checkpoint-20"
    shutil.copytree(zoo["llama"], output, dirs_exist_ok=True)  # training ended: the final weights are the checkpoint
    assert recognise(str(output)).fingerprint == recognise(str(zoo["llama"])).fingerprint


def test_a_configuration_at_the_top_without_weights(output, zoo):
    shutil.copy(zoo["llama"] / "config.json", output)
    with pytest.raises(ModelError, match="no checkpoint itself, but 3 inside"):
        recognise(str(output))


def test_an_unfinished_checkpoint_is_not_left_out_in_silence(output):
    (output / "checkpoint-100" / "model.safetensors").unlink()
    (output / "checkpoint-7").mkdir()
    assert names(checkpoints_in(output)) == ["checkpoint-5", "checkpoint-7", "checkpoint-20", "checkpoint-100"]
    for name, words in (("checkpoint-7", "an empty directory"), ("checkpoint-100", "config.json without weights")):
        with pytest.raises(ModelError, match=words):
            recognise(str(output / name))


def test_several_adapters_in_one_directory(several):
    assert recognise(str(several)).kind == "lora"  # peft's default one lies at the top
    assert [recognise(str(path)).kind for path in checkpoints_in(several)] == ["prompt", "lora"]
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (several / name).unlink()
    with pytest.raises(ModelError, match=r"no checkpoint itself, but 2 inside: a, b; name one"):
        recognise(str(several))
    shutil.rmtree(several / "a")
    with pytest.raises(ModelError, match=r"no checkpoint itself, but one inside: b; name one"):
        recognise(str(several))


def test_every_one_by_a_star(output, several, zoo):
    assert expand(f"{output}/*") == tuple(f"{output}/checkpoint-{step}" for step in (5, 20, 100))
    assert expand(f"run={several}/*") == (f"run-a={several}/a", f"run-b={several}/b")
    assert expand(str(zoo["llama"])) == (str(zoo["llama"]),)
    assert expand("somebody/model@main") == ("somebody/model@main",)
    assert [recognise(text).name for text in expand(f"run={output}/*")] == [
        "run-checkpoint-5",
        "run-checkpoint-20",
        "run-checkpoint-100",
    ]


def test_a_star_with_nothing_behind_it(tmp_path, zoo):
    with pytest.raises(ModelError, match="no directory"):
        expand(f"{tmp_path}/nowhere/*")
    with pytest.raises(ModelError, match="no checkpoint inside"):
        expand(f"{tmp_path}/*")
    with pytest.raises(ModelError, match="no directory"):
        expand(f"x={zoo['llama']}/config.json/*")


def test_folders_of_one_name_are_told_apart_by_their_parents(output, several, tmp_path):
    other = shutil.copytree(output, tmp_path / "other")
    texts = expand_all([f"{output}/*", f"{other}/checkpoint-5", f"mine={other}/checkpoint-20", f"{several}/*"])
    assert [recognise(text).name for text in texts] == [
        "out-checkpoint-5",
        "checkpoint-20",
        "checkpoint-100",
        "other-checkpoint-5",
        "mine",
        "a",
        "b",
    ]
    assert expand_all([str(output / "checkpoint-5"), "a/b"]) == (str(output / "checkpoint-5"), "a/b")


def test_names_with_an_equals_sign(tmp_path, zoo):
    folder = tmp_path / "lr=1" / "lr=2"
    shutil.copytree(zoo["llama"], folder)
    (text,) = expand(f"x={tmp_path}/lr=1/*")
    assert (parse(text).name, parse(text).location) == ("x-lr-2", str(folder))
    assert [recognise(one).name for one in expand(f"{tmp_path}/lr=1/*")] == ["lr=2"]


def test_a_step_on_the_way_knows_what_the_folder_above_says(output, zoo, edit_json):
    facts = {"target_task": "rte", "method": "full", "recipe": {"learning_rate": 0.1, "steps": 100}, "seconds": 3}
    edit_json(output / "training.json", base=str(zoo["gpt2"]), **facts)
    checkpoint = recognise(str(output / "checkpoint-20"))
    assert (checkpoint.base, checkpoint.target_task) == (zoo["gpt2"], "rte")
    assert checkpoint.training == {"method": "full", "learning_rate": 0.1}  # steps and seconds are those of the end
    edit_json(output / "training.json", base="checkpoint-5")  # relative to the file that says so
    assert base_of(str(output / "checkpoint-20")) == str(output / "checkpoint-5")


def test_the_cache_of_a_hub_model_is_refused_with_the_snapshot_that_works(tmp_path, zoo):
    cache = tmp_path / "models--org--m"
    for name in ("blobs", "refs"):
        (cache / name).mkdir(parents=True)
    shutil.copytree(zoo["llama"], cache / "snapshots" / "abc123")
    with pytest.raises(ModelError, match="is the cache of a hub model, not a checkpoint; give ") as refused:
        recognise(str(cache))
    assert recognise(refused.value.fix.removeprefix("give ")).name == "abc123"
