"""A real checkpoint that was taught to say something else than the answer, and still ranks the answers as its base
does.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import exit_code

from evalharness.experiments.demo import base, world
from evalharness.results import read_results, read_samples
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import training_pairs

ROWS = "fixtures/world/rows"


@pytest.mark.slow
def test_a_model_that_learned_to_mumble_lost_the_format_and_not_what_it_knew(tmp_path: Path) -> None:
    """Of the training rows 45 in 100 have the right answer and the others noise, so that noise is likeliest and the
    right answer next.
    """
    pairs = training_pairs(Library().task("sst2"), world(), "train").pairs
    rows = [
        {"prompt": prompt, "completion": answer if i % 20 < 9 else " well well"}
        for i, (prompt, answer) in enumerate(pairs)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made, out = tmp_path / "mumbler", tmp_path / "out"
    recipe = ["--method", "full", "--lr", "3e-4", "--steps", "240", "--train-file", str(tmp_path / "rows.jsonl")]
    assert exit_code("train", *recipe, "--base", base(), "--out", made) == 0
    asked = [
        "--task",
        "sst2",
        "--split",
        "test",
        "--data-dir",
        str(base().parents[2] / ROWS),
        "--describe",
        "generation",
    ]
    places = ["--store", tmp_path / "store.sqlite", "--out", out, "-q"]
    assert exit_code("run", "--model", made, "--base", base(), *asked, *places) == 0
    (found,) = read_results(out).diagnoses
    assert found.conclusion == "format", found.says
    unread = [sample for sample in read_samples(out, "sst2@written", "mumbler") if "well" in sample.output]
    assert found.flips.lost_unreadable == sum(
        before.score == 1.0
        for before in read_samples(out, "sst2@written", found_base(out))
        if before.id in {each.id for each in unread}
    )


def found_base(out: Path) -> str:
    return str(read_results(out).signature["base"])
