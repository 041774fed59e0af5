"""Every shipped task, group and suite is whole, and is what it says it is; all of the demo can be asked from what is
shipped.
"""

from __future__ import annotations

import numpy as np
import pytest

from evalharness.data.sources import DataSource, missing
from evalharness.metrics.build import build
from evalharness.paths import shipped
from evalharness.tasks.library import Library
from evalharness.tasks.metadata import ACCURACIES, FAMILIES
from evalharness.tasks.prepare import PromptSettings, prepare, training_pairs

LIBRARY = Library()
WORLD = DataSource(shipped=shipped("fixtures/world/rows"))
DEMO = LIBRARY.suite("demo")
FIVE = {"glue", "superglue", "mmlu", "bigbench_lite", "summarization"}


def test_every_task_states_what_only_its_author_knows() -> None:
    for name in LIBRARY.names():
        task = LIBRARY.task(name)
        assert task.family in FAMILIES and (task.family != "other" or "bias" in task.tags), name
        assert task.version != "0" and task.tags, name
        primary = next(spec for spec in task.metrics if spec.id == task.primary)
        metric = build(primary)
        assert metric.kind != "opaque" and metric.low <= task.chance < metric.high, name
        assert 0 < task.margin < (metric.high - task.chance) / 5, name
        if isinstance(task.doc_to_choice, tuple) and primary.name in ACCURACIES:
            assert task.chance == pytest.approx(1 / len(task.doc_to_choice), abs=5e-4), name


def test_what_people_score_is_as_published() -> None:
    """Nangia and Bowman 2019 and Wang et al. 2019 state averages over their tasks, which their values come out at."""
    for name, published in (("glue", 0.871), ("superglue", 0.898)):
        average = LIBRARY.suite(name).average
        assert average is not None and average.human is not None and average.human.value == published
        missing = {"mrpc": 0.863, "stsb": 0.926, "qqp": 0.595, "cb": 0.958, "multirc": 0.519, "record": 0.917}
        entries = []
        for names in average.over:
            levels = [LIBRARY.task(each).human for each in names.split("+")]
            values = [level.value for level in levels if level is not None]
            assert len(values) == len(levels), names
            entries.append(np.mean([*values, missing[names]] if names in missing else values))  # the second metric
        assert float(np.mean(entries)) == pytest.approx(published, abs=6e-4), name
    assert LIBRARY.group("mmlu").human is not None


def test_groups_and_suites_are_whole() -> None:
    assert {"demo", "forgetting"} <= set(LIBRARY.suites())
    assert all(LIBRARY.group(name).tasks for name in LIBRARY.groups())
    assert all(LIBRARY.suite(name).tasks for name in LIBRARY.suites())


def test_both_suites_span_the_five_families() -> None:
    for name in ("demo", "forgetting"):
        assert {LIBRARY.task(task).family for task in LIBRARY.suite(name).tasks} >= FIVE
    assert "topics" in DEMO.tasks and [group.name for group in DEMO.groups if group.unit] == ["demo_mmlu"]
    assert LIBRARY.suite("forgetting").limit == 500
    for name in ("forgetting", "forgetting-full"):
        assert {"arc", "general"} <= {group.name for group in LIBRARY.suite(name).groups if group.unit} | {
            LIBRARY.task(task).family for task in LIBRARY.suite(name).tasks
        }


def test_no_margin_of_a_suite_is_more_than_a_fifth_of_what_there_is_to_lose() -> None:
    for name in LIBRARY.suites():
        for member, margin in LIBRARY.suite(name).margins.items():
            task = LIBRARY.task(member)
            metric = build(next(spec for spec in task.metrics if spec.id == task.primary))
            assert margin <= (metric.high - task.chance) / 5


def test_the_demo_has_all_its_rows() -> None:
    assert DEMO.split == "test"
    assert missing([LIBRARY.task(name) for name in DEMO.tasks], WORLD, DEMO.split) is None


@pytest.mark.parametrize("name", DEMO.tasks)
def test_the_demo_can_be_asked_with_and_without_shots(name: str) -> None:
    task = LIBRARY.task(name)
    for shots in (0, 2):
        prepared = prepare(task, WORLD, PromptSettings(split="test", limit=40, num_fewshot=shots))
        assert len(prepared.examples) == 40 and not prepared.failures
        assert len({example.id for example in prepared.examples}) == 40


def test_the_demos_target_can_be_learned() -> None:
    assert len(training_pairs(LIBRARY.task("topics"), WORLD, "train").pairs) > 100
