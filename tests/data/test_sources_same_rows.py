"""The same rows by every road: whatever file they lie in, they have one digest, are the same rows, and give the same
prompts. The files are written by pandas, the csv module, pyarrow and gzip: other hands than the ones that read.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from evalharness.data.sources import DataSource, read_rows
from evalharness.records.tasks import Task
from evalharness.tasks.library import Library
from evalharness.tasks.prepare import PromptSettings, prepare
from evalharness.tasks.spec import task_from

Rows = Sequence[dict[str, Any]]
TEXTS = [
    "2.50",
    "true",
    "007",
    "NA",
    "2024-02-29",
    'He said "no", twice; then\tleft.',
    "two\nlines\n",
    "naïve 東京 \u202eRTL\u202c 🙂",
    " spaces  kept ",
    "1e3",
    "null",
    "12",
    "-0",
    "\u2028 is no line end",
]


def table(rows: Rows, delimiter: str = ",", ending: str = "\n", quoting: Any = csv.QUOTE_MINIMAL) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    writer.writerows([list(rows[0]), *(list(row.values()) for row in rows)])
    return text.getvalue()


def arrow(rows: Rows, kind: str) -> bytes:
    data, columns = io.BytesIO(), pa.Table.from_pylist(list(rows))
    if kind == "parquet":
        parquet.write_table(columns, data)
    else:
        with (ipc.new_file if kind == "file" else ipc.new_stream)(data, columns.schema) as writer:
            writer.write_table(columns)
    return data.getvalue()


def json_roads(rows: Rows) -> Iterator[tuple[str, str | bytes]]:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    yield "jsonl", "\n".join(lines)
    yield "jsonl", "\r\n".join(lines) + "\r\n"
    yield "jsonl", "\r".join(lines)
    yield "json", json.dumps(rows, indent=1)
    yield "json", json.dumps({"version": 1, "data": rows})
    yield "parquet", arrow(rows, "parquet")
    yield "arrow", arrow(rows, "file")
    yield "arrow", arrow(rows, "stream")


def table_roads(rows: Rows) -> Iterator[tuple[str, str | bytes]]:
    for ending in ("\n", "\r\n"):
        yield "csv", table(rows, ",", ending)
        yield "csv", table(rows, ";", ending)
    for ending in ("\r\n", "\r"):  # as an editor turns every line end, those inside quotes, too
        yield "csv", table(rows).replace("\n", ending)
    yield "csv", table(rows, "\t")
    yield "csv", "sep=;\r\n" + table(rows, ";", "\r\n")
    yield "csv", table(rows, quoting=csv.QUOTE_ALL)
    yield "tsv", table(rows, "\t")
    yield "tsv", table(rows, "\t", "\r\n", csv.QUOTE_ALL)


def roads(rows: Rows, tables: bool = True) -> Iterator[tuple[str, bytes]]:
    first = set()
    for suffix, content in (*json_roads(rows), *(table_roads(rows) if tables else ())):
        if isinstance(content, bytes):
            yield suffix, content
            continue
        yield suffix, content.encode()
        if suffix not in first:
            yield suffix, b"\xef\xbb\xbf" + content.encode()
            yield suffix, content.encode("utf-16")
            yield f"{suffix}.gz", gzip.compress(content.encode())
        first.add(suffix)


def by_every_road(task: Task, files: Sequence[tuple[str, bytes]], place: Path, expected: Rows) -> None:
    """All files are read as the first is, which holds what is expected."""
    prompts = set()
    digests = set()
    for number, (suffix, data) in enumerate(files):
        path = place / f"rows-{number}.{suffix}"
        path.write_bytes(data)
        source = DataSource(overrides={task.name: path})
        split = read_rows(task, task.evaluation_split, source)
        assert list(split.rows) == list(expected), f"{path.name}: {data[:200]!r}"
        digests.add(split.digest)
        prompts.add(prepare(task, source, PromptSettings(num_fewshot=0)).prompts_digest)
    assert len(digests) == len(prompts) == 1


def own(**changes: Any) -> Task:
    values = {
        "task": "own",
        "dataset_path": "who/what",
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{q}} {{n}} {{x}}:",
        "doc_to_target": "label",
        "doc_to_choice": ["no", "yes"],
        "metric_list": [{"metric": "acc"}],
    }
    return task_from({**values, **changes}, Path("own.yaml"))


@pytest.mark.fault(18)
def test_rows_of_ones_own_task(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    rows = [{"q": text, "n": 3 * i, "x": 0.5 * i, "label": i % 2} for i, text in enumerate(TEXTS)]
    files = list(roads(rows))
    record_property("injected", len(files))
    by_every_road(own(), files, tmp_path, rows)


def test_texts_that_are_numbers_have_one_digest_and_one_set_of_prompts(tmp_path: Path) -> None:
    rows = [{"q": text, "n": str(i), "x": "True", "label": i % 2} for i, text in enumerate(("12", "7", "3.5"))]
    digests, prompts = set(), set()
    for number, (suffix, data) in enumerate(roads(rows)):
        path = tmp_path / f"{number}.{suffix}"
        path.write_bytes(data)
        source = DataSource(overrides={"own": path})
        digests.add(read_rows(own(), "test", source).digest)
        prompts.add(prepare(own(), source, PromptSettings(num_fewshot=0)).prompts_digest)
    assert len(digests) == len(prompts) == 1


def test_columns_of_other_names_and_none_are_those_that_are_stated(tmp_path: Path) -> None:
    rows = [{"q": text, "n": i, "x": i, "label": i % 2} for i, text in enumerate(TEXTS)]
    other = [{"Frage": row["q"], "n": row["n"], "x": row["x"], "Antwort": row["label"]} for row in rows]
    numbers = {name: str(number) for number, name in enumerate(rows[0], start=1)}
    for number, (suffix, data) in enumerate(roads(other)):
        path = tmp_path / f"{number}.{suffix}"
        path.write_bytes(data)
        source = DataSource(overrides={"own": path}, columns={"q": "Frage", "own:label": "Antwort"})
        assert list(read_rows(own(), "test", source).rows) == rows
    path.write_bytes(table(rows, "\t").partition("\n")[2].encode())
    source = DataSource(overrides={"own": path.rename(tmp_path / "none.tsv")}, columns=numbers)
    assert list(read_rows(own(), "test", source).rows) == rows


SENTENCES = [{"sentence": text, "label": i % 2} for i, text in enumerate(TEXTS)]
PAIRS = [{"premise": text, "hypothesis": "So.", "label": i % 3} for i, text in enumerate(TEXTS)]
PASSAGES = [{"question": text, "passage": "p", "label": i % 2} for i, text in enumerate(TEXTS)]
WORDS = ("entailment", "contradiction", "neutral")
GOALS = [{"goal": text, "sol1": "So.", "sol2": text, "label": i % 2} for i, text in enumerate(TEXTS)]
GAPS = [
    {"sentence": f"{text}_ left.", "option1": text, "option2": "Ida", "answer": str(1 + i % 2)}
    for i, text in enumerate(TEXTS)
]


@pytest.mark.parametrize(
    ("task", "expected", "as_written"),
    [
        ("sst2", SENTENCES, [SENTENCES, [{"text": row["sentence"], "target": row["label"]} for row in SENTENCES]]),
        ("sst2", SENTENCES, [[{"label": ("negative", "Positive")[r["label"]], **r} for r in SENTENCES]]),
        (
            "boolq",
            PASSAGES,
            [PASSAGES, [{"query": r["question"], "context": "p", "answer": r["label"]} for r in PASSAGES]],
        ),
        (
            "cb",
            PAIRS,
            [PAIRS, [{"sentence1": r["premise"], "sentence2": "So.", "label": WORDS[r["label"]]} for r in PAIRS]],
        ),
        (
            "piqa",
            GOALS,
            [
                GOALS,
                [
                    {"question": r["goal"], "solution1": "So.", "solution2": r["sol2"], "gold": r["label"]}
                    for r in GOALS
                ],
            ],
        ),
        ("winogrande", GAPS, [GAPS, [{**row, "answer": int(row["answer"]), "qID": "x"} for row in GAPS]]),
    ],
)
def test_rows_of_a_benchmark_with_its_columns_and_with_others(
    tmp_path: Path, task: str, expected: Rows, as_written: Sequence[Rows]
) -> None:
    counted = Library().task(task).family != "general"
    rows = [{**row, "idx": number} if counted else row for number, row in enumerate(expected)]
    files = [file for written in as_written for file in roads(written)]
    by_every_road(Library().task(task), [*roads(rows), *files], tmp_path, rows)


def test_questions_of_mmlu_with_and_without_a_header(tmp_path: Path) -> None:
    task = Library().task("mmlu_astronomy")
    rows = [
        {"question": text, "subject": "astronomy", "choices": ["2.50", "b, c", '"d"', "True"], "answer": i % 4}
        for i, text in enumerate(TEXTS)
    ]
    four = [
        {
            "question": row["question"],
            **{f"choice{n}": choice for n, choice in enumerate(row["choices"])},
            "answer": row["answer"],
        }
        for row in rows
    ]
    letters = [
        dict(zip(("Question", *"ABCD", "Answer"), (*list(row.values())[:-1], "ABCD"[row["answer"]]), strict=True))
        for row in four
    ]
    files = [*roads(rows, tables=False), *roads(four), *roads(letters)]
    files += [("csv", table(letters).partition("\n")[2].encode()), ("csv", table(four).partition("\n")[2].encode())]
    by_every_road(task, files, tmp_path, rows)


def test_dialogues_and_their_summaries(tmp_path: Path) -> None:
    task = Library().task("samsum")
    rows = [{"id": f"x{i}", "dialogue": text, "summary": f"s {i}"} for i, text in enumerate(TEXTS)]
    other = [{"id": row["id"], "Dialog": row["dialogue"], "target": row["summary"]} for row in rows]
    by_every_road(task, [*roads(rows), *roads(other)], tmp_path, rows)
