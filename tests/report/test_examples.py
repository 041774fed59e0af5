"""The island of changed answers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from evalharness.records.measurements import Sample
from evalharness.records.results import Flip, Results
from evalharness.report.examples import DIRECTIONS, PER_PAIR, pack


def _flip(direction: str, before: float | None, after: float | None, **changes: object) -> Flip:
    base = Sample(id="1-ab", unit="1", prompt="prompt", output="yes", reference="yes", score=before)
    return Flip(
        task="sst2",
        candidate="lora",
        direction=direction,
        base=base,
        sample=replace(base, **{"output": "no", "score": after, **changes}),
    )  # type: ignore[arg-type]


def test_everything_fits_what_most_lost_first(run: Results) -> None:
    island = pack(run.flips, run.candidates, 2_000_000)
    data = json.loads(island.json)
    every = {(flip.task, flip.base.id) for flip in run.flips}
    assert island.count == island.total == len(every) == len(data["rows"])
    lost = [sum(state == 1 for _, state, _, _ in row[7]) for row in data["rows"]]
    assert lost == sorted(lost, reverse=True) and lost[0] > 1 and lost[-1] == 0


def test_an_example_has_the_answers_of_base_and_all_candidates(run: Results) -> None:
    data = json.loads(pack(run.flips, run.candidates, 2_000_000).json)
    task, name, *numbers, score, cut, answers = data["rows"][0]
    flips = [flip for flip in run.flips if (flip.task, flip.base.id) == (data["tasks"][task], name)]
    base = flips[0].base
    assert [data["texts"][i] for i in numbers] == [base.prompt, base.reference, base.output]
    assert (score, cut) == (base.score, int(any(flip.sample.truncated for flip in flips)))
    shown = [(data["candidates"][c], DIRECTIONS[state], data["texts"][text], own) for c, state, text, own in answers]
    assert shown == [(flip.candidate, flip.direction, flip.sample.output, flip.sample.score) for flip in flips]
    assert len(shown) == len(run.candidates)


def test_a_small_budget_is_kept_and_shared(run: Results) -> None:
    island = pack(run.flips, run.candidates, 30_000)
    assert 0 < island.count < island.total and len(island.json) < 33_000
    changed = [flip for flip in run.flips if flip.direction != "same"]
    assert set(island.pairs) == {(flip.task, flip.candidate) for flip in changed}
    assert not pack(run.flips, run.candidates, 0).pairs


def _many(count: int) -> list[Flip]:
    """So many examples that one candidate lost, each more than the one before."""
    flips = []
    for i in range(count):
        flip = _flip("lost", 1.0, 1.0 - (i + 1) / 1000, output=f"answer {i}", id=str(i))
        flips.append(replace(flip, base=replace(flip.base, id=str(i))))
    return flips


def test_one_task_cannot_crowd_the_page() -> None:
    island = pack(_many(PER_PAIR + 50), ["lora"], 2_000_000)
    assert (island.count, island.total) == (PER_PAIR, PER_PAIR + 50)


def test_the_largest_losses_are_kept() -> None:
    data = json.loads(pack(_many(400), ["lora"], 2_000_000).json)
    assert min(row[5] - row[7][0][3] for row in data["rows"]) >= 0.199


def test_long_texts_are_cut_and_missing_scores_are_null() -> None:
    flip = _flip("lost", None, float("nan"), error="out of memory", truncated=True)
    flip = replace(flip, base=replace(flip.base, prompt="p" * 50_000))
    data = json.loads(pack([flip], ["lora"], 100_000).json)
    ((_, _, prompt, _, _, score, cut, ((_, state, answer, own),)),) = data["rows"]
    assert (score, cut, state, own) == (None, 1, 1, None) and data["texts"][answer] == "[no answer: out of memory]"
    assert len(data["texts"][prompt]) < 2500 and "47,600 characters left out" in data["texts"][prompt]


@pytest.mark.fault(28)
def test_the_island_cannot_end_its_element() -> None:
    bad = "</script><!-- <script> & \u2028 \ud800 \u202e"
    island = pack([_flip("gained", 0.0, 1.0, output=bad)], ["lora"], 100_000)
    assert island.json.isascii() and not set("<>&") & set(island.json)
    assert "</script><!-- <script> & ⟨U+2028⟩ ⟨U+D800⟩ ⟨U+202E⟩" in json.loads(island.json)["texts"]
