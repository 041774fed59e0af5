"""--optimizer and --max-grad-norm: what a step does, and what is recorded of it."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
from training.makers import equal, recipe, silent, weights

from evalharness.errors import UsageError
from evalharness.training import start
from evalharness.training.loop import train
from evalharness.training.trainer import optimizer_of


def changed(base, out):
    """The change of the weights, as one vector; both files hold the tied table once."""
    before, after = weights(base), weights(out)
    return torch.cat([(after[name] - before[name]).flatten() for name in sorted(after)])


def test_a_clipped_step_of_sgd_is_as_long_as_it_may_be(base, examples, tmp_path):
    """A step of plain gradient descent is rate × gradient: its length is known where the gradient's is."""
    common = {"steps": 1, "warmup": 0.0, "optimizer": "sgd", "scheduler": "constant", "learning_rate": 0.5}
    steps = {
        norm: changed(
            base, train(recipe(base, tmp_path / str(norm), "full", max_grad_norm=norm, **common), examples, silent)
        )
        for norm in (0.0, 0.01, 1e6)
    }
    assert float(steps[0.01].norm()) == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert torch.equal(steps[0.0], steps[1e6]) and float(steps[0.0].norm()) > 0.1
    cosine = torch.nn.functional.cosine_similarity(steps[0.0], steps[0.01], dim=0)
    assert float(cosine) == pytest.approx(1.0, abs=1e-3)
    facts = json.loads((tmp_path / "0.01" / "training.json").read_text())
    assert facts["optimiser"] == {"name": "SGD", "optimizer": "sgd", "max_grad_norm": 0.01}


@pytest.mark.slow
def test_the_default_is_transformers_own(base, examples, tmp_path):
    default = recipe(base, tmp_path / "default", steps=3)
    named = recipe(base, tmp_path / "named", steps=3, optimizer=optimizer_of(default), max_grad_norm=1.0)
    assert equal(train(default, examples, silent), train(named, examples, silent))


@pytest.mark.parametrize("name", ["adafactor", "adamw_8bit"])
def test_it_learns(base, examples, tmp_path, name):
    if name == "adamw_8bit" and importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is an extra")
    facts = json.loads(
        (train(recipe(base, tmp_path / "out", optimizer=name), examples, silent) / "training.json").read_text()
    )
    assert facts["losses"][-1] < facts["losses"][0] and facts["optimiser"]["optimizer"] == name
    assert facts["optimiser"]["name"] == ("Adafactor" if name == "adafactor" else "AdamW")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adam", "--optimizer: unknown optimizer 'adam'; known: adafactor"),
        ("paged_adamw_8bit", "--optimizer: paged_adamw_8bit pages its states out of an NVIDIA GPU, and there is none"),
    ],
)
def test_what_cannot_be_had_is_said_before_anything_is_read(tmp_path, name, message):
    with pytest.raises(UsageError, match=message):
        start.check_machine(recipe("nowhere", tmp_path / "out", optimizer=name))


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="adamw_8bit: bitsandbytes is not installed; pip install"):
        start.check_machine(recipe("nowhere", tmp_path / "out", optimizer="adamw_8bit"))
