"""Rows disturbed as people type: what changes, how much, and what never does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.data.sources import DataSource, read_rows
from evalharness.errors import DataError
from evalharness.paths import shipped
from evalharness.records.tasks import Task
from evalharness.tasks.library import Library
from evalharness.tasks.perturb import perturb_row, text_columns, why_not
from evalharness.tasks.prepare import PromptSettings, prepare
from evalharness.tasks.prompts import Renderer
from evalharness.tasks.word_lists import LISTS, NAMES, Substitutes, read_list

TEXT = (
    "The Baker of the village sold seventeen round loaves before noon, yes, and nobody complained about the price in "
    "the morning"
)
WORLD = DataSource(shipped=shipped("fixtures/world/rows"))
Make = Callable[..., Task]


def disturbed(task: Task, way: str, row: dict[str, Any], index: int = 0, seed: int = 1) -> dict[str, Any]:
    return dict(perturb_row(Renderer(replace(task, perturbation=way), frozenset(row)), index, row, seed))


def changed_words(before: str, after: str) -> list[tuple[str, str]]:
    return [(old, new) for old, new in zip(before.split(), after.split(), strict=True) if old != new]


def test_typos_hit_one_long_word_in_twenty_with_one_slip(make: Make) -> None:
    row = {"q": " ".join([TEXT] * 5), "label": 0}
    long = re.findall(r"[^\W\d_]{4,}", row["q"])
    found = changed_words(row["q"], disturbed(make(), "typos", row)["q"])
    assert len(found) == round(0.05 * len(long))
    for old, new in found:
        assert old[0] == new[0] and abs(len(old) - len(new)) <= 1
        assert sorted(old) == sorted(new) or len(old) != len(new)


def test_every_text_gets_a_typo_where_it_has_a_long_word(make: Make) -> None:
    assert len(changed_words("a short text", disturbed(make(), "typos", {"q": "a short text", "label": 0})["q"])) == 1
    assert disturbed(make(), "typos", {"q": "is it so", "label": 0})["q"] == "is it so"


def test_case_and_spacing(make: Make) -> None:
    row = {"q": TEXT + "\nNext Line", "label": 0}
    assert disturbed(make(), "case", row)["q"] == row["q"].lower()
    wide = disturbed(make(), "spacing", row)["q"]
    gaps = [len(gap) for gap in re.findall(r" +", wide)]
    assert wide.split() == row["q"].split()
    assert set(gaps) == {1, 2, 3}
    assert wide.count("\n") == 1


def test_draws_depend_on_seed_task_way_and_row_alone(make: Make) -> None:
    row = {"q": TEXT, "label": 0}
    again = [disturbed(make(), "typos", row)["q"] for _ in range(2)]
    others = {disturbed(make(), "typos", row, index=i, seed=s)["q"] for i, s in ((1, 1), (0, 2), (2, 1))}
    assert again[0] == again[1]
    assert again[0] not in others


@pytest.mark.parametrize("way", ["typos", "case", "spacing"])
def test_choices_and_placeholders_in_a_text_stay(make: Make, way: str) -> None:
    task = make(doc_to_choice="{{[first, second]}}")
    row = {
        "q": "@Placeholder saw The  Old Harbour\n  choice: Some Other Town",
        "first": "The  Old Harbour",
        "second": "Some Other Town",
        "label": 0,
    }
    after = disturbed(task, way, row)
    assert {"first": after["first"], "second": after["second"]} == {"first": row["first"], "second": row["second"]}
    for kept in ("@Placeholder", row["first"], row["second"], "  choice: "):
        assert kept in after["q"]


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"doc_to_text": "q"}, ["q"]),
        ({"doc_to_text": "{{(q | trim)[:-1]}} {{'because' if kind == 'cause' else 'so'}}"}, ["q"]),
        ({"doc_to_text": "{% if kind %}{{kind}}{% endif %}{{q.strip() ~ other}}"}, ["other", "q"]),
        ({"doc_to_text": "{% set words = q.split() %}{{words[0]}} {{other}}"}, ["other"]),
        ({"doc_to_text": "{{q}} {{other}}", "doc_to_choice": "{{[other, 'no']}}"}, ["q"]),
        ({"doc_to_text": "{{q}} {{other}}", "metadata": {"unit": "{{other}}"}}, ["q"]),
        ({"doc_to_text": "{{q}} {{other}}", "metadata": {"labels": {"about": "{{q}}"}}}, ["other"]),
        ({"doc_to_text": "{{label}}: {% for each in listed %}{{each}}{% endfor %}"}, []),
    ],
)
def test_only_texts_that_are_shown_and_that_nothing_else_depends_on(
    make: Make, changes: dict[str, Any], shown: list[str]
) -> None:
    row = {"q": "some text", "other": "more text", "kind": "cause", "label": 1, "listed": ["a text"]}
    assert text_columns(Renderer(make(**changes), frozenset(row)), row) == shown


def test_rows_that_point_into_their_texts_are_left_alone(make: Make) -> None:
    task = replace(make(), perturbation="typos")
    for place in ({"start1": 3}, {"span2_index": 5}, {"entity_spans": {"start": [1]}}):
        assert "point at words of their texts" in why_not(task, [{"q": TEXT, "label": 0, **place}], 1)
    assert why_not(task, [{"q": TEXT, "label": 0, "start": "a text", "ending": 3}], 1) == ""


def test_a_disturbance_that_changes_nothing_is_told(make: Make) -> None:
    assert "lower case already" in why_not(replace(make(), perturbation="case"), [{"q": "all small", "label": 0}], 1)
    assert "no text" in why_not(
        replace(make(doc_to_text="{{label}}"), perturbation="typos"), [{"q": TEXT, "label": 0}], 1
    )


@pytest.mark.parametrize(
    "name", ["sst2", "rte", "copa", "mmlu_astronomy", "bigbench_logical_deduction_multiple_choice"]
)
@pytest.mark.parametrize("way", ["typos", "case", "spacing"])
def test_shipped_tasks_keep_answers_choices_shots_and_units(name: str, way: str) -> None:
    task = Library().task(name)
    asking = PromptSettings(num_fewshot=2, limit=20, split="test")
    plain, other = (prepare(each, WORLD, asking) for each in (task, replace(task, perturbation=way)))
    for before, after in zip(plain.examples, other.examples, strict=True):
        assert (before.choices, before.gold, before.id.split("-")[0]) == (
            after.choices,
            after.gold,
            after.id.split("-")[0],
        )
    changed = [before.prompt != after.prompt for before, after in zip(plain.examples, other.examples, strict=True)]
    assert any(changed) or (name, way) == ("sst2", "case")
    header = plain.examples[0].prompt.split("\n\n")[:-1]
    assert all(after.prompt.split("\n\n")[:-1] == header for after in other.examples) or task.sampler == "per_example"


def test_the_shipped_tasks_with_spans_are_refused(tmp_path: Path) -> None:
    source = DataSource(data_dir=Path("fixtures/benchmarks"))
    for name in ("wic", "wsc"):
        task = replace(Library().task(name), perturbation="typos")
        assert "by number" in why_not(task, read_rows(task, task.evaluation_split, source).rows, 1)


# ---- words of a list -------------------------------------------------------------------------------------------------


def replaced(task: Task, way: str, row: dict[str, Any], index: int = 0, words: Substitutes | None = None) -> str:
    task = replace(task, perturbation=way, substitutes=LISTS[way] if words is None else words)
    return str(perturb_row(Renderer(task, frozenset(row)), index, row, 1)["q"])


def test_every_word_of_the_list_is_told_in_the_dialect_with_its_capitals(make: Make) -> None:
    row = {"q": "I will remember this day with my SISTER. This be-all, thistle and willing, WILL stay.", "label": 0}
    after = replaced(make(), "dialect", row)
    told = LISTS["dialect"]
    pieces = re.split(r"(\W+)", row["q"])
    for old, new in zip(pieces, re.split(r"(\W+)", after), strict=True):
        assert new.lower() in told.get(old.lower(), (old.lower(),))
        assert new.isupper() == old.isupper() or len(old) == 1 or len(new) == 1
        assert new[:1].isupper() == old[:1].isupper()
    assert {"I gon rememba dis day wit mah", "thistle and willing"} <= {
        after[:29],
        after[after.index("thistle") :][:19],
    }


def test_a_first_name_is_the_same_other_one_wherever_it_stands_in_the_row(make: Make) -> None:
    task = make(doc_to_text="{{q}} {{other}}")
    row = {
        "q": "Adam met Emily. Adam, to be frank, and Frank left.",
        "other": "Emily saw Adamson and adam.",
        "label": 0,
    }
    named = replace(task, perturbation="names", substitutes=NAMES)
    after = perturb_row(Renderer(named, frozenset(row)), 0, row, 1)
    first, woman, again, other_man = re.fullmatch(
        r"(\w+) met (\w+)\. (\w+), to be frank, and (\w+) left\.", str(after["q"])
    ).groups()  # type: ignore[union-attr]
    assert first == again != other_man and {first, other_man} <= set(NAMES["Adam"]) and woman in NAMES["Emily"]
    assert after["other"] == f"{woman} saw Adamson and adam."
    assert not set(NAMES["Adam"]) & set(NAMES["Emily"]) and not set(NAMES) & {n for of in NAMES.values() for n in of}
    drawn = {replaced(task, "names", row, index=i) for i in range(6)}
    assert len(drawn) > 1 and replaced(task, "names", row) == after["q"]


def test_names_that_are_choices_stay(make: Make) -> None:
    row = {"q": "Adam called Frank", "one": "Adam", "two": "Josh", "label": 0}
    after = replaced(make(doc_to_choice="{{[one, two]}}"), "names", row)
    assert after.startswith("Adam called ") and not after.endswith("Frank")


def test_a_list_that_changes_no_row_is_told(make: Make) -> None:
    named = replace(make(), perturbation="names", substitutes=NAMES)
    assert why_not(named, [{"q": TEXT, "label": 0}], 1) == "it would change no row"


def test_a_list_of_the_users(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    path.write_text('{"the baker": ["a cook"], "loaves": ["buns"]}')
    after = replaced(make(), "dialect", {"q": TEXT, "label": 0}, words=read_list(path))
    assert after == TEXT.replace("The Baker", "A cook").replace("loaves", "buns")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"a": "b"}', '{"a": []}', '{"a": [1]}', '{" ": ["b"]}'])
def test_a_file_that_is_no_list_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text(text)
    with pytest.raises(DataError, match="words with lists of substitutes"):
        read_list(tmp_path / "words.json")
