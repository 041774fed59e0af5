"""Which column of a file is which of a task: never two for one, one for two, or one that is dropped in silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evalharness.data.sources import DataSource, read_rows
from evalharness.data.streams import text_rows
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


def test_a_key_that_stands_twice_is_named_with_its_line(lay: Lay) -> None:
    row = '{"sentence": "a {\\"", "label": 0, "idx": 0}'
    twice = '{"sentence": "b",\n "label": 0, "\\u006cabel": 1, "idx": 1}'
    root = lay({"s.jsonl": f"{row}\n{twice.replace(chr(10), '')}\n", "s.json": f"[{row},\n{twice}]\n", "l.json": row})
    assert "s.jsonl:2: the key 'label' appears more than once" in refused("sst2", root / "s.jsonl")
    assert "s.json:3: the key 'label' appears more than once" in refused("sst2", root / "s.json")
    assert len(rows_of("sst2", lay({"ok.jsonl": row}) / "ok.jsonl")) == 1
    with pytest.raises(EvalHarnessError, match=r"s\.jsonl:2: the key 'label'"):
        list(text_rows(root / "s.jsonl"))


SST2 = [{"sentence": "fine", "label": 1, "idx": 0}]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("validation.jsonl", "dev.jsonl"), "holds dev.jsonl and validation.jsonl; keep one file for each split"),
        (("validation.jsonl", "validation-00000-of-00001.jsonl"), "holds validation.jsonl and validation-00000-of"),
        (("validation-00000-of-00001.jsonl", "dev-00000-of-00001.jsonl"), "holds dev-0.* and validation-0"),
        (("validation-00000-of-00002.jsonl",), "piece 2 of 2 is missing"),
        (("validation-00001-of-00003.jsonl",), "piece 1, 3 of 3 is missing"),
    ],
)
def test_files_that_could_each_be_a_split_or_are_a_part_of_it_are_refused(
    lay: Lay, files: tuple[str, ...], message: str
) -> None:
    folder = lay({f"sst2/{name}": SST2 for name in files}) / "sst2"
    for place in (folder, folder.parent):
        source = DataSource(overrides={"sst2": folder}) if place == folder else DataSource(place)
        with pytest.raises(EvalHarnessError, match=message):
            read_rows(Library().task("sst2"), "validation", source)


def test_all_pieces_are_read_in_their_order(lay: Lay) -> None:
    pieces = {f"sst2/validation-0000{n}-of-00002.jsonl": [{**SST2[0], "idx": n}] for n in (1, 0)}
    assert [row["idx"] for row in rows_of("sst2", lay(pieces) / "sst2")] == [0, 1]


@pytest.mark.parametrize(
    ("task", "header", "row", "numbers", "names"),
    [
        ("samsum", "dialogue,summary", "A: I am here.,A is here.", (1, 2), "dialogue=dialogue,summary=summary"),
        ("samsum", "talk,gist", "A: I am here.,A is here.", (1, 2), "dialogue=talk,summary=gist"),
        ("sst2", "text;verdict", "A great film.;1", (1, 2), "sentence=text,label=verdict"),
        ("mmlu_astronomy", "a,w,x,y,z,key", "Which of them is it?,1,2,3,4,B", (1, 6), "question=a,answer=key"),
    ],
)
def test_a_line_of_names_is_no_row_when_columns_are_numbers(
    lay: Lay, task: str, header: str, row: str, numbers: tuple[int, int], names: str
) -> None:
    path = lay({"f.csv": f"{header}\n{row}\n"}) / "f.csv"
    stated = dict(pair.split("=") for pair in names.split(","))
    by_number = {name: str(number) for name, number in zip(stated, numbers, strict=True)}
    assert f"--columns {names} would be right" in refused(task, path, by_number)
    if task != "mmlu_astronomy":
        assert len(rows_of(task, path, stated)) == 1
        by_number_only = lay({"g.csv": f"{row}\n{row}\n"}) / "g.csv"
        assert len(rows_of(task, by_number_only, by_number)) == 2


def test_numbers_are_offered_only_where_no_names_stand(lay: Lay) -> None:
    root = lay({"named.csv": "words,verdict\nA film.,1\n", "none.csv": "A great film.,x\nA flat film.,x\n"})
    assert "or its number" not in refused("sst2", root / "named.csv")
    assert "or its number" in refused("sst2", root / "none.csv")


def test_labels_of_other_types_are_the_same_rows(lay: Lay) -> None:
    def digest(task: str, name: str, label: Any) -> str:
        texts = {"sst2": ("sentence",), "stsb": ("sentence1", "sentence2")}[task]
        path = lay({name: [dict.fromkeys(texts, "fine") | {"label": label, "idx": 0}]}) / name
        return read_rows(Library().task(task), "validation", DataSource(overrides={task: path})).digest

    assert len({digest("sst2", "s.jsonl", label) for label in (1, 1.0, "1", True, "true", "positive")}) == 1
    assert len({digest("stsb", "b.jsonl", label) for label in (5, 5.0, "5")}) == 1
    unclear = lay({"r.jsonl": [{"sentence1": "a", "sentence2": "b", "label": True, "idx": 0}]}) / "r.jsonl"
    assert "the label is 'True'; one of entailment, not_entailment" in refused("rte", unclear)


@pytest.mark.parametrize("content", [{"sentence": {"0": "a"}, "label": {"0": 1}}, {"sentence": ["a"], "label": [1]}])
def test_json_by_columns_is_refused_with_the_way_to_write_rows(lay: Lay, content: dict[str, Any]) -> None:
    assert 'orient="records"' in refused("sst2", lay({"s.json": content}) / "s.json")


@pytest.mark.parametrize(
    ("header", "answers", "is_refused"),
    [
        ("question,choice1,choice2,choice3,choice4,answer", "1 2 3", True),
        ("question,choice1,choice2,choice3,choice4,answer", "0 2 3", False),
        ("question,choice1,choice2,choice3,choice4,answer", "A B C", False),
        ("question,A,B,C,D,answer", "1 2 3", False),
        ("question,A,B,C,D,answer", "1 2 3 " * 7, True),
        ("question,A,B,C,D,answer", "1 2 0 " * 7, False),
    ],
)
def test_answers_that_may_be_counted_from_1_are_never_taken_for_counted_from_0(
    lay: Lay, header: str, answers: str, is_refused: bool
) -> None:
    rows = "\n".join(f"q{place},w,x,y,z,{answer}" for place, answer in enumerate(answers.split()))
    file = lay({"a.csv": f"{header}\n{rows}\n"}) / "a.csv"
    if is_refused:
        assert "may be counted from 1; letters (A to D) would be right" in refused("mmlu_astronomy", file)
    else:
        assert len(rows_of("mmlu_astronomy", file)) == len(answers.split())
