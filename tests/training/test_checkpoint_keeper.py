"""Candidates kept on the way: whole ones, and a training that is what it would be without them."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
import torch
from training.makers import equal, recipe, silent, weights

import evalharness
from evalharness import results
from evalharness.checkpoints.discover import checkpoints_in, expand, steps_of
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.experiments.bisect import run_bisect
from evalharness.experiments.jobs import BisectJob
from evalharness.records.job_options import make_job
from evalharness.training.loop import train
from evalharness.training.output_lock import UnfinishedOutput
from evalharness.training.summary import summary

METHODS = {"full": {"save_dtype": "bfloat16"}, "lora": {"dropout": 0.2}, "p-tuning": {}, "prefix": {}}


def names(folder):
    return [path.name for path in checkpoints_in(folder)]


@pytest.mark.parametrize(
    "method", ["full", "lora", *(pytest.param(m, marks=pytest.mark.slow) for m in ("p-tuning", "prefix"))]
)
def test_what_is_kept_is_a_candidate_and_changes_nothing(base, examples, tmp_path, method):
    """A kept candidate of step 2 has the weights of that step's state; the training ends as one that keeps none."""
    plan = recipe(base, tmp_path / "kept", method, keep_checkpoints=2, **METHODS[method])
    alone = train(replace(plan, out=str(tmp_path / "alone"), keep_checkpoints=None), examples, silent)
    reports = []
    out = train(plan, examples, reports.append)
    assert equal(out, alone) and any(line.startswith("keeping at most 2 checkpoints on the way") for line in reports)
    files = {path.name for path in alone.iterdir()}
    for step in (2, 4):
        folder = out / "checkpoints" / f"step-{step}"
        checkpoint, facts = recognise(str(folder)), json.loads((folder / "training.json").read_text())
        verify(checkpoint)
        assert checkpoint.base == base.resolve() and {path.name for path in folder.iterdir()} == files
        assert (facts["steps"], facts["kept"]) == (step, {"step": step, "of": 6}) and "checkpoints" not in facts
        assert (folder / facts["base"]).resolve() == base.resolve() and facts["recipe"]["out"] == str(out)
        assert not equal(folder, out)
    facts, whole = (json.loads((folder / "training.json").read_text()) for folder in (out, alone))
    assert facts["losses"] == whole["losses"]
    size = sum(path.stat().st_size for path in (out / "checkpoints").glob("*/*.safetensors"))
    assert facts["checkpoints"] == {"every": 2, "steps": [2, 4], "bytes": size} and "checkpoints" not in whole
    assert any(line.startswith("kept:") and "step-2, step-4" in line for line in summary(out, facts))
    assert {path.name: path.read_text() for path in out.glob("*config.json")} == {
        path.name: path.read_text() for path in alone.glob("*config.json")
    }


@pytest.mark.slow
def test_the_weights_are_those_of_a_training_that_ends_there(base, examples, tmp_path):
    """By a schedule that does not look at the end."""
    plan = recipe(base, tmp_path / "long", keep_checkpoints=3, scheduler="constant", warmup=0.0)
    long, short = train(plan, examples, silent), replace(plan, out=str(tmp_path / "short"), steps=3)
    kept, ended = weights(long / "checkpoints" / "step-3"), weights(train(short, examples, silent))
    assert all(torch.equal(kept[name], ended[name]) for name in ended) and not (tmp_path / "short/checkpoints").exists()


def test_steps_are_in_order(base, examples, tmp_path):
    out = train(recipe(base, tmp_path / "kept", keep_checkpoints=1, steps=11), examples, silent)
    assert names(out / "checkpoints") == [f"step-{step}" for step in range(1, 11)]
    assert expand(f"{out}/checkpoints/*")[-1].endswith("step-10")


