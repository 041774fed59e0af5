"""SuperGLUE's JSON lines. Keys and label orders are those of the published archives and the hub; the texts are ours."""

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
Row = dict[str, Any]

PLAIN: dict[
    str, tuple[str, Row, list[tuple[Any, int]]]
] = {  # config: (folder, a row without its label, published label and the hub's)
    "boolq": ("BoolQ", {"question": "is it wet", "passage": "It rained.", "idx": 3}, [(True, 1), (False, 0)]),
    "cb": (
        "CB",
        {"premise": "p", "hypothesis": "h", "idx": 0},
        [("entailment", 0), ("contradiction", 1), ("neutral", 2)],
    ),
    "copa": ("COPA", {"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", "idx": 9}, [(0, 0), (1, 1)]),
    "rte": ("RTE", {"premise": "p", "hypothesis": "h", "idx": 0}, [("entailment", 0), ("not_entailment", 1)]),
    "wic": (
        "WiC",
        {
            "word": "run",
            "sentence1": "a run",
            "sentence2": "run on",
            "start1": 2,
            "end1": 5,
            "start2": 0,
            "end2": 3,
            "idx": 0,
        },
        [(True, 1), (False, 0)],
    ),
    "axb": ("AX-b", {"sentence1": "a", "sentence2": "b", "idx": 0}, [("entailment", 0), ("not_entailment", 1)]),
    "axg": ("AX-g", {"premise": "p", "hypothesis": "h", "idx": 0}, [("entailment", 0), ("not_entailment", 1)]),
}
WSC = {"text": "The Cup fell off the shelf because it was wet.", "idx": 0, "label": True}
SPANS = {"span1_index": 1, "span1_text": "Cup", "span2_index": 7, "span2_text": "it"}
PASSAGE = {
    "text": "Ada met Bo.",
    "questions": [
        {
            "idx": 5,
            "question": "Who met Bo?",
            "answers": [{"idx": 11, "text": "Ada", "label": 1}, {"idx": 12, "text": "Cy", "label": 0}],
        },
        {"idx": 6, "question": "Whom?", "answers": [{"idx": 13, "text": "Bo", "label": 1}]},
    ],
}
NEWS = "Ada met Bo. Later Bo left.\n@highlight\nAda stayed"
RECORD = {
    "source": "ours",
    "idx": 7,
    "passage": {"text": NEWS, "entities": [{"start": 18, "end": 19}, {"start": 0, "end": 2}, {"start": 8, "end": 9}]},
    "qas": [
        {
            "idx": 20,
            "query": "It was @placeholder who left",
            "answers": [{"start": 8, "end": 9, "text": "Bo"}, {"start": 18, "end": 19, "text": "Bo"}],
        },
        {"idx": 21, "query": "@placeholder stayed", "answers": [{"start": 0, "end": 2, "text": "Ada"}]},
    ],
}


def rows_of(task: Task, root: Path, split: str = "validation") -> list[Row]:
    return [dict(row) for row in read_rows(task, split, DataSource(root)).rows]


def one(of: Of, lay: Lay, config: str, rows: Any, name: str = "val.jsonl", split: str = "validation") -> list[Row]:
    folder = {"wsc": "WSC", "wsc.fixed": "WSC", "multirc": "MultiRC", "record": "ReCoRD"}.get(config) or PLAIN[config][
        0
    ]
    return rows_of(of("aps/super_glue", config), lay({f"superglue/{folder}/{name}": rows}), split)


@pytest.mark.parametrize("config", PLAIN)
def test_labels_become_the_hubs_numbers_and_extra_keys_go(of: Of, lay: Lay, config: str) -> None:
    _, row, labels = PLAIN[config]
    published = [{**row, "idx": idx, "label": label, "version": 1.1} for idx, (label, _) in enumerate(labels)]
    expected = [{**row, "idx": idx, "label": number} for idx, (_, number) in enumerate(labels)]
    assert one(of, lay, config, published) == expected


