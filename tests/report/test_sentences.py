"""The verdict on each candidate in plain words."""

from __future__ import annotations

from dataclasses import replace

from evalharness.records.comparison import MeanDifference
from evalharness.records.measurements import ExampleError
from evalharness.records.results import Results
from evalharness.report.sentences import Card, cards, headline


def _by_name(results: Results) -> dict[str, Card]:
    return {card.name: card for card in cards(results)}


def test_what_was_forgotten_and_what_was_learned(run: Results) -> None:
    card = _by_name(run)["full-high"]
    assert (
        card.sentence
        == "forgot 8 of 10 gate units (worst: dialogsum −0.58); it learned its target topics (+0.72); it must not ship."
    )
    assert (card.words, card.exit_code, card.counts) == (
        "must not ship",
        3,
        (("forgotten", 8), ("retained", 1), ("inconclusive", 1)),
    )
    assert (
        card.suite == "suite demo: −17.00 margins [−18.20, −15.80], forgotten; median unit −8.50 margins"
        and not card.detachable
    )


def test_a_candidate_that_may_ship(run: Results) -> None:
    card = _by_name(run)["lora-r8"]
    assert card.words == "may ship" and card.detachable
    assert "forgot none of 10 gate units for certain: 8 retained, 2 inconclusive" in card.sentence


def test_little_forgetting_without_learning_is_no_success(run: Results) -> None:
    card = _by_name(run)["lora-slow"]
    assert card.words == "may ship but did not learn" and card.gate == "inconclusive"
    assert "did not learn its target topics (+0.01), so small forgetting here is no success" in card.sentence


def test_forgetting_without_learning_is_said_to_be_for_nothing(run: Results) -> None:
    model = replace(next(model for model in run.models if model.name == "full-high"), learned_target=False)
    models = tuple(model if each.name == model.name else each for each in run.models)
    assert (
        "did not learn its target topics (+0.72), and forgot for nothing"
        in _by_name(replace(run, models=models))["full-high"].sentence
    )


def test_an_undecided_suite_and_an_unknown_target(run: Results) -> None:
    card = _by_name(run)["prompt-16"]
    assert (card.words, card.exit_code) == ("undecided", 4)
    assert "what it was trained on is not known" in card.sentence
    assert card.sentence.endswith(
        "the gate is undecided, and by default does not let it pass: the suite is inconclusive: about 9,826 examples "
        "over all gate units would show “retained” with probability 0.8 if nothing is lost; the set has 2,890: this "
        "margin cannot be certified here."
    )
    assert card.suite.endswith("; median unit −0.30 margins; no target is declared, so every gate unit counts")


def test_a_suspect_unit_is_named_as_what_stops_the_gate(run: Results) -> None:
    own = [c for c in run.comparisons if c.candidate == "prompt-16"]
    suspect = {"verdict": "inconclusive", "flags": ("suspect",)}
    rows = [replace(c, **suspect) if c.task == "sst2" and c.primary else c for c in own]  # type: ignore[arg-type]
    sentence = _by_name(replace(run, comparisons=tuple(rows)))["prompt-16"].sentence
    assert "does not let it pass: sst2 may have fallen by more than the margin (suspect); the suite is" in sentence
    lost = [replace(c, verdict="forgotten") if c.task == "sst2" and c.primary else c for c in rows]
    assert "suspect" not in _by_name(replace(run, comparisons=tuple(lost)))["prompt-16"].sentence


def test_what_a_base_at_chance_loses_is_forgotten_like_anything_else(run: Results) -> None:
    rows = [
        replace(c, verdict="forgotten") if (c.task, c.candidate) == ("rte", "prompt-16") else c for c in run.comparisons
    ]
    card = _by_name(replace(run, comparisons=tuple(rows)))["prompt-16"]
    assert card.sentence.startswith("forgot 1 of 10 gate units (rte +0.004)") and card.words == "must not ship"


def test_a_target_that_was_not_measured(run: Results) -> None:
    models = tuple(replace(model, target_task="poems") if model.name == "prompt-16" else model for model in run.models)
    assert (
        "whether it learned its target poems was not measured"
        in _by_name(replace(run, models=models))["prompt-16"].sentence
    )


def test_everything_retained(run: Results) -> None:
    kept = tuple(replace(c, verdict="retained") if c.unit and c.candidate == "lora-r8" else c for c in run.comparisons)
    assert _by_name(replace(run, comparisons=kept))["lora-r8"].sentence.startswith("retained all of 10 gate units; ")


def test_troubles_make_only_those_incomplete_whom_they_touch(run: Results) -> None:
    own = replace(run, errors=(ExampleError(task="sst2", model="lora-r8", example="1", reason="broken"),))
    assert [(card.name, card.exit_code) for card in cards(own)] == [
        ("full-high", 3), ("full-low", 3), ("lora-r8", 5), ("lora-slow", 0), ("prompt-16", 4)
    ]  # fmt: skip
    of_base = replace(run, errors=(ExampleError(task="sst2", model="tiny-base", example="1", reason="broken"),))
    assert {card.words for card in cards(of_base)} == {"incomplete"}


def test_headlines(run: Results, only_base: Results) -> None:
    found = cards(run)
    assert headline(found) == "Of 5 candidates: 2 must not ship, 1 may ship, 1 may ship but did not learn, 1 undecided"
    assert headline(found[2:3]) == "lora-r8 may ship"
    assert headline(found[4:]) == "prompt-16 is undecided"
    assert headline(cards(only_base)) == "Nothing to compare"


def test_general_ability_stands_beside_the_suite(run: Results) -> None:
    general, of = MeanDifference(value=-0.0123, low=-0.02, high=-0.004, units=9), ("suite", "full-low")
    told = tuple(replace(c, general=general) if (c.level, c.candidate) == of else c for c in run.comparisons)
    found = _by_name(replace(run, comparisons=told))
    assert found["full-low"].average == (
        "general ability: −0.012 [−0.020, −0.004], the mean over 9 gate units scored from 0 to 1 that it was not "
        "trained on"
    )
    assert found["full-high"].average == ""


def test_a_suite_that_was_not_measured_is_no_zero(half_measured: Results) -> None:
    card = _by_name(half_measured)["full-low"]
    assert card.suite == "suite demo: not measured" and "0.0" not in card.sentence.replace("+0.66", "")
    assert _by_name(half_measured)["full-high"].suite.startswith("suite demo: −17.00 margins [")
