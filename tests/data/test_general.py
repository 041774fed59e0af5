"""ARC, HellaSwag, PIQA, WinoGrande, LAMBADA and GSM8K, as published and as they lie around; and what is refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from evalharness.data.sources import DataSource, missing, read_rows
from evalharness.errors import DataError
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare

Lay = Callable[..., Path]
Row = dict[str, Any]
LIBRARY = Library()

CHOICES = {"text": ["a hen", "a cow", "a bat"], "label": ["A", "B", "C"]}
LISTED = [{"text": text, "label": label} for text, label in zip(*CHOICES.values(), strict=True)]
ARC = {"id": "ours_1", "question": "Which animal lays eggs?", "choices": CHOICES, "answerKey": "A"}
ARC_PUBLISHED = {"id": "ours_1", "question": {"stem": ARC["question"], "choices": LISTED}, "answerKey": "A"}
HELLASWAG = {
    "activity_label": "Rowing",
    "ctx_a": "Four men row.",
    "ctx_b": "they",
    "endings": ["pass a buoy.", "boil the boat.", "knit it.", "fry it."],
    "label": "0",
}
PIQA = {"goal": "cool soup", "sol1": "Stir it.", "sol2": "Boil it.", "label": 0}
UNLABELLED = {key: PIQA[key] for key in ("goal", "sol1", "sol2")}
WINOGRANDE = {"sentence": "Ida thanked Rosa, since _ had helped.", "option1": "Ida", "option2": "Rosa", "answer": "2"}
LAMBADA = {"text": "He lifted the violin and played the violin"}
GSM8K = {"question": "What is 3 times 4?", "answer": "3*4 = 12.\n#### 12"}
HUB: dict[str, Row] = {
    "arc_easy": ARC,
    "hellaswag": HELLASWAG,
    "piqa": PIQA,
    "winogrande": WINOGRANDE,
    "lambada_openai": LAMBADA,
    "lambada_standard": LAMBADA,
    "gsm8k": GSM8K,
}


def rows(name: str, source: DataSource, split: str | None = None) -> list[Row]:
    task = LIBRARY.task(name)
    return [dict(row) for row in read_rows(task, split or task.evaluation_split, source).rows]


PLACES: list[tuple[str, dict[str, Any]]] = [
    ("arc_easy", {"ARC-V1-Feb2018-2/ARC-Easy/ARC-Easy-Test.jsonl": [ARC_PUBLISHED]}),
    ("arc_easy", {"downloads/ARC-V1-Feb2018-2/ARC-Easy/ARC-Easy-Test.jsonl": [ARC_PUBLISHED]}),
    (
        "arc_easy",
        {"ARC-Easy/ARC-Easy-Test.jsonl": [ARC_PUBLISHED], "ARC-Easy/ARC-Easy-Test.csv": "question\nq (A) a\n"},
    ),
    ("arc_easy", {"ARC-Easy-Test.jsonl": [ARC_PUBLISHED]}),
    ("arc_easy", {"allenai/ai2_arc/ARC-Easy/test.jsonl": [ARC]}),
    ("arc_easy", {"ai2_arc/ARC-Easy/test-00000-of-00001.jsonl": [ARC]}),
    ("hellaswag", {"hellaswag/hellaswag_val.jsonl": [{**HELLASWAG, "label": 0}]}),
    ("hellaswag", {"hellaswag/data/hellaswag_val.jsonl": [{**HELLASWAG, "label": 0}]}),
    ("hellaswag", {"hellaswag_val.jsonl": [{**HELLASWAG, "label": 0}]}),
    ("hellaswag", {"Rowan/hellaswag/validation.jsonl": [HELLASWAG]}),
    ("piqa", {"piqa/valid.jsonl": [{**UNLABELLED, "id": "x"}], "piqa/valid-labels.lst": "0\n"}),
    ("piqa", {"physicaliqa-train-dev/dev.jsonl": [UNLABELLED], "physicaliqa-train-dev/dev-labels.lst": "0"}),
    ("piqa", {"ybisk/piqa/plain_text/validation.jsonl": [PIQA]}),
    ("piqa", {"baber/piqa/default/validation.jsonl": [PIQA]}),
    ("winogrande", {"winogrande_1.1/dev.jsonl": [{**WINOGRANDE, "qID": "x-1"}]}),
    ("winogrande", {"allenai/winogrande/winogrande_xl/validation.jsonl": [WINOGRANDE]}),
    ("lambada_openai", {"lambada/lambada_test.jsonl": [LAMBADA]}),
    ("lambada_openai", {"EleutherAI/lambada_openai/data/lambada_test.jsonl": [LAMBADA]}),
    ("lambada_standard", {"lambada-dataset/lambada_test_plain_text.txt": f"{LAMBADA['text']}\n"}),
    ("gsm8k", {"grade-school-math/grade_school_math/data/test.jsonl": [GSM8K]}),
    ("gsm8k", {"gsm8k/test.jsonl": [GSM8K]}),
    ("gsm8k", {"openai/gsm8k/main/test.jsonl": [GSM8K]}),
]


@pytest.mark.parametrize(("name", "files"), PLACES)
def test_rows_are_found_where_they_are_published_and_kept(name: str, files: dict[str, Any], lay: Lay) -> None:
    assert rows(name, DataSource(lay(files))) == [HUB[name]]


def test_the_folder_of_the_benchmark_may_be_named_itself(lay: Lay) -> None:
    root = lay({**PLACES[0][1], **PLACES[10][1], **PLACES[14][1], **PLACES[19][1]})
    for name, folder in (
        ("arc_easy", "ARC-V1-Feb2018-2"),
        ("piqa", "piqa"),
        ("winogrande", "winogrande_1.1"),
        ("gsm8k", "grade-school-math"),
    ):
        assert rows(name, DataSource(root / folder)) == [HUB[name]]
        assert rows(name, DataSource(None, {name: root / folder})) == [HUB[name]]
    assert rows("gsm8k", DataSource(None, {"gsm8k": root / "grade-school-math/grade_school_math/data"})) == [GSM8K]


def test_files_of_a_name_that_tells_nothing_are_of_no_data_set(lay: Lay) -> None:
    root = lay({"dev.jsonl": [WINOGRANDE], "valid.jsonl": [PIQA], "test.jsonl": [GSM8K]})
    for name in ("winogrande", "piqa", "gsm8k"):
        error = missing([LIBRARY.task(name)], DataSource(root))
        assert error is not None and f"no rows for {name}" in str(error)


def as_table(table: Sequence[Row]) -> bytes:
    """As a CSV writer writes them, lists and objects in JSON."""
    text = io.StringIO()
    writer = csv.writer(text)
    cells = [[v if isinstance(v, (str, int)) else json.dumps(v) for v in row.values()] for row in table]
    writer.writerows([list(table[0]), *cells])
    return text.getvalue().encode()


def as_parquet(table: Sequence[Row]) -> bytes:
    data = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(list(table)), data)
    return data.getvalue()


@pytest.mark.parametrize("name", ["arc_easy", "hellaswag"])
def test_lists_are_read_from_any_file(name: str, lay: Lay) -> None:
    root = lay({"a.csv": as_table([HUB[name]]), "b.parquet": as_parquet([HUB[name]]), "c.json": [HUB[name]]})
    task = LIBRARY.task(name)
    read = [read_rows(task, task.evaluation_split, DataSource(None, {name: path})) for path in sorted(root.iterdir())]
    assert len({split.digest for split in read}) == 1
    assert [dict(row) for split in read for row in split.rows] == [HUB[name]] * 3


@pytest.mark.parametrize(
    ("labels", "answer", "right"),
    [("ABC", "B", 1), ("123", "2", 1), ("12345", "5", 4), ("ABCDE", "A", 0), ("12", 2, 1)],
)
def test_questions_of_arc_have_letters_or_numbers_and_any_number_of_choices(
    labels: str, answer: Any, right: int, lay: Lay
) -> None:
    choices = [{"text": f"text {label}", "label": label} for label in labels]
    forms = [
        {"question": {"stem": "q?", "choices": choices}, "answerKey": answer},
        {"question": "q?", "choices": choices, "answer": answer},
    ]
    source = DataSource(None, {"arc_easy": lay({"rows.jsonl": forms[:1]}) / "rows.jsonl"})
    example = prepare(LIBRARY.task("arc_easy"), source, PromptSettings()).examples[0]
    assert example.choices == tuple(f"text {label}" for label in labels) and example.gold == (right,)
    read = [
        rows("arc_easy", DataSource(None, {"arc_easy": lay({"rows.jsonl": [form]}) / "rows.jsonl"})) for form in forms
    ]
    assert read[0] == read[1]


def test_endings_of_hellaswag_lose_the_marks_of_their_source(lay: Lay) -> None:
    row = {
        **HELLASWAG,
        "ctx_a": "[header] How to row [title] Sit down. [step] Take the  oars.",
        "ctx_b": "",
        "endings": ["Pull. [substeps] Rest.", " Push [title] Rest.", "Row.", "Swim."],
    }
    source = DataSource(None, {"hellaswag": lay({"rows.jsonl": [row]}) / "rows.jsonl"})
    example = prepare(LIBRARY.task("hellaswag"), source, PromptSettings()).examples[0]
    assert example.prompt == "Rowing: How to row. Sit down. Take the oars."
    assert example.choices == ("Pull. Rest.", "Push. Rest.", "Row.", "Swim.")


WRONG: list[tuple[str, Row, str]] = [
    ("arc_easy", {**ARC, "choices": {**CHOICES, "label": ["A", "B"]}}, "has 3 choices and the labels A, B; a label"),
    ("arc_easy", {**ARC, "choices": {**CHOICES, "label": ["A", "B", "B"]}}, "has 3 choices and the labels A, B, B"),
    ("arc_easy", {**ARC, "choices": "a, b"}, "'choices' is a text; a list"),
    ("arc_easy", {**ARC, "choices": ["a", "b"]}, "'choices' is a list; texts and labels would be right"),
    ("arc_easy", {"question": "q", "answerKey": "A"}, "has no 'choices'"),
    ("arc_easy", {"question": {"choices": LISTED}, "answerKey": "A"}, "question: has no 'stem'"),
    ("arc_easy", {"choices": CHOICES, "answerKey": "A"}, r"has no column question \(or query\); columns there"),
    ("hellaswag", {**HELLASWAG, "endings": ["a", "b"]}, "has 2 endings; four would be right"),
    ("hellaswag", {**HELLASWAG, "endings": "['a' 'b' 'c' 'd']"}, "'endings' is a text; a list"),
    ("hellaswag", {**HELLASWAG, "label": 4}, "the label is '4'; 0, 1, 2, 3 would be right"),
    ("piqa", {**PIQA, "label": 2}, "the label is '2'; 0, 1 would be right"),
    ("piqa", {**PIQA, "sol2": None}, "'sol2' is null; a text would be right"),
    ("piqa", {"goal": "g", "sol1": "s", "label": 0}, r"has no column sol2 .*columns there: goal, sol1, label"),
    ("winogrande", {**WINOGRANDE, "answer": "0"}, "the answer is '0'; 1, 2 would be right"),
    ("winogrande", {**WINOGRANDE, "sentence": "Ida left."}, "the sentence has 0 gaps; one gap, written _"),
    ("lambada_openai", {"text": "violin"}, "the passage does not end in a word after a space"),
    ("gsm8k", {**GSM8K, "answer": "12"}, "the answer has no '#### '"),
]


@pytest.mark.parametrize(("name", "row", "message"), WRONG)
def test_what_a_row_lacks_is_said_with_its_line(name: str, row: Row, message: str, lay: Lay) -> None:
    with pytest.raises(DataError, match=message):
        rows(name, DataSource(None, {name: lay({"rows.jsonl": [row]}) / "rows.jsonl"}))


@pytest.mark.parametrize(
    ("name", "unlabelled", "label"),
    [
        ("arc_easy", {**ARC, "answerKey": ""}, "answerKey"),
        ("hellaswag", {**HELLASWAG, "label": ""}, "label"),
        ("piqa", UNLABELLED, "label"),
        ("winogrande", {**WINOGRANDE, "answer": ""}, "answer"),
    ],
)
def test_a_split_without_labels_is_refused_by_that_name(name: str, unlabelled: Row, label: str, lay: Lay) -> None:
    source = DataSource(None, {name: lay({"rows.jsonl": [unlabelled, unlabelled]}) / "rows.jsonl"})
    with pytest.raises(DataError, match=f"has no labels .column '{label}' is .* in every row.; evaluate a split that"):
        prepare(LIBRARY.task(name), source, PromptSettings(num_fewshot=0))
    with pytest.raises(DataError, match=f"rows.jsonl:1: has no {label}, and other rows have one"):
        rows(name, DataSource(None, {name: lay({"rows.jsonl": [unlabelled, HUB[name]]}) / "rows.jsonl"}))


@pytest.mark.parametrize("labels", ["0\n", "0\n1\n0\n"])
def test_labels_in_a_file_of_another_length_are_refused(labels: str, lay: Lay) -> None:
    root = lay({"piqa/valid.jsonl": [UNLABELLED, UNLABELLED], "piqa/valid-labels.lst": labels})
    count = labels.count("\n")
    with pytest.raises(DataError, match=f"valid-labels.lst: has {count} labels, and valid.jsonl beside it 2 rows"):
        rows("piqa", DataSource(root))


def test_labels_in_a_file_of_their_own_are_checked_and_give_way_to_a_column(lay: Lay) -> None:
    root = lay({"piqa/valid.jsonl": [UNLABELLED, UNLABELLED], "piqa/valid-labels.lst": "0\n7\n"})
    with pytest.raises(DataError, match=r"valid.jsonl:2: the label is '7'"):
        rows("piqa", DataSource(root))
    lay({"piqa/valid.jsonl": [PIQA, PIQA]})
    assert rows("piqa", DataSource(root)) == [PIQA, PIQA]


def test_a_place_without_the_split_is_named(lay: Lay) -> None:
    root = lay({"winogrande_1.1/train_xl.jsonl": [WINOGRANDE]})
    with pytest.raises(DataError, match=r"has no split 'validation' for winogrande .*there: train_xl.jsonl"):
        rows("winogrande", DataSource(root))
    assert rows("winogrande", DataSource(root), "train") == [WINOGRANDE]
