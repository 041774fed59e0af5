"""The island of changed answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from evalharness.records.measurements import Sample
from evalharness.records.results import Flip, Results
from evalharness.report.examples import PER_PAIR, pack


def _flip(direction: str, before: float | None, after: float | None, **changes: object) -> Flip:
    base = Sample(id="1-ab", unit="1", prompt="prompt", output="yes", reference="yes", score=before)
    return Flip(
        task="sst2",
        candidate="lora",
        direction=direction,
        base=base,
        sample=replace(base, **{"output": "no", "score": after, **changes}),
    )  # type: ignore[arg-type]


def test_everything_fits_lost_first(run: Results) -> None:
    island = pack(run.flips, run.candidates, 2_000_000)
    data = json.loads(island.json)
    assert island.shown == island.total == len(run.flips) == len(data["rows"])
    directions = [row[2] for row in data["rows"]]
    assert directions == sorted(directions) and set(directions) == {0, 1}
    row = data["rows"][0]
    flip = next(
        f
        for f in run.flips
        if f.task == data["tasks"][row[1]] and f.candidate == data["candidates"][row[0]] and f.base.id == row[3]
    )
    assert [data["texts"][i] for i in row[4:8]] == [
        flip.base.prompt,
        flip.base.reference,
        flip.base.output,
        flip.sample.output,
    ]
    assert row[8:] == [flip.base.score, flip.sample.score, int(flip.sample.truncated)]


def test_a_small_budget_is_kept_and_shared(run: Results) -> None:
    island = pack(run.flips, run.candidates, 30_000)
    assert 0 < island.shown < island.total and len(island.json) < 33_000
    data = json.loads(island.json)
    per_pair = Counter((row[0], row[1]) for row in data["rows"])
    assert len(per_pair) == len(island.pairs) == len({(flip.task, flip.candidate) for flip in run.flips})
    assert not pack(run.flips, run.candidates, 0).pairs


def test_one_task_cannot_crowd_the_page(make_run: Callable[..., Results]) -> None:
    many = [_flip("lost", 1.0, 0.0)] * (PER_PAIR + 50)
    island = pack(many, ["lora"], 2_000_000)
    assert (island.shown, island.total) == (PER_PAIR, PER_PAIR + 50)


def test_the_largest_losses_are_kept() -> None:
    flips = [_flip("lost", 1.0, 1.0 - i / 1000, output=f"answer {i}") for i in range(1, 400)]
    data = json.loads(pack(flips, ["lora"], 2_000_000).json)
    assert min(row[8] - row[9] for row in data["rows"]) >= 0.199


def test_long_texts_are_cut_and_missing_scores_are_null() -> None:
    flips = [_flip("lost", None, float("nan"), prompt="p" * 50_000, error="out of memory", truncated=True)]
    data = json.loads(pack(flips, ["lora"], 100_000).json)
    (row,) = data["rows"]
    assert row[8:] == [None, None, 1] and data["texts"][row[7]] == "[no answer: out of memory]"
    assert len(data["texts"][row[4]]) < 2500 and "47,600 characters left out" in data["texts"][row[4]]


@pytest.mark.fault(28)
def test_the_island_cannot_end_its_element() -> None:
    bad = "</script><!-- <script> & \u2028 \ud800 \u202e"
    island = pack([_flip("gained", 0.0, 1.0, output=bad)], ["lora"], 100_000)
    assert island.json.isascii() and not set("<>&") & set(island.json)
    assert "</script><!-- <script> & ⟨U+2028⟩ ⟨U+D800⟩ ⟨U+202E⟩" in json.loads(island.json)["texts"]