@pytest.mark.parametrize("config", [*PLAIN, "wsc"])
def test_a_test_file_without_labels_gives_minus_one(of: Of, lay: Lay, config: str) -> None:
    row = PLAIN[config][1] if config in PLAIN else {"text": "It is it.", "target": {**SPANS}, "idx": 0}
    assert [found["label"] for found in one(of, lay, config, [row], "test.jsonl", "test")] == [-1]


@pytest.mark.parametrize(("config", "name"), [("axb", "AX-b.jsonl"), ("axg", "AX-g.jsonl")])
def test_a_diagnostic_is_one_file(of: Of, lay: Lay, config: str, name: str) -> None:
    rows = [{**PLAIN[config][1], "label": "entailment"}]
    assert one(of, lay, config, rows, name, "test")[0]["label"] == 0


@pytest.mark.parametrize("root", ["superglue", "super_glue", "SuperGLUE", "."])
@pytest.mark.parametrize("folder", ["BoolQ", "boolq", "BOOLQ"])
@pytest.mark.parametrize(
    ("name", "split"), [("val.jsonl", "validation"), ("dev.jsonl", "validation"), ("train.jsonl", "train")]
)
def test_folders_that_it_is_found_in(of: Of, lay: Lay, root: str, folder: str, name: str, split: str) -> None:
    data = lay({f"{root}/{folder}/{name}": [{**PLAIN["boolq"][1], "label": True}]})
    assert rows_of(of("aps/super_glue", "boolq"), data, split)[0]["label"] == 1


def test_wsc_spans_are_columns_and_the_fixed_ones_stand_in_the_text(of: Of, lay: Lay) -> None:
    target = {**SPANS, "span1_text": "the Cup.", "span1_index": 0, "span2_text": "It"}
    published = [{**WSC, "target": target}, {**WSC, "idx": 1, "target": {**SPANS, "span1_text": "no such words"}}]
    assert one(of, lay, "wsc", published)[0] == {"text": WSC["text"], **target, "idx": 0, "label": 1}
    fixed = one(of, lay, "wsc.fixed", published)
    assert (fixed[0]["span1_text"], fixed[0]["span2_text"], fixed[1]["span1_text"]) == (
        "The Cup",
        "it",
        "no such words",
    )


def test_a_passage_of_multirc_is_a_row_for_each_answer(of: Of, lay: Lay) -> None:
    rows = one(of, lay, "multirc", [{"idx": 2, "version": 1.1, "passage": PASSAGE}])
    assert [(row["question"], row["answer"], row["label"]) for row in rows] == [
        ("Who met Bo?", "Ada", 1),
        ("Who met Bo?", "Cy", 0),
        ("Whom?", "Bo", 1),
    ]
    assert rows[1]["idx"] == {"paragraph": 2, "question": 5, "answer": 12} and rows[1]["paragraph"] == "Ada met Bo."


def test_a_passage_of_record_is_a_row_for_each_query(of: Of, lay: Lay) -> None:
    rows = one(of, lay, "record", [RECORD])
    assert rows[0]["entities"] == ["Ada", "Bo"]  # each text once, though Bo is marked twice
    assert rows[0]["entity_spans"] == {"text": ["Ada", "Bo", "Bo"], "start": [0, 8, 18], "end": [3, 10, 20]}
    assert [(row["query"], row["answers"], row["idx"]) for row in rows] == [
        ("It was @placeholder who left", ["Bo"], {"passage": 7, "query": 20}),
        ("@placeholder stayed", ["Ada"], {"passage": 7, "query": 21}),
    ]
    unlabelled = {**RECORD, "qas": [{"idx": 1, "query": "@placeholder"}]}
    assert one(of, lay, "record", [unlabelled], "test.jsonl", "test")[0]["answers"] == []


