"""Which layout is read when a folder has several, what --data takes, and that a data set's two layouts give the same
rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evalharness.data.sources import DataSource, locate, missing, read_rows
from evalharness.errors import DataError
from evalharness.paths import shipped
from evalharness.records.tasks import Task
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare
from evalharness.tasks.variants import with_disturbance

Of = Callable[..., Task]
Lay = Callable[..., Path]

PUBLISHED = {"premise": "published", "hypothesis": "h", "idx": 0, "label": "entailment"}
HUB = {"premise": "hub", "hypothesis": "h", "idx": 0, "label": 0}
RTE = "index\tsentence1\tsentence2\tlabel\n0\tpublished\tb\tentailment\n"


def first(task: Task, source: DataSource, split: str = "validation") -> str:
    row = read_rows(task, split, source).rows[0]
    return str(row.get("premise") or row.get("sentence1"))


def test_the_hubs_layout_wins_over_the_published_one(of: Of, lay: Lay) -> None:
    root = lay({"superglue/RTE/val.jsonl": [PUBLISHED]})
    task = of("aps/super_glue", "rte")
    assert first(task, DataSource(root)) == "published"
    lay({"aps/super_glue/rte/validation.jsonl": [HUB]})
    assert first(task, DataSource(root)) == "hub"


def test_splits_of_one_data_set_never_come_from_two_layouts(of: Of, lay: Lay) -> None:
    root = lay({"superglue/RTE/val.jsonl": [PUBLISHED], "aps/super_glue/rte/train.jsonl": [HUB]})
    with pytest.raises(DataError, match=r"super_glue/rte: has no split 'validation' for mine; splits there: train"):
        read_rows(of("aps/super_glue", "rte"), "validation", DataSource(root))


def test_a_place_without_the_split_is_named_and_nothing_else_is_tried(of: Of, lay: Lay) -> None:
    source = DataSource(lay({"superglue/RTE/train.jsonl": [PUBLISHED]}))
    task = replace(of("aps/super_glue", "rte"), evaluation_split="validation")
    with pytest.raises(DataError, match=r"superglue/RTE: has no split 'validation' for mine .*there: train\.jsonl"):
        read_rows(task, "validation", source)
    assert "superglue/RTE" in str(missing([task], source))


def test_two_benchmarks_may_share_a_folder_name(of: Of, lay: Lay) -> None:
    root = lay({"RTE/dev.tsv": RTE, "RTE/val.jsonl": [PUBLISHED]})
    assert first(of("nyu-mll/glue", "rte"), DataSource(root)) == "published"
    assert read_rows(of("aps/super_glue", "rte"), "validation", DataSource(root)).rows[0]["premise"] == "published"


@pytest.mark.parametrize("name", ["mine", "aps/super_glue", "aps/super_glue/rte"])
@pytest.mark.parametrize("below", ["", "superglue", "superglue/RTE", "superglue/RTE/val.jsonl"])
def test_data_takes_a_benchmarks_folder_a_tasks_folder_or_a_file(of: Of, lay: Lay, name: str, below: str) -> None:
    root = lay(
        {"superglue/RTE/val.jsonl": [PUBLISHED], "superglue/RTE/train.jsonl": [{**PUBLISHED, "premise": "train"}]}
    )
    source = DataSource(overrides={name: root / below})
    task = of("aps/super_glue", "rte")
    assert (first(task, source), read_rows(task, "validation", source).rows[0]["label"]) == ("published", 0)
    assert first(task, source, "train") == ("published" if below.endswith("jsonl") else "train")


def test_data_for_a_task_is_data_for_what_is_derived_from_it(of: Of, lay: Lay) -> None:
    root = lay({"glue/RTE/dev.tsv": RTE})
    derived = with_disturbance(replace(of("nyu-mll/glue", "rte"), name="mine"), "typos")
    assert first(derived, DataSource(overrides={"mine": root / "glue/RTE/dev.tsv"})) == "published"


def test_a_published_file_under_a_hub_name_is_read_for_what_it_is(of: Of, lay: Lay) -> None:
    """boolq/train.jsonl may be either; its rows say which."""
    root = lay(
        {
            "boolq/train.jsonl": [{"question": "q", "passage": "p", "idx": 0, "label": True}],
            "super_glue/rte/train.jsonl": [PUBLISHED],
        }
    )
    boolq = read_rows(replace(of("aps/super_glue", "boolq"), name="boolq"), "train", DataSource(root)).rows[0]
    assert boolq["label"] == 1 and boolq["label"] is not True
    assert read_rows(of("aps/super_glue", "rte"), "train", DataSource(root)).rows[0]["label"] == 0


def test_two_folders_that_answer_to_one_name_are_refused(of: Of, lay: Lay) -> None:
    root = lay({"superglue/boolq/val.jsonl": [], "superglue/BOOLQ/val.jsonl": []})
    with pytest.raises(DataError, match=r"superglue: holds BOOLQ and boolq; keep one"):
        locate(of("aps/super_glue", "boolq"), "validation", DataSource(root))


def test_data_sets_without_a_published_layout_are_looked_for_as_before(of: Of, lay: Lay) -> None:
    root = lay({"glue/RTE/dev.tsv": RTE})
    assert locate(of("who/what", "rte"), "validation", DataSource(root)) is None
    assert locate(of("nyu-mll/glue", "no_such_config"), "validation", DataSource(root)) is None


def test_the_order_of_the_rows_is_the_files(of: Of, lay: Lay) -> None:
    rows = [{**PUBLISHED, "idx": idx, "premise": str(idx)} for idx in (4, 2, 9)]
    found = read_rows(of("aps/super_glue", "rte"), "validation", DataSource(lay({"superglue/RTE/val.jsonl": rows})))
    assert [row["idx"] for row in found.rows] == [4, 2, 9]


SHIPPED: list[tuple[str, str | None, str]] = [
    *[("nyu-mll/glue", name, "validation") for name in ("cola", "sst2", "mrpc", "qqp", "stsb", "qnli", "rte", "wnli")],
    *[("nyu-mll/glue", "mnli", split) for split in ("train", "validation_matched", "validation_mismatched")],
    *[
        ("aps/super_glue", name, "validation")
        for name in ("boolq", "cb", "copa", "multirc", "record", "rte", "wic", "wsc.fixed")
    ],
    *[("aps/super_glue", name, "test") for name in ("axb", "axg")],
    *[("knkarthick/dialogsum", None, split) for split in ("train", "validation", "test")],
    ("knkarthick/samsum", None, "test"),
    ("EdinburghNLP/xsum", None, "test"),
    ("abisee/cnn_dailymail", "3.0.0", "test"),
]


@pytest.mark.parametrize(("path", "config", "split"), SHIPPED)
def test_both_layouts_of_the_shipped_rows_are_the_same_rows(of: Of, path: str, config: str | None, split: str) -> None:
    root = shipped("fixtures/benchmarks")
    hub, published = (read_rows(of(path, config), split, DataSource(folder)) for folder in (root, root / "published"))
    assert published.rows == hub.rows
    assert published.digest == hub.digest
    assert "published" in published.origin and "published" not in hub.origin


def test_lists_of_what_is_there_are_short(of: Of, lay: Lay, tmp_path: Path) -> None:
    files: dict[str, Any] = {f"superglue/RTE/x{number}.jsonl": [PUBLISHED] for number in range(40)}
    with pytest.raises(DataError) as caught:
        read_rows(of("aps/super_glue", "rte"), "validation", DataSource(lay(files)))
    assert len(str(caught.value).replace(str(tmp_path), "")) < 400


@pytest.mark.parametrize(("task", "split"), [("boolq", "test"), ("cb", "test"), ("cola", "test"), ("sst2", "test")])
def test_a_split_without_labels_is_refused_with_the_split_that_has_some(task: str, split: str) -> None:
    source = DataSource(shipped("fixtures/benchmarks") / "published")
    with pytest.raises(
        DataError,
        match=rf"split '{split}': has no labels .* in every row\); evaluate a split that has some \(validation\)",
    ):
        prepare(Library().task(task), source, PromptSettings(split=split))
