"""MMLU's subjects and categories, BIG-bench lite's tasks, and the suites that ask them, against lm-eval's own files and
the papers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from lm_eval.tasks._yaml_loader import load_yaml

from evalharness.paths import shipped
from evalharness.tasks.library import Library

LIBRARY = Library()
TASKS = [name for name in LIBRARY.names() if LIBRARY.task(name).family in ("mmlu", "bigbench_lite")]
MMLU = [name for name in TASKS if name.startswith("mmlu_") and not name.endswith(("_continuation", "_cot"))]
LITE = [name for name in TASKS if "bigbench_lite" in LIBRARY.task(name).tags]
CATEGORIES = {"stem": 18, "humanities": 13, "social_sciences": 12, "other": 14}  # Hendrycks et al. 2021, appendix B
WRITTEN = {
    "auto_debugging",
    "conlang_translation",
    "linguistics_puzzles",
    "operators",
    "parsinlu_reading_comprehension",
    "repeat_copy_logic",
}


def _subjects(group: str) -> set[str]:
    return {name.removeprefix("mmlu_") for name in LIBRARY.group(group).tasks}


def test_subjects_are_those_of_lm_eval_and_categories_those_of_the_authors() -> None:
    own = Path(str(files("lm_eval"))) / "tasks" / "mmlu" / "default"
    theirs = [load_yaml(path) for path in sorted(own.glob("mmlu_*.yaml"))]
    assert {each["task"] for each in theirs} == set(MMLU)
    for category, number in CATEGORIES.items():
        found = _subjects(f"mmlu_{category}")
        lm_evals = {each["dataset_name"] for each in theirs if each["tag"] == f"mmlu_{category}_tasks"}
        assert len(found) == number and found ^ lm_evals <= {"anatomy"}  # which lm-eval has moved
        assert found == {str(LIBRARY.task(name).dataset_name) for name in LIBRARY.tags()[f"mmlu_{category}_tasks"]}
        assert {f"mmlu_{each}_continuation" for each in found} == set(LIBRARY.tags()[f"mmlu_{category}_continuation"])
    assert "anatomy" in _subjects("mmlu_other")


def test_mmlu_is_one_unit_over_questions() -> None:
    for name, members in (("mmlu", MMLU), ("mmlu_continuation", [f"{each}_continuation" for each in MMLU])):
        group = LIBRARY.group(name)
        assert sorted(group.tasks) == members and group.unit and not group.macro and group.metric == "acc"
    assert not any(LIBRARY.group(f"mmlu_{category}").unit for category in CATEGORIES)
    assert {name: LIBRARY.task(name).variant_of for name in TASKS if name.endswith("_continuation")} == {
        f"{name}_continuation": name for name in MMLU
    }


def test_the_lite_tasks_are_24_under_lm_evals_names() -> None:
    folder = Path(str(files("lm_eval"))) / "tasks" / "bigbench"
    theirs = {
        f"bigbench_{path.stem}_{kind}"
        for kind in ("multiple_choice", "generate_until")
        for path in (folder / kind).glob("*.yaml")
    }
    assert len(LITE) == 24 and set(LITE) <= theirs
    assert {
        name.removeprefix("bigbench_").removesuffix("_generate_until") for name in LITE if name.endswith("_until")
    } == WRITTEN


def _units(suite: str) -> Iterator[str]:
    """Gate units: tasks outside groups that are units, and these groups."""
    found = LIBRARY.suite(suite)
    grouped = {task for group in found.groups if group.unit for task in group.tasks}
    yield from (task for task in found.tasks if task not in grouped)
    yield from (group.name for group in found.groups if group.unit)


@pytest.mark.parametrize("name", ["mmlu", "forgetting", "forgetting-full"])
def test_mmlu_is_whole_and_one_unit_in_every_suite(name: str) -> None:
    assert set(MMLU) <= set(LIBRARY.suite(name).tasks)
    assert [unit for unit in _units(name) if unit.startswith("mmlu")] == ["mmlu"]


def test_the_published_average_of_bigbench_lite_has_every_task_by_the_metric_that_decides_it() -> None:
    suite = LIBRARY.suite("bigbench_lite")
    assert sorted(suite.tasks) == LITE and suite.average is not None and suite.average.normalised
    assert {name: list(metrics) for name, metrics in suite.average.over.items()} == {
        name: [LIBRARY.task(name).primary] for name in LITE
    }
    decided = Counter(LIBRARY.task(name).primary for name in LITE)
    assert decided == {"multiple_choice_grade": 18, "exact_match,strip": 5, "rougeLsum,strip": 1}


def test_forgetting_is_balanced_and_says_how_much_it_asks() -> None:
    suite = LIBRARY.suite("forgetting")
    of = {unit: LIBRARY.group(unit) if LIBRARY.is_group(unit) else LIBRARY.task(unit) for unit in _units("forgetting")}
    families = Counter("mmlu" if unit == "mmlu" else member.family for unit, member in of.items())
    assert (
        max(families.values()) <= 6
        and families["mmlu"] == 1
        and "rte" in suite.tasks
        and "sglue_rte" not in suite.tasks
    )
    assert sum(suite.limits[name] for name in MMLU) == 1140
    assert "1140 requests" in (shipped("tasks") / "suites" / "forgetting.yaml").read_text()


def test_forgetting_full_leaves_out_only_what_has_no_labels_or_would_count_twice() -> None:
    public = ("glue", "superglue", "mmlu", "bigbench_lite", "general", "summarization", "translation")
    whole = {
        name for name in LIBRARY.names() if LIBRARY.task(name).family in public and not LIBRARY.task(name).variant_of
    }
    left_out = whole - set(LIBRARY.suite("forgetting-full").tasks)
    assert left_out - {"dialogsum_test"} == {"ax", "axb", "axg", "sglue_rte"}
