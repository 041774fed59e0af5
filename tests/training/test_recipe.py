"""Recipes are checked where they are made; a recipe survives the command line, training.json and the way back."""

from __future__ import annotations

import json
from dataclasses import fields

import click
import pytest

from evalharness.cli.train import _recipe, train_command
from evalharness.errors import UsageError
from evalharness.training.methods import FLAGS, TRAINING_METHODS, flag
from evalharness.training.recipe import Recipe

LEAST = {"method": "lora", "base": "base", "out": "out", "target": "topics"}
LAYERS = {**LEAST, "method": "layers", "parameters": ("*norm*",)}


def test_defaults_depend_on_the_method():
    rates = [Recipe(**{**LEAST, "method": method}).rate for method in ("full", "lora", "prompt")]
    assert rates == sorted(rates) and len(set(rates)) == 3
    assert Recipe(**LEAST, rank=16).scale == 32
    assert Recipe(**LEAST, alpha=1.0).scale == 1
    assert Recipe(**LEAST).option("rank") == 8 and Recipe(**{**LEAST, "method": "full"}).option("rank") is None


def test_steps():
    assert Recipe(**LEAST, batch_size=10).steps_for(95) == 30
    assert Recipe(**LEAST, batch_size=10, epochs=0.5).steps_for(95) == 5
    assert Recipe(**LEAST, steps=7).steps_for(95) == 7
    assert Recipe(**LEAST, batch_size=5, gradient_accumulation=2).steps_for(95) == 30


def test_there_and_back_through_json():
    recipe = Recipe(**LEAST, targets=("q_proj", "v_proj"), replay={"sst2": 0.1}, steps=3)
    again = Recipe.from_fields(json.loads(json.dumps(recipe.to_json())))
    assert again.to_json() == recipe.to_json() and again.targets == ("q_proj", "v_proj")
    with pytest.raises(UsageError, match="did you mean rank"):
        Recipe.from_fields({**LEAST, "ranks": 1})
    with pytest.raises(UsageError, match="needed"):
        Recipe.from_fields({"method": "lora"})


GIVEN = {  # every field, with a value that is not its default, as it is typed
    "lora": "--rank 4 --alpha 3 --dropout 0.1 --targets q_proj,v_proj --dora --rslora --packing --max-length 90",
    "qlora": "--rank 4 --targets attention",
    "ia3": "--targets model.layers.*",
    "prompt": "--virtual-tokens 7 --group-by-length --gradient-checkpointing",
    "prefix": "--virtual-tokens 7",
    "p-tuning": "--virtual-tokens 7 --encoder-hidden 9",
    "bitfit": "--train-file f.jsonl --validation-file v.jsonl",
    "layers": "--train *norm* --train model.layers.3.*",
    "full": (
        "--template all --mix a=2 --mix b --replay c=0.1 --validation 0.2 --after stage --lr 0.5 --batch-size 3"
        " --gradient-accumulation 2 --steps 9 --lr-scheduler cosine --warmup 0.1 --weight-decay 0.2 --eval-every 4"
        " --patience 5 --save-every 6 --seed 7 --device cpu --dtype bfloat16"
    ),
}


@pytest.mark.parametrize("method", TRAINING_METHODS)
def test_there_and_back_through_the_command_line(method):
    with click.Context(train_command) as context:
        typed = ["--method", str(method), "--base", "base", "--out", "out", "--task", "topics", *GIVEN[method].split()]
        train_command.parse_args(context, typed)
        recipe = _recipe(context.params)
    again = Recipe.from_fields(json.loads(json.dumps(recipe.to_json())))
    assert again.to_json() == recipe.to_json()
    for name in GIVEN[method].split():
        if name.startswith("--") and name not in ("--mix", "--replay"):
            field = next((key for key, value in FLAGS.items() if value == name), name[2:].replace("-", "_"))
            default = next(item.default for item in fields(Recipe) if item.name == field)
            assert getattr(recipe, field) != default and recipe.to_json()[field] not in (None, default)


def test_every_field_is_an_option():
    known = {name for each in train_command.params for name in each.opts}
    assert {flag(item.name) for item in fields(Recipe)} <= known
    assert all(each.help for each in train_command.params if each.name != "help")


def test_help_shows_every_option(capsys):
    with click.Context(train_command) as context:
        text = train_command.get_help(context)
    assert all(f"{each.opts[0]}" in text for each in train_command.params)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "loar"}, "did you mean lora"),
        ({"rank": 0}, "--rank: 0; a whole number above zero"),
        ({"learning_rate": 0.0}, "--lr: 0.0; a number above 0"),
        ({"learning_rate": float("nan")}, "--lr"),
        ({"steps": 0}, "--steps"),
        ({"batch_size": 1.5}, "--batch-size"),
        ({"gradient_accumulation": 0}, "--gradient-accumulation"),
        ({"alpha": -1.0}, "--alpha"),
        ({"alpha": 0.0}, "--alpha"),
        ({"dropout": 1.0}, "at least 0 and below 1"),
        ({"method": "prompt", "virtual_tokens": 0}, "--virtual-tokens"),
        ({"seed": -1}, "--seed"),
        ({"epochs": 0.0}, "--epochs"),
        ({"epochs": 1.0, "steps": 1}, "one of them"),
        ({"replay": {"sst2": 1.0}}, "--replay sst2"),
        ({"replay": {"sst2": 0.5, "cola": 0.5}}, "add up to 1"),
        ({"mix": {"sst2": 0.0}}, "--mix sst2"),
        ({"targets": ("q_proj", "")}, "--targets"),
        ({"dtype": "float16"}, "--dtype"),
        ({"base": ""}, "--base"),
        ({"target": ""}, "--task"),
        ({"scheduler": "cosin"}, "--lr-scheduler: .*did you mean cosine"),
        ({"method": "ia3", "rank": 4}, "--rank: is no option of ia3; it belongs to lora, qlora"),
        ({"method": "full", "targets": ("q_proj",)}, "--targets: is no option of full"),
        ({"virtual_tokens": 4}, "--virtual-tokens: is no option of lora"),
        ({"method": "prompt", "hidden": 4}, "--encoder-hidden: is no option of prompt; it belongs to p-tuning"),
        ({"method": "prefix", "dora": True}, "--dora: is no option of prefix"),
        ({"parameters": ("*norm*",)}, "--train: is no option of lora; it belongs to layers"),
        ({"method": "layers"}, "--train: names no parameters"),
        ({"validation": 1.0}, "--validation"),
        ({"validation": 0.1, "validation_file": "v"}, "one of them"),
        ({"packing": True, "group_by_length": True}, "one of them"),
        ({"method": "prompt", "packing": True}, "--packing: prompt"),
        ({"method": "prefix", "gradient_checkpointing": True}, "--gradient-checkpointing"),
        ({"train_file": "f", "template": "all"}, "has no wordings"),
    ],
)
def test_what_cannot_be_trained_with_is_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        Recipe(**{**LEAST, **wrong})
