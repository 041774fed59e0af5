"""Which column of a file is which of a task: never two for one, one for two, or one that is dropped in silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evalharness.data.sources import DataSource, read_rows
from evalharness.errors import EvalHarnessError
from evalharness.tasks.library import Library

Lay = Callable[..., Path]
STYLES = ("choice{}", "choice_{}", "option{}", "option_{}", "choices{}")


def rows_of(task: str, path: Path, columns: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    chosen = Library().task(task)
    source = DataSource(overrides={task: path}, columns=columns or {})
    return [dict(row) for row in read_rows(chosen, chosen.evaluation_split, source).rows]


def refused(task: str, path: Path, columns: Mapping[str, str] | None = None) -> str:
    with pytest.raises(EvalHarnessError) as error:
        rows_of(task, path, columns)
    assert error.value.exit_code == 2
    return str(error.value)


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("style", STYLES)
def test_choices_are_counted_from_where_the_file_counts_them(lay: Lay, style: str, start: int) -> None:
    names = ",".join(style.format(number) for number in range(start, start + 4))
    root = lay({"a.csv": f"question,{names},answer\nq,w,x,y,z,B\n", "b.csv": f"answer,{names},question\nB,w,x,y,z,q\n"})
    for file in ("a.csv", "b.csv"):
        row = rows_of("mmlu_astronomy", root / file)[0]
        assert (row["question"], row["choices"], row["answer"]) == ("q", ["w", "x", "y", "z"], 1)


def test_letters_in_the_names_of_choices_are_known(lay: Lay) -> None:
    root = lay({"m.csv": "question,option_a,option_b,option_c,option_d,correct\nq,w,x,y,z,C\n"})
    assert rows_of("mmlu_astronomy", root / "m.csv")[0]["choices"] == ["w", "x", "y", "z"]


@pytest.mark.parametrize(
    ("names", "fifth"),
    [
        ("A,B,C,D,E", "E"),
        ("choice0,choice1,choice2,choice3,choice4", "choice4"),
        ("option1,option2,option3,option4,option5", "option5"),
    ],
)
def test_a_fifth_choice_is_never_dropped(lay: Lay, names: str, fifth: str) -> None:
    rows = [dict(zip(["question", *names.split(","), "answer"], ["q", *"vwxyz", "A"], strict=True))]
    root = lay({"m.csv": f"question,{names},answer\nq,v,w,x,y,z,A\n", "m.jsonl": rows})
    for file in ("m.csv", "m.jsonl"):
        assert f"{fifth!r} would be dropped" in refused("mmlu_astronomy", root / file)


def test_a_line_of_unknown_names_is_no_question(lay: Lay) -> None:
    root = lay({"m.csv": "asks,first,second,third,fourth,solution\nq,w,x,y,z,C\n"})
    assert "columns there: asks, first, second, third, fourth, solution" in refused("mmlu_astronomy", root / "m.csv")
    names = {"question": "asks", "answer": "solution"} | dict(
        zip((f"choice{n}" for n in range(4)), ("first", "second", "third", "fourth"), strict=True)
    )
    assert rows_of("mmlu_astronomy", root / "m.csv", names)[0]["answer"] == 2


MMLU = "question,A,B,C,D"
BOOLQ = {"query": "q", "context": "c", "text": "d", "label": True}
DIALOGUE = {"fname": "1", "text": "#P1#: a", "document": "b", "target": "c"}


@pytest.mark.parametrize(
    ("task", "file", "text", "said", "columns"),
    [
        ("sst2", "s.csv", "sentence,target,class\nfine,1,0\n", "'target' and 'class'", {"label": "class"}),
        ("sst2", "s.tsv", "text\tcontent\tlabel\nfine\tgood\t1\n", "'text' and 'content'", {"sentence": "text"}),
        ("sst2", "s.jsonl", [{"text": "a", "review": "b", "label": 1}], "'text' and 'review'", {"sentence": "review"}),
        ("mmlu_astronomy", "m.csv", f"{MMLU},gold,label\nq,w,x,y,z,A,B\n", "'label' and 'gold'", {"answer": "gold"}),
        ("boolq", "b.jsonl", [BOOLQ], "'context' and 'text'", {"passage": "text"}),
        ("dialogsum", "d.jsonl", [DIALOGUE], "'text' and 'document'", {"dialogue": "text"}),
    ],
)  # fmt: skip
def test_two_columns_that_fit_are_named_and_the_advice_works(
    lay: Lay, task: str, file: str, text: Any, said: str, columns: dict[str, str]
) -> None:
    path = lay({file: text}) / file
    message = refused(task, path)
    assert said in message and f"--columns {next(iter(columns))}=NAME" in message
    assert len(rows_of(task, path, columns)) == 1


def test_a_columns_own_name_and_equal_columns_need_no_word(lay: Lay) -> None:
    root = lay(
        {"own.csv": "sentence,text,label,target\nfine,bad,1,0\n", "same.csv": "text,label,content\nfine,1,fine\n"}
    )
    for file in ("own.csv", "same.csv"):
        row = rows_of("sst2", root / file)[0]
        assert (row["sentence"], row["label"]) == ("fine", 1)


@pytest.mark.parametrize(
    ("task", "file", "text"),
    [
        ("sst2", "s.csv", "sentence,label,label\nfine,1,0\n"),
        ("sst2", "s.tsv", "sentence\tlabel\tlabel\nfine\t1\t0\n"),
        ("mmlu_astronomy", "m.csv", f"{MMLU},label,label\nq,w,x,y,z,A,B\n"),
        ("cb", "c.csv", "premise,hypothesis,label,label\na,b,0,1\n"),
        ("samsum", "d.csv", "dialogue,summary,label,label\na,b,0,1\n"),
    ],
)
def test_a_name_that_two_columns_have_is_refused(lay: Lay, task: str, file: str, text: str) -> None:
    assert ":1: the header names 'label' more than once" in refused(task, lay({file: text}) / file)


def test_one_column_is_never_stated_for_two(lay: Lay) -> None:
    path = lay({"s.csv": "a,b\nfine,1\n"}) / "s.csv"
    assert "sentence=a,label=a: one column" in refused("sst2", path, {"sentence": "a", "label": "a"})
