"""Benchmarks as people have them on disk: found, read, or refused with what is there and the one option that helps.

The questions of MMLU are rows of its test set of astronomy (MIT, Hendrycks et al. 2021).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from evalharness.cli.data import data_command
from evalharness.cli.tasks import tasks_command
from evalharness.data.sources import DataSource, read_rows
from evalharness.errors import DataError, EvalHarnessError, UsageError
from evalharness.records.job_options import make_job
from evalharness.run.rows_check import check_rows
from evalharness.tasks.library import Library

Lay = Callable[..., Path]

ASTRONOMY = [
    (
        'What is true for a type-Ia ("type one-a") supernova?',
        "This type occurs in binary systems.",
        "This type occurs in young galaxies.",
        "This type produces gamma-ray bursts.",
        "This type produces high amounts of X-rays.",
        "0",
    ),
    (
        "If you know both the actual brightness of an object and its apparent brightness from your location then with "
        "no other information you can estimate:",
        "Its speed relative to you",
        "Its composition",
        "Its size",
        "Its distance from you",
        "3",
    ),
]
HEADER = ("question", "choice0", "choice1", "choice2", "choice3", "answer")


def text(*rows: tuple[str, ...]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()


def with_header(answers: str = "0123") -> str:
    return text(HEADER, *((*row[:-1], answers[int(row[-1])]) for row in ASTRONOMY))


def show(*arguments: str | Path) -> Result:
    return CliRunner().invoke(tasks_command, ["show", *map(str, arguments)], standalone_mode=False)


@pytest.mark.parametrize("above", ["", "data/mmlu/", "my/data/mmlu/", "benchmarks/mmlu/data/"])
def test_mmlu_with_a_header_and_numbers_is_mmlu_as_published(lay: Lay, above: str) -> None:
    task = Library().task("mmlu_astronomy")
    root = lay({f"{above}test/astronomy_test.csv": with_header()})
    headed = read_rows(task, "test", DataSource(root))
    assert [row["answer"] for row in headed.rows] == [0, 3] and headed.rows[0]["question"] == ASTRONOMY[0][0]
    lay({f"{above}test/astronomy_test.csv": with_header("ABCD").partition("\n")[2]})
    assert read_rows(task, "test", DataSource(root)).digest == headed.digest


def test_two_folders_of_one_depth_that_have_the_rows_are_named(lay: Lay) -> None:
    root = lay({f"{name}/mmlu/test/astronomy_test.csv": with_header() for name in ("old", "new")})
    task = Library().task("mmlu_astronomy")
    with pytest.raises(DataError, match=r"new and .*old; name one of them with --data mmlu_astronomy=DIR"):
        read_rows(task, "test", DataSource(root))
    assert read_rows(task, "test", DataSource(root, {"mmlu_astronomy": root / "new"})).rows


MSR = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\tIt rained.\tRain fell.\n0\t3\t4\tIt rained.\tIt snowed.\n"
COLA = "gj04\t1\t\tThe cat slept.\ngj04\t0\t*\tCat the slept.\n"


@pytest.mark.parametrize(
    ("task", "place", "content", "labels"),
    [
        ("sst2", "SST-2/dev.tsv", "A great film.\t1\nA flat film.\t0\n", [1, 0]),
        ("sst2", "sst2/val.csv", "0,A great film.\n1,A flat film.\n", [0, 1]),
        ("rte", "RTE/valid.tsv", "0\tIt rained.\tIt was wet.\tentailment\n1\ta\tb\tnot_entailment\n", [0, 1]),
        ("cola", "CoLA/in_domain_dev.tsv", COLA, [1, 0]),
        ("cola", "cola_public/raw/CoLA/in_domain_dev.tsv", COLA, [1, 0]),
        ("sst2", "glue/sst2/dev.jsonl", [{"text": "A great film.", "label": "positive"}], [1]),
    ],
)
def test_glue_as_it_lies_around(lay: Lay, task: str, place: str, content: Any, labels: list[int]) -> None:
    rows = read_rows(Library().task(task), "validation", DataSource(lay({place: content}))).rows
    assert [row["label"] for row in rows] == labels


def test_both_domains_of_cola_are_glues_validation_split(lay: Lay) -> None:
    root = lay({"CoLA/out_of_domain_dev.tsv": COLA.replace("cat", "dog"), "CoLA/in_domain_dev.tsv": COLA})
    rows = read_rows(Library().task("cola"), "validation", DataSource(root)).rows
    assert [row["sentence"] for row in rows][::2] == ["The cat slept.", "The dog slept."]
    assert [row["idx"] for row in rows] == [0, 1, 2, 3]


def test_advice_for_a_split_that_is_not_there_works_when_it_is_followed(lay: Lay) -> None:
    root, task = lay({"MRPC/msr_paraphrase_test.txt": MSR}), Library().task("mrpc")
    with pytest.raises(DataError, match=r"there: msr_paraphrase_test\.txt; --data mrpc=FILE names the rows"):
        read_rows(task, "validation", DataSource(root))
    file = DataSource(overrides={"mrpc": root / "MRPC/msr_paraphrase_test.txt"})
    assert len(read_rows(task, "validation", file).rows) == 2
    assert len(read_rows(task, "test", DataSource(root)).rows) == 2


def test_advice_for_columns_that_are_not_known_works_when_it_is_followed(lay: Lay) -> None:
    root = lay(
        {"odd.csv": "words;verdict\nGreat film.;1\nBad film.;0\n", "none.csv": "1,Great film.,x\n0,Bad film.,x\n"}
    )
    odd, none = f"sst2={root / 'odd.csv'}", f"sst2={root / 'none.csv'}"
    refused = show("sst2", "--data", odd)
    assert isinstance(refused.exception, DataError) and "columns there: words, verdict" in str(refused.exception)
    assert "--columns sentence=NAME" in str(refused.exception) and refused.exception.exit_code == 2
    for arguments in ((odd, "sentence=words,label=verdict"), (none, "sentence=2,sst2:label=1")):
        shown = show("sst2", "--num-fewshot", "1", "--data", arguments[0], "--columns", arguments[1])
        assert shown.exception is None and "film." in shown.output
    for stated, said in (("foo=words", "'foo' is no column"), ("rte:label=verdict", "no column of the task 'rte'")):
        assert said in str(show("sst2", "--data", odd, "--columns", stated).exception)
    missing = show("sst2", "--data", odd, "--columns", "sentence=nope,label=verdict").exception
    assert "sentence=nope names no column of it; columns there: words, verdict" in str(missing)


def test_own_tasks_name_the_columns_that_are_there(lay: Lay, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        'task: own\ndataset_path: who/what\ntest_split: test\ndoc_to_text: "{{q}}"\ndoc_to_target: a\n'
    )
    file = lay({"own.csv": "x,y\n1,2\n"}) / "own.csv"
    refused = str(show(tmp_path / "own.yaml", "--num-fewshot", "0", "--data", f"own={file}").exception)
    assert "column 'q'" in refused and "columns there: x, y" in refused and "--columns q=NAME" in refused
    shown = show(tmp_path / "own.yaml", "--num-fewshot", "0", "--data", f"own={file}", "--columns", "q=x,a=y")
    assert shown.exception is None, shown.exception


@pytest.mark.parametrize("option", ["--data-dir", "--data"])
def test_rows_that_are_named_and_fail_are_never_replaced(lay: Lay, option: str) -> None:
    root = lay({"other/x.txt": "x", "bad.csv": 'sentence,label\n"open,1\n'})
    given = ["--data-dir", str(root)] if option == "--data-dir" else ["--data", f"sst2={root / 'bad.csv'}"]
    shown = show("sst2", *given)
    assert isinstance(shown.exception, EvalHarnessError) and shown.exception.exit_code == 2 and not shown.output


def test_rows_are_checked_before_a_checkpoint_is_read(lay: Lay, tmp_path: Path) -> None:
    root = lay({"SST-2/dev.tsv": "words\tverdict\nfine\t1\n"})
    job = make_job(["/nowhere"], tasks="sst2", data_dir=root)
    with pytest.raises(DataError, match="columns there: words, verdict"):
        check_rows(job, Library())
    stated = {"sentence": "words", "label": "verdict"}
    check_rows(make_job(["/nowhere"], tasks="sst2", data_dir=root, columns=stated, num_fewshot=0), Library())
    with pytest.raises(UsageError, match="columns"):
        make_job(["/nowhere"], tasks="sst2", columns="sentence=words")  # type: ignore[arg-type]


def hard(target: str, options: str) -> dict[str, Any]:
    return {"input": f"Which is heavier?\nOptions:\n{options}", "target": target}


def test_big_bench_hard_is_fetched_and_read_alike_and_a_fetch_goes_on(lay: Lay, tmp_path: Path) -> None:
    examples = [hard("(B)", "(A) a pen\n(B) a car"), hard("(A)", "(A) a house\n(B) a leaf")]
    root = lay(
        {
            "hard.json": {"canary": "do not train", "examples": examples},
            "free.json": {"examples": [{"input": "2+2", "target": "4"}]},
        }
    )
    task = next(task for task in Library().select(["*logical_deduction*"]) if task.dataset_path == "hails/bigbench")
    named = ["--data", f"{task.name}={root / 'hard.json'}"]
    outcome = CliRunner().invoke(
        data_command,
        [
            "fetch",
            "--task",
            task.name,
            "--task",
            "sst2",
            *named,
            "--data",
            f"sst2={root / 'free.json'}",
            "--to",
            str(tmp_path / "to"),
        ],
        standalone_mode=False,
    )
    assert outcome.return_value == 2 and "not fetched: " in outcome.output and "the label is '4'" in outcome.output
    fetched = show(task.name, "--num-fewshot", "0", "--data-dir", tmp_path / "to")
    direct = show(task.name, "--num-fewshot", "0", *named)
    assert fetched.exception is direct.exception is None
    assert "right: ' (A)'" in direct.output and "right: ' (A)'" in fetched.output
    assert "choice:" not in direct.output
    refused = show(task.name, "--data", f"{task.name}={root / 'free.json'}").exception
    alone = ["fetch", "--task", task.name, "--data", f"{task.name}={root / 'free.json'}", "--to", str(tmp_path / "to2")]
    same = CliRunner().invoke(data_command, alone, standalone_mode=False)
    assert isinstance(refused, DataError) and same.return_value == 2 and "not fetched: " in same.output


def test_tasks_show_lists_other_names_of_columns() -> None:
    facts = json.loads(show("sst2", "--json").output)
    assert "text" in facts["columns"]["sentence"] and "gold_label" in facts["columns"]["label"]