def test_rows_as_the_hub_has_them_are_left_alone(of: Of, lay: Lay) -> None:
    row = {"premise": "p", "hypothesis": "h", "label": 1, "idx": 0, "own": "column"}
    root = lay(
        {
            "RTE/validation.jsonl": [row],
            "answers.jsonl": [{"paragraph": "p", "question": "q", "answer": "a", "label": 1}],
        }
    )
    task = of("aps/super_glue", "rte")
    for source in (
        DataSource(overrides={"mine": root / "RTE"}),
        DataSource(overrides={"mine": root / "RTE/validation.jsonl"}),
    ):
        assert read_rows(task, "validation", source).rows == (row,)
    multirc = read_rows(
        of("aps/super_glue", "multirc"), "validation", DataSource(overrides={"mine": root / "answers.jsonl"})
    )
    assert multirc.rows[0]["answer"] == "a"


def damaged(config: str, **changes: Any) -> Row:
    return {
        key: value
        for key, value in {**PLAIN[config][1], "label": PLAIN[config][2][0][0], **changes}.items()
        if value is not ...
    }


@pytest.mark.parametrize(
    ("config", "rows", "message"),
    [
        (
            "rte",
            [damaged("rte"), damaged("rte", idx=1, label="maybe")],
            r"val\.jsonl:2: the label is 'maybe'; entailment or not_entailment",
        ),
        ("rte", [damaged("rte", label=None)], r":1: the label is 'None'"),
        ("cb", [damaged("cb", label=3)], r":1: the label is '3'"),
        ("rte", [damaged("rte", label=True)], r":1: the label is true; entailment or not_entailment"),
        ("copa", [damaged("copa"), damaged("copa", idx=1, label=2)], r":2: the label is '2'; 0 or 1"),
        ("boolq", [damaged("boolq", label="yes")], r":1: the label is 'yes'; true or false"),
        ("copa", [damaged("copa", question="why", version=1, label=...)], r":1: the question is 'why'"),
        ("rte", [damaged("rte", premise=7)], r":1: 'premise' is a number; a text"),
        ("rte", [damaged("rte", premise=...)], r":1: has no 'premise' \(it has 'hypothesis', 'idx', 'label'\)"),
        ("wic", [damaged("wic", start1="2")], r":1: 'start1' is a text; a whole number"),
        ("rte", [damaged("rte", idx="0")], r":1: 'idx' is a text"),
        ("rte", [damaged("rte"), damaged("rte")], r"val\.jsonl:2: has the idx 0, as line 1 has"),
        (
            "rte",
            [damaged("rte"), damaged("rte", idx=1, label=...)],
            r":2: has no label, though rows before it have one",
        ),
        ("wsc", [{**WSC, "target": [1]}], r":1: 'target' is a list; an object"),
        (
            "multirc",
            [{"idx": 0, "passage": {**PASSAGE, "questions": {}}}],
            r":1, passage: 'questions' is an object; a list",
        ),
        ("multirc", [{"idx": 0, "passage": {"text": "x", "questions": []}}], r"'questions' is empty"),
        ("multirc", [{"idx": 0, "passage": PASSAGE}] * 2, r":2: has the idx"),
        (
            "record",
            [{**RECORD, "passage": {"text": "short", "entities": [{"start": 3, "end": 5}]}}],
            r"the span 3 to 5 is not in the passage of 5",
        ),
        ("record", [{**RECORD, "qas": [{"idx": 1, "query": "who?"}]}], r"qas\[0\]: the query has no @placeholder"),
        ("record", [{**RECORD, "qas": ["q"]}], r":1: qas\[0\] is a text; an object"),
        (
            "rte",
            b'{"premise": "p", "hypothesis": "h", "idx": 0, "label": "entailment"}\n{"premise": "p", "hyp',
            r"val\.jsonl:2: is not JSON",
        ),
        (
            "rte",
            b'{"premise": "\xff", "hypothesis": "h", "idx": 0, "label": "entailment"}\n',
            r"val\.jsonl:1: holds bytes",
        ),
        ("rte", b"", "has no rows"),
        ("rte", b'[{"premise": "p"}]\n', r":1: holds a list"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_key(of: Of, lay: Lay, config: str, rows: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        one(of, lay, config, rows)
