"""BIG-bench's task.json. The rendering is BIG-bench's convention for JSON tasks, checked here against strings written
by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalharness.data.sources import DataSource, read_rows
from evalharness.errors import DataError
from evalharness.records.tasks import Task

Of = Callable[..., Task]
Lay = Callable[..., Path]

CHOICE = {"input": "Which is wet?", "target_scores": {"water": 1, "sand": 0}}


def rows_of(task: Task, root: Path, split: str = "default") -> list[dict[str, Any]]:
    return [dict(row) for row in read_rows(task, split, DataSource(root)).rows]


@pytest.fixture
def read(of: Of, lay: Lay) -> Callable[..., list[dict[str, Any]]]:
    def read(document: Any, split: str = "default", place: str = "bigbench/wetness/task.json") -> list[dict[str, Any]]:
        return rows_of(of("hails/bigbench", "wetness_zero_shot"), lay({place: document}), split)

    return read


def test_choices_stand_in_the_prompt_in_the_files_order(read: Callable[..., list[dict[str, Any]]]) -> None:
    assert read({"examples": [CHOICE]}) == [
        {
            "idx": 0,
            "inputs": "Q: Which is wet?\n  choice: water\n  choice: sand\nA:",
            "targets": ["water"],
            "multiple_choice_targets": ["water", "sand"],
            "multiple_choice_scores": [1, 0],
        }
    ]


@pytest.mark.parametrize(
    ("keys", "inputs"),
    [
        ({"append_choices_to_input": False}, "Q: Which is wet?\nA:"),
        ({"task_prefix": "Think.\n"}, "Think.\n\nQ: Which is wet?\n  choice: water\n  choice: sand\nA:"),
        ({"choice_prefix": "\n. choice: "}, "Q: Which is wet?\n. choice: water\n. choice: sand\nA:"),
        (
            {
                "example_input_prefix": "Sentence: ",
                "example_output_prefix": "\nLanguage: ",
                "append_choices_to_input": False,
            },
            "Sentence: Which is wet?\nLanguage:",
        ),
    ],
)
def test_prefixes_of_the_task(read: Callable[..., list[dict[str, Any]]], keys: dict[str, Any], inputs: str) -> None:
    assert read({**keys, "examples": [CHOICE]})[0]["inputs"] == inputs


@pytest.mark.parametrize(
    ("example", "targets", "choices", "scores"),
    [
        ({"input": "2+2", "target": "4"}, ["4"], [], []),
        ({"input": "2+2", "target": ["4", "four"]}, ["4", "four"], [], []),
        ({"input": "2+2", "target": 4}, ["4"], [], []),
        (
            {"input": "?", "target": "Yes. It is.", "target_scores": {"Yes": 1, "No": 0}},
            ["Yes. It is."],
            ["Yes", "No"],
            [1, 0],
        ),
        ({"input": "?", "target_scores": {"a": 0.5, "b": 1, "c": 1.0}}, ["b", "c"], ["a", "b", "c"], [0.5, 1, 1.0]),
    ],
)
def test_targets_and_target_scores(
    read: Any, example: dict[str, Any], targets: list[str], choices: list[str], scores: list[float]
) -> None:
    row = read({"examples": [example]})[0]
    assert (row["targets"], row["multiple_choice_targets"], row["multiple_choice_scores"]) == (targets, choices, scores)


@pytest.mark.parametrize(
    "root",
    [
        "",
        "bigbench/",
        "BIG-bench/",
        "bigbench/benchmark_tasks/",
        "benchmark_tasks/",
        "BIG-bench/bigbench/benchmark_tasks/",
    ],
)
def test_folders_that_it_is_found_in(read: Callable[..., list[dict[str, Any]]], root: str) -> None:
    assert len(read({"examples": [CHOICE]}, place=f"{root}wetness/task.json")) == 1


def test_a_task_of_subtasks_is_all_of_them_in_the_order_of_their_names(of: Of, lay: Lay) -> None:
    root = lay(
        {
            f"bigbench/wetness/{name}/task.json": {"examples": [{"input": name, "target": "x"}]}
            for name in ("rivers", "air", "Baths")
        }
    )
    whole = rows_of(of("hails/bigbench", "wetness_zero_shot"), root)
    assert [(row["idx"], row["inputs"]) for row in whole] == [
        (0, "Q: Baths\nA:"),
        (1, "Q: air\nA:"),
        (2, "Q: rivers\nA:"),
    ]
    one = rows_of(of("google/BIG-bench", "wetness/air"), root)
    assert [(row["idx"], row["inputs"]) for row in one] == [(0, "Q: air\nA:")]


@pytest.mark.parametrize(("number", "size"), [(2, 1), (5, 2), (32, 16), (60, 16), (100, 20), (230, 46)])
def test_train_and_validation_part_the_examples_with_big_benchs_sizes(read: Any, number: int, size: int) -> None:
    document = {"examples": [{"input": str(i), "target": "x"} for i in range(number)]}
    parts = {split: read(document, split) for split in ("train", "validation", "default", "all")}
    assert len(parts["validation"]) == size
    assert {row["inputs"] for row in parts["train"]}.isdisjoint(row["inputs"] for row in parts["validation"])
    assert sorted(parts["train"] + parts["validation"], key=lambda row: row["idx"]) == parts["default"] == parts["all"]
    assert parts["validation"] == read(document, "validation")


def test_rendered_examples_are_the_hubs_rows(read: Callable[..., list[dict[str, Any]]]) -> None:
    row = {
        "inputs": " as it is ",
        "targets": ["x"],
        "multiple_choice_targets": ["x", "y"],
        "multiple_choice_scores": [1, 0],
    }
    assert read({"examples": [row, row]}) == [{**row, "idx": 0}, {**row, "idx": 1}]


def test_one_file_stands_for_every_split(of: Of, lay: Lay) -> None:
    root = lay({"any_name.json": {"examples": [CHOICE, CHOICE]}, "rows.json": [{"inputs": "i", "own": 1}]})
    task = of("hails/bigbench", "wetness_zero_shot")
    for split in ("default", "train"):
        assert len(read_rows(task, split, DataSource(overrides={"mine": root / "any_name.json"})).rows) == 2
    assert read_rows(task, "default", DataSource(overrides={"mine": root / "rows.json"})).rows == (
        {"inputs": "i", "own": 1},
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"examples": [CHOICE, {"target": "x"}]}, r"task\.json: examples\[1\]: has no 'input'"),
        ({"examples": [{"input": 3, "target": "x"}]}, r"examples\[0\]: 'input' is a number; a text"),
        ({"examples": [{"input": "x"}]}, r"examples\[0\]: has neither target nor target_scores"),
        ({"examples": [{"input": "x", "target": {"a": 1}}]}, r"examples\[0\]: 'target' is or holds an object"),
        ({"examples": [{"input": "x", "target": []}]}, r"examples\[0\]: has neither"),
        (
            {"examples": [{"input": "x", "target_scores": ["a", "b"]}]},
            r"examples\[0\]: 'target_scores' is a list; an object",
        ),
        ({"examples": [{"input": "x", "target_scores": {}}]}, r"examples\[0\]: 'target_scores' is empty"),
        ({"examples": [{"input": "x", "target_scores": {"a": "1"}}]}, r"examples\[0\]: the score of 'a' is a text"),
        ({"examples": [{"inputs": "x", "targets": "x"}]}, r"examples\[0\]: 'targets' is a text; a list"),
        (
            {
                "examples": [
                    {"inputs": "x", "targets": ["x"], "multiple_choice_targets": ["x"], "multiple_choice_scores": []}
                ]
            },
            r"examples\[0\]: has not as many scores",
        ),
        ({"examples": ["x"]}, r"examples\[0\] is a text; an object"),
        ({"examples": {}}, r"has examples that are an object"),
        ({"examples": []}, "has no rows"),
        ({"name": "x"}, r"task\.json: holds an object; an object with \"examples\""),
        ({"task_prefix": 1, "examples": [CHOICE]}, r"task\.json:1: 'task_prefix' is a number"),
        (
            {"append_choices_to_input": "no", "examples": [CHOICE]},
            r"'append_choices_to_input' is a text; true or false",
        ),
        (b'{"examples": [\n{"input": "x"', r"task\.json:2: is not JSON"),
        (b'{"examples":\n "\xff"}', r"task\.json:2: holds bytes"),
        (b"", r"task\.json:1: is not JSON"),
    ],
)
def test_what_is_wrong_is_said_with_its_example(read: Any, document: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(document)


def test_too_few_examples_to_part_are_refused(read: Callable[..., list[dict[str, Any]]]) -> None:
    with pytest.raises(DataError, match="too few for the split 'train'"):
        read({"examples": [CHOICE]}, "train")


def test_other_splits_are_not_there(read: Callable[..., list[dict[str, Any]]]) -> None:
    with pytest.raises(DataError, match=r"wetness: has no split 'test'.*there: task\.json"):
        read({"examples": [CHOICE]}, "test")
