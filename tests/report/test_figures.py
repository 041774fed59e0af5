"""Figures as inline SVG."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from evalharness.records.comparison import Estimate, MeanDifference
from evalharness.records.results import Results
from evalharness.report import marks
from evalharness.report.forest import forest
from evalharness.report.page import MARKS, mark_of
from evalharness.report.svg import COLOURS
from evalharness.report.targets import undrawn
from evalharness.report.tradeoff import tradeoff

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("draw", [forest, tradeoff])
def test_same_bytes_and_matplotlib_left_alone(draw: Callable[[Results], str], run: Results) -> None:
    before = dict(mpl.rcParams)
    assert draw(run) == draw(run)
    assert dict(mpl.rcParams) == before


def test_inline_and_labelled(run: Results) -> None:
    ids: list[str] = []
    for name, text in (("forest", forest(run)), ("tradeoff", tradeoff(run))):
        root = ElementTree.fromstring(text)
        assert text.startswith("<svg") and root.get("role") == "img"
        title, description = str(root.get("aria-labelledby")).split()
        labels = {child.get("id"): child.text for child in root}
        assert labels[title] and labels[description]
        here = [str(element.get("id")) for element in root.iter() if element.get("id")]
        assert all(key.startswith(f"{name}-") for key in here)
        ids += here
        for reference in re.findall(r"(?:url\(|href=\")#([^)\"]+)", text):
            assert reference in here
        assert not root.findall(f".//{SVG}metadata") and not root.findall(f".//{SVG}style")
        assert not any(colour in text for colour in COLOURS) and "var(--ink)" in text and "DejaVu" not in text
    assert len(ids) == len(set(ids))


def test_the_forest_has_every_unit_verdict_and_candidate_and_no_group_member(run: Results) -> None:
    texts = [element.text for element in ElementTree.fromstring(forest(run)).iter(f"{SVG}text")]
    for label in (
        "demo (suite)",
        "sst2",
        "mmlu",
        "wmt16-en-de",
        "topics (target)",
        "▼ forgotten",
        "● retained",
        "? inconclusive",
        "margin",
    ):
        assert label in texts
    assert "mmlu_virology" not in texts
    assert sum(text in ("▼ forgotten", "● retained", "? inconclusive") for text in texts) == 11 * 5


def test_points_tell_their_numbers(run: Results) -> None:
    tips = [element.text for element in ElementTree.fromstring(forest(run)).iter(f"{SVG}title")]
    assert any(
        str(tip).startswith("full-high on wmt16-en-de: −11.2 [") and str(tip).endswith("] forgotten") for tip in tips
    )


def test_candidates_that_did_not_learn_are_hollow_and_said_so(run: Results) -> None:
    text = tradeoff(run)
    assert "lora-slow (did not learn)" in text and "prompt-16" not in text
    root = ElementTree.fromstring(text)
    fills = {}
    for group in root.iter(f"{SVG}g"):
        if str(group.get("id")).startswith("tradeoff-candidate-"):
            fills[group.get("id")] = next(str(use.get("style")) for use in group.iter(f"{SVG}use"))
    assert "fill: var(--paper)" in fills["tradeoff-candidate-3"] and "fill: var(--c0)" in fills["tradeoff-candidate-0"]


def test_points_without_intervals_or_margins(run: Results) -> None:
    bare = tuple(
        replace(c, difference=Estimate(value=c.difference.value), margin=None if c.task == "sst2" else c.margin)
        for c in run.comparisons
    )
    texts = [
        element.text for element in ElementTree.fromstring(forest(replace(run, comparisons=bare))).iter(f"{SVG}text")
    ]
    assert "sst2" not in texts and "boolq" in texts
    assert tradeoff(replace(run, comparisons=bare))


def test_candidates_of_which_the_base_can_do_nothing_are_not_drawn(run: Results) -> None:
    def told(unable: int) -> Results:
        general = MeanDifference(value=0.0, low=-0.1, high=0.1, units=3, unable=unable)
        return replace(
            run, comparisons=tuple(replace(c, general=general) if c.level == "suite" else c for c in run.comparisons)
        )

    assert tradeoff(told(2)) and tradeoff(told(3)) == ""
    assert set(undrawn(told(3))) == set(run.candidates)


def test_without_a_target_what_was_kept_is_drawn_alone(run: Results) -> None:
    """A line for each candidate, and none for the references that are measured beside them."""
    bare = {"target_task": None, "target_gain": None, "learned_target": None}
    models = [replace(model, **bare) for model in run.models]
    models[-1] = replace(models[-1], kind="placebo")
    text = tradeoff(replace(run, models=tuple(models)))
    assert "What was kept" in text and "learned: " not in text
    drawn = [name for name in run.candidates if f">{name}</text>" in text]
    assert drawn == [name for name in run.candidates if name != models[-1].name]
    assert "prompt-16" not in tradeoff(run) and undrawn(run) == ["prompt-16"]


def test_nothing_to_draw_is_no_figure(run: Results, only_base: Results) -> None:
    assert forest(only_base) == tradeoff(only_base) == ""
    no_suite = replace(run, comparisons=tuple(c for c in run.comparisons if c.level != "suite"))
    assert tradeoff(no_suite) == ""


@pytest.mark.fault(28)
def test_names_that_break_other_plots(run: Results) -> None:
    """Two dollar signs start mathtext in matplotlib; scripts without glyphs in its font only warn."""
    names = {
        "sst2": "price $x_{$ and $y$",
        "boolq": "日本語",
        "copa": "<script>&amp;",
        "rte": "\x1b[1m\u202e",
        "dialogsum": "n" * 300,
    }
    odd = tuple(replace(c, task=names.get(c.task, c.task), candidate=f"$a$ {c.candidate}") for c in run.comparisons)
    models = tuple(replace(model, name=f"$a$ {model.name}") if model.base else model for model in run.models)
    text = forest(replace(run, comparisons=odd, models=models))
    words = [element.text for element in ElementTree.fromstring(text).iter(f"{SVG}text")]
    assert {"price $x_{$ and $y$", "日本語", "<script>&amp;", "⟨U+001B⟩[1m⟨U+202E⟩"} <= set(words)
    assert max(len(str(word)) for word in words[:-1]) < 60
    assert "$a$ lora-r8" in tradeoff(replace(run, comparisons=odd, models=models))


def test_shapes_of_the_legend_are_those_of_the_figures() -> None:
    shape = dict(zip(marks.MARKERS, MARKS, strict=True))
    pairs = [(marks.marker_of(i), marks.colour_of(i)) for i in range(56)]
    assert [mark_of(i) for i in range(56)] == [(shape[marker], COLOURS[colour]) for marker, colour in pairs]
    assert len(set(pairs)) == 56


def test_what_was_not_measured_has_no_point(half_measured: Results, unmeasured: Results) -> None:
    drawn = ElementTree.fromstring(forest(half_measured))
    texts = [element.text for element in drawn.iter(f"{SVG}text")]
    assert sum(text in ("▼ forgotten", "● retained", "? inconclusive") for text in texts) == 11 * 4
    tips = [str(element.text) for element in drawn.iter(f"{SVG}title")]
    assert not any("full-low" in tip for tip in tips) and any(
        tip.startswith("full-high on demo: −17.00 margins [−18.20, −15.80]") for tip in tips
    )
    assert "full-low" not in tradeoff(half_measured) and "full-high" in tradeoff(half_measured)
    assert forest(unmeasured) == tradeoff(unmeasured) == ""
