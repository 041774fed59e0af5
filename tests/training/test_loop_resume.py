"""A training that is killed goes on from its last saved state and ends with the weights of an uninterrupted one, bit by
bit.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from training.makers import equal, recipe, silent

from evalharness.errors import StoreError, UsageError
from evalharness.folder_lock import hold_folder
from evalharness.training import loop
from evalharness.training.loop import train
from evalharness.training.output_lock import UnfinishedOutput

CASES = {
    "full": {},
    "lora": {"dropout": 0.2},
    "p-tuning": {},
    "prefix": {},
    "layers": {"gradient_accumulation": 3},
    "prompt": {"group_by_length": True},
}


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=pytest.mark.slow if name in ("prefix", "p-tuning") else ()) for name in CASES]
)
def test_it_ends_as_if_nothing_had_happened(base, examples, tmp_path, killed_at, method):
    """Killed in the middle of a pass and at its end, each time a step after the one that was saved."""
    validated = replace(examples, validation=examples.examples[:2], validation_source={"digest": "x"})
    plan = recipe(
        base, tmp_path / "a" / "candidate", method, steps=9, batch_size=3, save_every=2, eval_every=2, **CASES[method]
    )
    again = replace(plan, out=str(tmp_path / "b" / "candidate"))
    whole = train(plan, validated, silent)
    killed_at(again, validated, 3)
    assert [path.name for path in (tmp_path / "b").iterdir()] == [".candidate.unfinished"]
    killed_at(again, validated, 7)
    reports = []
    out = train(again, validated, reports.append)
    assert "going on from step 6" in reports and equal(whole, out)
    mine, its = (json.loads((folder / "training.json").read_text()) for folder in (out, whole))
    assert all(mine[key] == its[key] for key in ("losses", "validation", "tokens", "steps", "trainable", "data"))
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["candidate"]


def test_another_recipe_or_other_data_begins_anew(base, examples, tmp_path, killed_at):
    plan = recipe(base, tmp_path / "candidate", save_every=1, steps=4)
    for other, data in (
        (replace(plan, learning_rate=0.02), examples),
        (plan, replace(examples, examples=examples.examples[:12])),
    ):
        killed_at(plan, examples, 3)
        reports = []
        out = train(other, data, reports.append)
        assert any("begins anew" in line for line in reports) and not any("going on" in line for line in reports)
        assert equal(out, train(replace(other, out=str(tmp_path / "fresh")), data, silent))
        for path in tmp_path.iterdir():
            for each in path.iterdir():
                each.unlink()
            path.rmdir()


def test_a_state_that_was_cut_short_is_passed_over(base, examples, tmp_path, killed_at):
    plan = recipe(base, tmp_path / "candidate", save_every=2, steps=6)
    killed_at(plan, examples, 3)
    half = UnfinishedOutput(tmp_path / "candidate").states / "checkpoint-4"
    half.mkdir()
    (half / "trained.safetensors").write_bytes(b"half")
    reports = []
    out = train(plan, examples, reports.append)
    assert "going on from step 2" in reports
    assert equal(out, train(replace(plan, out=str(tmp_path / "fresh")), examples, silent))


def test_two_at_once_are_refused(base, examples, tmp_path):
    work = UnfinishedOutput(tmp_path / "candidate")
    said = r"another run \(process \d+, begun .*\) writes to .*candidate;"
    with hold_folder(work.folder, "--out"), pytest.raises(UsageError, match=said):
        train(recipe(base, tmp_path / "candidate", steps=1), examples, silent)
    assert train(recipe(base, tmp_path / "candidate", steps=1), examples, silent).is_dir()


def test_a_full_disk_keeps_what_was_saved(base, examples, tmp_path, monkeypatch):
    plan = recipe(base, tmp_path / "candidate", save_every=1, steps=2)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_model", full)
        with pytest.raises(StoreError, match="No space left"):
            train(plan, examples, silent)
    assert [path.name for path in tmp_path.iterdir()] == [".candidate.unfinished"]
    reports = []
    train(plan, examples, reports.append)
    assert "going on from step 1" in reports and [path.name for path in tmp_path.iterdir()] == ["candidate"]
