"""`train --config`: a recipe out of training.json or a file of options; the command line stands over it."""

from __future__ import annotations

import json
import os

import pytest
from command_line import exit_code
from training.makers import equal

from evalharness.training.recipe_file import read_recipe_file


@pytest.fixture
def rows(place):
    return ["--data-dir", str(place / "rows"), "--include-path", str(place / "tasks"), "-q"]


def facts_of(folder):
    return json.loads((folder / "training.json").read_text())


OWN = {
    "lora": ["--rank", "4", "--targets", "q_proj,v_proj", "--dropout", "0.1", "--rslora"],
    "layers": ["--train", "*norm*", "--train", "*.1.*", "--optimizer", "adafactor"],
    "prompt": ["--virtual-tokens", "3", "--group-by-length", "--max-grad-norm", "0"],
}


@pytest.mark.parametrize("method", ["lora", *(pytest.param(m, marks=pytest.mark.slow) for m in ("layers", "prompt"))])
def test_the_same_recipe_gives_the_same_weights(given, place, rows, method):
    first, second = place / "candidate", place / "second"
    more = ["--mix", "plays=0.5", "--replay", "plays=0.1", "--validation", "0.2", "--lr", "0.003", "--seed", "7"]
    given = [each for each in given if each not in ("--lr", "0.01")]
    assert exit_code("train", "--method", method, "--task", "films", *given, *more, *OWN[method]) == 0
    assert exit_code("train", "--config", first / "training.json", "--out", second, *rows) == 0
    one, other = facts_of(first), facts_of(second)
    assert equal(first, second) and one["losses"] == other["losses"]
    assert {**one["recipe"], "out": ""} == {**other["recipe"], "out": ""} and one["optimiser"] == other["optimiser"]


def test_files_and_the_base_are_found_from_another_folder(base, place, monkeypatch):
    """Paths as they were typed lead nowhere from there; a candidate that goes on from another is found again, too."""
    (place / "mine.jsonl").write_text('{"prompt": "it is", "completion": " good"}\n' * 4)
    (place / "bases").mkdir()
    (place / "bases" / "one").symlink_to(base)
    monkeypatch.chdir(place)
    common = ["--method", "lora", "--steps", "2", "--device", "cpu", "-q"]
    one = [*common, "--base", "bases/one", "--train-file", "mine.jsonl", "--validation-file", "mine.jsonl"]
    assert exit_code("train", *one, "--out", "first") == 0
    assert exit_code("train", *common, "--after", "first", "--train-file", "mine.jsonl", "--out", "after") == 0
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    for name in ("first", "after"):
        assert exit_code("train", "--config", f"../{name}/training.json", "--out", f"{name}-again", "-q") == 0
        assert equal(place / name, place / "elsewhere" / f"{name}-again")


CONFIGS = {
    "config.yaml": "method: lora\ntask: films\nlr: 1e-2\nsteps: 2\nmix: {plays: 0.5}\ntargets: [q_proj, v_proj]\n"
    "base: base\nrank: 4\nalpha: 8\n",
    "config.toml": 'method = "lora"\ntask = "films"\nlr = 1e-2\nsteps = 2\nmix = ["plays=0.5"]\nrank = 4\nalpha = 8\n'
    'targets = "q_proj,v_proj"\nbase = "base"\n',
    "config.json": '{"method": "lora", "target": "films", "learning_rate": 0.01, "steps": 2, "mix": {"plays": 0.5}, '
    '"rank": 4, "alpha": 8, "targets": ["q_proj", "v_proj"], "base": "base", "batch-size": 16, "epochs": null}',
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_file_of_options_and_what_is_typed_over_it(base, place, rows, name):
    """Paths in the file are its folder's; --epochs on the command line takes the place of its steps."""
    (place / "recipes").mkdir()
    (place / "recipes" / "base").symlink_to(base)
    config = place / "recipes" / name
    config.write_text(CONFIGS[name])
    typed = ["--config", config, "--out", place / "candidate", "--epochs", "1", "--rank", "2", "--device", "cpu"]
    assert exit_code("train", *typed, *rows) == 0
    recipe = facts_of(place / "candidate")["recipe"]
    assert (recipe["steps"], recipe["epochs"], recipe["rank"], recipe["alpha"]) == (None, 1.0, 2, 8.0)
    assert (recipe["learning_rate"], recipe["mix"], recipe["targets"]) == (0.01, {"plays": 0.5}, ["q_proj", "v_proj"])
    assert os.path.samefile(recipe["base"], base)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.yaml", "learning_rat: 0.1", "c.yaml: learning_rat: there is no such option; did you mean"),
        ("c.yaml", "steps: many", "c.yaml: steps: 'many' is no value of it; a whole number would be right"),
        ("c.yaml", "optimizer: adam", "c.yaml: optimizer"),
        ("c.yaml", "json: true", "c.yaml: json: is for one call"),
        ("c.yaml", "config: c.yaml", "c.yaml: config: is for one call"),
        ("c.yaml", "- 1", "holds no options by name"),
        ("c.yaml", "a: [", "is no YAML"),
        ("c.json", "{", "is no JSON"),
        ("c.toml", "a =", "is no TOML"),
        ("c.ini", "", "its name does not end in .json, .toml"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(place, monkeypatch, capsys, name, text, message):
    monkeypatch.chdir(place)
    (place / name).write_text(text)
    assert exit_code("train", "--config", name, "--method", "lora", "--out", "candidate") == 2
    assert message in capsys.readouterr().err


def test_the_file_stands_over_the_repository(place, rows, base, monkeypatch):
    """What it excludes of what the repository's file states goes, too."""
    monkeypatch.chdir(place)
    (place / "evalharness.toml").write_text("[train]\nepochs = 2\nbatch_size = 2\nrank = 2\n")
    (place / "c.yaml").write_text("steps: 2\nrank: 4\n")
    typed = ["--config", "c.yaml", "--method", "lora", "--task", "films", "--base", base, "--out", "candidate"]
    assert exit_code("train", *typed, *rows) == 0
    recipe = facts_of(place / "candidate")["recipe"]
    assert [recipe[key] for key in ("steps", "epochs", "batch_size", "rank")] == [2, None, 2, 4]


def test_a_training_json_brings_everything_but_its_place(given, place):
    assert exit_code("train", "--method", "lora", "--task", "films", *given, "-q") == 0
    assert "out" not in read_recipe_file(place / "candidate" / "training.json")