def test_a_kill_loses_none_and_doubles_none(base, examples, tmp_path, killed_at):
    plan = recipe(base, tmp_path / "a" / "candidate", keep_checkpoints=2, steps=9, save_every=3, dropout=0.2)
    again = replace(plan, out=str(tmp_path / "b" / "candidate"))
    whole = train(plan, examples, silent)
    killed_at(again, examples, 7)  # after the state of step 6, and what is kept of it
    kept = UnfinishedOutput(tmp_path / "b" / "candidate").checkpoints
    assert names(kept) == ["step-2", "step-4", "step-6"]
    (kept / ".step-8").mkdir()  # as a kill while it is written would leave it
    out = train(again, examples, silent)
    assert names(out / "checkpoints") == ["step-2", "step-4", "step-6", "step-8"]
    assert all(equal(out / "checkpoints" / name, whole / "checkpoints" / name) for name in names(out / "checkpoints"))
    assert equal(out, whole) and not list((out / "checkpoints").glob(".*"))
    mine, its = (json.loads((folder / "checkpoints/step-8/training.json").read_text()) for folder in (out, whole))
    assert mine["losses"] == its["losses"]


def test_a_kill_between_two_renames_keeps_them(tmp_path):
    output = UnfinishedOutput(tmp_path / "candidate")
    output.folder.mkdir()
    output.take_up({"recipe": 1})
    (output.candidate / "checkpoints" / "step-2").mkdir(parents=True)
    assert output.take_up({"recipe": 1}) and names(output.checkpoints) == ["step-2"]
    assert not output.take_up({"recipe": 2}) and not output.checkpoints.exists()


TASK = """
task: {name}
dataset_path: local/{name}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}} Answer :"
doc_to_choice: ["no", "yes"]
doc_to_target: label
metric_list:
  - metric: acc
metadata: {{version: 1.0, family: other, chance: 0.5, primary: acc, margin: 0.1, lm_eval: no}}
"""


def write_task(root, name, rows):
    (root / "tasks").mkdir(exist_ok=True)
    (root / "tasks" / f"{name}.yaml").write_text(TASK.format(name=name))
    folder = root / "data" / "local" / name / "default"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.slow
def test_what_is_kept_is_searched_for_the_first_that_forgot(base, examples, tmp_path):
    """Against runs of every checkpoint, on questions that the base answers rightly and the last one does not."""
    out = train(recipe(base, tmp_path / "kept", keep_checkpoints=1, steps=9), examples, silent)
    texts = [" ".join(words) for words in itertools.permutations(("good", "bad", "film", "the", "was", "cat"), 4)]
    write_task(tmp_path, "asked", [{"text": text, "label": 0} for text in texts])
    options = {"include": tmp_path / "tasks", "data_dir": tmp_path / "data", "store": tmp_path / "store.sqlite"}
    options |= {"target": "none", "device": "cpu", "base": f"base={base}"}
    evalharness.evaluate(f"last={out}", tasks="asked", out=tmp_path / "asked", **options)
    before, after = (results.read_samples(tmp_path / "asked", "asked", name) for name in ("base", "last"))
    answers = zip(texts, before, after, strict=True)
    known = [{"text": text, "label": int(one.score == 0)} for text, one, other in answers if one.score != other.score]
    assert len(known) > 40
    write_task(tmp_path, "known", known)
    job = make_job(steps_of(out), tasks="known", out=tmp_path / "out", **options)
    found = run_bisect(BisectJob(job))
    names = [*(f"step-{step}" for step in range(1, 9)), "kept"]
    assert found.checkpoints == (*names,) and len(found.looks) <= found.most_looks == 6
    alone = evalharness.evaluate(steps_of(out), tasks="known", out=tmp_path / "all", **options, alpha=0.05 / 6)
    forgot = [c.candidate for c in alone.comparisons if c.is_gate_unit and c.verdict == "forgotten"]
    assert forgot == names[names.index(forgot[0]) :]  # monotone
    assert (found.outcome, found.first) == ("found", forgot[0])
