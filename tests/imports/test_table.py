"""Plain tables of scores: forms, columns, and what is wrong by file and row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evalharness.analysis.comparison import compare
from evalharness.errors import DataError, EvalHarnessError, NotComparableError, UsageError
from evalharness.imports import table
from evalharness.imports.measurements import ImportedLogs, import_logs
from evalharness.imports.scales import Statements
from evalharness.records.answers import AnswerCounts
from evalharness.records.compare_plan import ComparePlan
from evalharness.records.comparison import Flag
from evalharness.records.measurements import TaskFacts
from evalharness.stats.enums import MetricKind
from evalharness.tasks.library import Library

ROWS = {"task": ["a", "a", "b"], "id": ["1", "2", "1"], "score": [1.0, 0.5, 0.0]}


@pytest.mark.parametrize("form", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_one_table_in_every_form_is_the_same(tmp_path: Path, form: str) -> None:
    path, frame = tmp_path / f"scores{form}", pd.DataFrame(ROWS)
    if form == ".parquet":
        frame.to_parquet(path)
    elif form == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if form == ".tsv" else ",")
    assert table.is_log(path)
    log = table.read(path, "base")
    assert {name: [answer.value for answer in task.answers["score"]] for name, task in log.tasks.items()} == {
        "a": [1.0, 0.5],
        "b": [0.0],
    }
    imported = import_logs(log, [table.read(path, "same")], Library())
    assert [(fact.name, fact.metrics[0].kind) for fact in imported.facts] == [("a", "graded"), ("b", "binary")]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_predictions_are_right_where_they_equal_the_answer(tmp_path: Path) -> None:
    log = table.read(
        write(tmp_path / "quiz.csv", "id,prediction,answer\n1, yes,yes\n2,no,yes\n3,,\n007,NA,NA\n"), "base"
    )
    answers = log.tasks["quiz"].answers["exact_match"]
    assert [answer.value for answer in answers] == [1.0, 0.0, 1.0, 1.0]
    assert [answer.document for answer in answers] == ["1", "2", "3", "007"]


def test_other_gold_answers_or_prompts_are_never_paired(tmp_path: Path) -> None:
    base = table.read(write(tmp_path / "quiz.csv", "id,prediction,answer\n1,yes,yes\n2,no,yes\n"), "base")
    (tmp_path / "new").mkdir()
    tuned = table.read(write(tmp_path / "new" / "quiz.csv", "id,prediction,answer\n1,yes,yes\n2,no,no\n"), "tuned")
    with pytest.raises(NotComparableError, match="1 of 2 shared documents"):
        import_logs(base, [tuned], Library())


def test_units_keep_rows_together(tmp_path: Path) -> None:
    imported = import_logs(
        table.read(write(tmp_path / "t.csv", "id,score,unit\n1,1,p\n2,0,p\n3,1,q\n"), "base"), [], Library()
    )
    assert imported.measurements[0].units == ("p", "q")
    assert imported.measurements[0].rows.tolist() == [[1.0, 2.0], [1.0, 1.0]]


def tables(folder: Path, times: int, texts: Callable[[int], str]) -> ImportedLogs:
    """60 questions, each `times` under ids of its own; the candidate fails three that the base answers."""
    logs = []
    for name, wrong in (("base", 3), ("tuned", 6)):
        (folder / name).mkdir(parents=True)
        rows = [f"{i}.{j},{texts(i)},{int(i >= wrong)}" for i in range(60) for j in range(times)]
        logs.append(table.read(write(folder / name / "t.csv", "\n".join(["id,prompt,score", *rows])), name))
    return import_logs(logs[0], [logs[1]], Library())


def test_repeated_prompts_under_new_ids_are_no_new_evidence(tmp_path: Path) -> None:
    plan = ComparePlan(base="base", candidates=("tuned",))
    once, often = (tables(tmp_path / str(times), times, lambda i: f"What is {i}?") for times in (1, 10))
    assert (often.facts[0].repeated, often.facts[0].available) == (540, 60)
    of_once, of_often = (compare(each.facts, each.measurements, plan)[0] for each in (once, often))
    assert (of_often.n, of_often.lost) == (of_once.n, of_once.lost) == (60, 3)
    assert of_often.difference.value == of_once.difference.value  # scores are over rows
    assert Flag.REPEATED_PROMPTS in of_often.flags and Flag.REPEATED_PROMPTS not in of_once.flags
    for many, one in ((of_often.p_forgotten, of_once.p_forgotten), (of_often.p_retained, of_once.p_retained)):
        assert many is not None and one is not None and many >= 0.9 * one
    assert often.facts[0].metrics[0].kind == MetricKind.BINARY


def test_a_prompt_column_that_names_a_template_joins_nothing(tmp_path: Path) -> None:
    imported = tables(tmp_path, 1, lambda i: f"v{i % 2}")
    assert (imported.facts[0].repeated, len(imported.measurements[0].units)) == (0, 60)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,value\n1,2\n", "has the columns id, value; columns `id` and `score`"),
        ("id,score\n1,high\n", r"t\.csv:2: the score 'high' is no number"),
        ("id,score\n1,1\n2,nan\n", r"t\.csv:3: the score 'nan' is no number"),
        ("id,score\n1,inf\n", "is no number"),
        ("id,score\n1,1\n1,0\n", "has the id '1' several times"),
        ("id,score,metric\n1,1,a\n2,1,b\n", r"several metrics \(a, b\)"),
        ("id,score\n1,1\n\n1,0\n", r"t\.csv:4: t has the id '1' several times"),
        ("id,score,score\n1,1,1\n", r"t\.csv:1: the header names 'score' more than once"),
        ("id,score\n1,1,1\n", r"t\.csv:2: has 3 fields"),
        ('id,score\n1,"1\n', r"t\.csv:2: cannot be read"),
    ],
)
def test_what_is_no_table_of_scores_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table.read(write(tmp_path / "t.csv", text), "base")


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe\x00", b"[1, 2]", b'{"id": 1}\n', b'{"id": {"a": 1}, "score": [2]}\n']
)
def test_damaged_files_never_give_a_traceback(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    try:
        log = table.read(tmp_path / name, "base")
        assert not log.tasks
    except EvalHarnessError:
        pass


def test_what_spreadsheets_and_pandas_add_is_passed_over(tmp_path: Path) -> None:
    """A byte order mark, an index without a name, quotes in a TSV, spaces after commas."""
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfid, score\n1, 0.5\n")
    assert table.read(tmp_path / "t.csv", "base").tasks["t"].answers["score"][0].value == 0.5
    frame = pd.DataFrame({"id": [1, 2], "prediction": ["a\tb", 'say "no"'], "answer": ["a\tb", "yes"]})
    frame.to_csv(tmp_path / "t.tsv", sep="\t")
    assert [answer.value for answer in table.read(tmp_path / "t.tsv", "base").tasks["t"].answers["exact_match"]] == [
        1.0,
        0.0,
    ]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_bytes_that_are_no_text_are_named_by_file_and_line(tmp_path: Path, form: str) -> None:
    rows = {"csv": b"id,score\n1,1\n\xff,1\n", "jsonl": b'{"id": 1, "score": 1}\n\n{"id": "\xff", "score": 1}\n'}
    (tmp_path / f"t.{form}").write_bytes(rows[form])
    with pytest.raises(DataError, match=rf"t\.{form}:3: holds bytes that are not UTF-8"):
        table.read(tmp_path / f"t.{form}", "base")


@pytest.mark.parametrize("text", ["", "id,score\n"])
def test_a_table_without_rows_is_told(tmp_path: Path, text: str) -> None:
    log = table.read(write(tmp_path / "t.csv", text), "base")
    assert not log.tasks
    assert "no rows" in log.notices[0]


def test_types_are_those_of_the_file_and_every_row_needs_its_cells(tmp_path: Path) -> None:
    rows = ['{"id": 1, "prediction": 1, "answer": 1}', '{"id": 2, "prediction": "a\u2028b", "answer": "a\u2028b"}']
    rows += ['{"id": 3, "prediction": 1.0, "answer": 1}']
    log = table.read(write(tmp_path / "t.jsonl", "\n".join(rows)), "base")
    assert [answer.value for answer in log.tasks["t"].answers["exact_match"]] == [1.0, 1.0, 1.0]
    for broken, column in (
        ('{"id": 4, "prediction": null, "answer": null}', "prediction"),
        ('{"id": 4, "answer": 1}', "prediction"),
    ):
        with pytest.raises(DataError, match=rf"t\.jsonl:4: no {column}"):
            table.read(write(tmp_path / "t.jsonl", "\n".join([*rows, broken])), "base")
    pd.DataFrame({"id": [1, 2], "prediction": [1, None], "answer": [1, 1]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet:2: no prediction"):
        table.read(tmp_path / "t.parquet", "base")
    with pytest.raises(DataError, match=r"t\.csv:3: no id"):
        table.read(write(tmp_path / "t.csv", "id,score\n1,1\n,1\n"), "base")


def test_error_rates_are_better_the_less_there_is_of_them(tmp_path: Path) -> None:
    imported = import_logs(table.read(write(tmp_path / "t.csv", "id,score,metric\n1,0.1,wer\n"), "base"), [], Library())
    assert not imported.facts[0].metrics[0].higher_is_better
    (notice,) = import_logs(table.read(write(tmp_path / "s.csv", "id,score\n1,0.1\n"), "base"), [], Library()).notices
    assert "--metric score:chance=SCORE" in notice


def facts(path: Path, text: str, statements: Statements | None = None) -> TaskFacts:
    return import_logs(table.read(write(path / "t.csv", text), "base"), [], Library(), statements or {}).facts[0]


def scale(fact: TaskFacts) -> tuple[bool, float | None, float | None, float | None]:
    metric = fact.metrics[0]
    return metric.higher_is_better, fact.chance, metric.low, metric.high


@pytest.mark.parametrize(
    ("metric", "score", "scale_of_it"),
    [
        ("perplexity", 7.4, (False, None, 0.0, None)),
        ("wer", 0.1, (False, None, 0.0, None)),
        ("loss", -0.1, (False, None, None, None)),
        ("bits_per_byte", 1.1, (False, 8.0, 0.0, None)),
        ("brier_score", 0.4, (False, None, 0.0, 2.0)),
        ("error_rate", 0.4, (False, None, 0.0, 1.0)),
        ("acc", 1.0, (True, None, 0.0, 1.0)),
        ("exact_match", 1.0, (True, 0.0, 0.0, 1.0)),
        ("rougeL", 0.3, (True, 0.0, 0.0, 1.0)),
        ("rougeL", 30.0, (True, 0.0, 0.0, 100.0)),
        ("bleu", 30.0, (True, 0.0, 0.0, 100.0)),
        ("mcc", 0.3, (True, 0.0, -1.0, 1.0)),
        ("score", 0.5, (True, None, 0.0, 1.0)),
        ("quality", 7.0, (True, None, None, None)),
    ],
)
def test_a_known_name_says_direction_chance_and_range(
    tmp_path: Path, metric: str, score: float, scale_of_it: Any
) -> None:
    assert scale(facts(tmp_path, f"id,score,metric\n1,{score},{metric}\n")) == scale_of_it


def test_columns_say_direction_chance_and_range_and_the_user_over_them(tmp_path: Path) -> None:
    header = "id,score,metric,higher_is_better,score_low,score_high,chance"
    text = f"{header}\n1,0.5,wer,No,0,2,0.25\n2,1.5,wer,No,0,2,0.75\n"
    assert scale(facts(tmp_path, text)) == (False, 0.5, 0.0, 2.0)
    stated: Statements = {"wer": {"chance": None, "high": 3.0}, "t": {"high": None}}
    assert scale(facts(tmp_path, text, stated)) == (False, None, 0.0, None)
    unknown = "id,score,score_high,chance\n1,7,none,0.2\n2,3,none,none\n"
    assert scale(facts(tmp_path, unknown, {"score": {"low": 0.0}})) == (True, None, 0.0, None)


def test_predictions_are_guessed_right_once_in_the_number_of_different_answers(tmp_path: Path) -> None:
    assert facts(tmp_path, "id,prediction,answer\n1,A,A\n2,B,C\n3,B,B\n4,A,D\n5,A,A\n").chance == 0.25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,score,higher_is_better\n1,1,up\n", "higher_is_better is 'up'; yes or no would be right"),
        ("id,score,chance\n1,1,0.5\n2,1,half\n", r"t\.csv:3: chance is 'half'; a number or none"),
        ("id,score,score_high\n1,1,1\n2,1,2\n", "t has several values of score_high"),
        ("id,score,score_low,score_high\n1,3,0,2\n", "score of t: has the score 3, and its range is 0 to 2"),
        ("id,score,score_low,score_high\n1,3,5,2\n", "its range is 5 to 2"),
        ("id,score,chance\n1,1,25\n", "its chance is 25, and its range is 0 to 1"),
    ],
)
def test_a_statement_that_cannot_be_right_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(EvalHarnessError, match=message):
        facts(tmp_path, text)


def test_a_statement_on_nothing_is_named_and_two_that_differ_are_not_compared(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no metric or task of base is named 'scores'"):
        facts(tmp_path, "id,score\n1,1\n", {"scores": {"chance": 0.5}})
    base = table.read(write(tmp_path / "t.csv", "id,score,higher_is_better\n1,1,yes\n"), "base")
    tuned = table.read(write(tmp_path / "t.csv", "id,score,higher_is_better\n1,1,no\n"), "tuned")
    with pytest.raises(NotComparableError, match="state different higher_is_better of score of t"):
        import_logs(base, [tuned], Library())


def test_predictions_are_counted(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'' if i == 0 else 'yes'},{'yes' if i % 2 else 'no'}\n" for i in range(20))
    log = table.read(write(tmp_path / "quiz.csv", f"id,prediction,answer\n{rows}"), "base")
    (facts,) = import_logs(log, [], Library()).facts
    assert facts.answers == {
        "base": AnswerCounts(answers=20, most_common="yes", most_common_count=19, most_common_right=10, empty=1)
    }
