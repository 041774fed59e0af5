"""GLUE's TSV files. Columns, label orders and odd places are those of the published archives; the sentences are
ours.
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

MNLI = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
    "sentence2_parse\tsentence1\tsentence2"
)
FILES = {  # config: (place, text, first row, all labels)
    "cola": (
        "CoLA/dev.tsv",
        'gj04\t1\t\tThe cat "slept.\ngj04\t0\t*\tCat the slept.\n',
        {"sentence": 'The cat "slept.'},
        [1, 0],
    ),
    "sst2": (
        "SST-2/dev.tsv",
        'sentence\tlabel\n" a lone quote \t1\nflat . \t0\n',
        {"sentence": '" a lone quote '},
        [1, 0],
    ),
    "mrpc": (
        "MRPC/dev.tsv",
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t11\t12\tIt rained.\tRain fell.\r\n"
        "0\t13\t14\tIt rained.\tIt snowed.\r\n",
        {"sentence1": "It rained.", "sentence2": "Rain fell."},
        [1, 0],
    ),
    "qqp": (
        "QQP/dev.tsv",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tWhat is tea?\tTea is what?\t1\n"
        "2\t4\t5\tA?\tB?\t0\n",
        {"question1": "What is tea?", "question2": "Tea is what?"},
        [1, 0],
    ),
    "stsb": (
        "STS-B/dev.tsv",
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
        "0\tg\tf\t2012\t1\tx\tx\tA boat.\tA ship.\t3.800\n"
        "1\tg\tf\t2012\t2\tx\tx\tA boat.\tA plum.\t0\n",
        {"sentence1": "A boat.", "sentence2": "A ship."},
        [3.8, 0.0],
    ),
    "mnli": (
        "MNLI/dev_matched.tsv",
        f"{MNLI}\tlabel1\tlabel2\tgold_label\n"
        "0\t1\t2\tg\t(\t(\t(\t(\tIt rains.\tIt is wet.\tneutral\tneutral\tentailment\n"
        "1\t1\t2\tg\t(\t(\t(\t(\tIt rains.\tIt is dry.\tneutral\tneutral\tcontradiction\n"
        "2\t1\t2\tg\t(\t(\t(\t(\tA\tB\tx\tx\tneutral\n",
        {"premise": "It rains.", "hypothesis": "It is wet."},
        [0, 2, 1],
    ),
    "qnli": (
        "QNLI/dev.tsv",
        "index\tquestion\tsentence\tlabel\n0\tWho?\tHe did.\tentailment\n1\tWho?\tIt rained.\tnot_entailment\n",
        {"question": "Who?", "sentence": "He did."},
        [0, 1],
    ),
    "rte": (
        "RTE/dev.tsv",
        "index\tsentence1\tsentence2\tlabel\n0\tIt rained.\tIt was wet.\tentailment\n"
        "1\tIt rained.\tIt was dry.\tnot_entailment\n",
        {"sentence1": "It rained.", "sentence2": "It was wet."},
        [0, 1],
    ),
    "wnli": (
        "WNLI/dev.tsv",
        "index\tsentence1\tsentence2\tlabel\n0\tIt fell.\tThe cup fell.\t1\n1\tIt fell.\tThe sky fell.\t0\n",
        {"sentence1": "It fell.", "sentence2": "The cup fell."},
        [1, 0],
    ),
}


def rows_of(task: Task, root: Path, split: str = "validation") -> list[dict[str, Any]]:
    return [dict(row) for row in read_rows(task, split, DataSource(root)).rows]


@pytest.mark.parametrize("config", FILES)
@pytest.mark.parametrize("folder", ["glue", "glue_data", "GLUE", "."])
def test_every_task_has_the_hubs_columns_and_label_numbers(of: Of, lay: Lay, config: str, folder: str) -> None:
    place, text, first, labels = FILES[config]
    rows = rows_of(
        of("nyu-mll/glue", config),
        lay({f"{folder}/{place}": text}),
        "validation_matched" if config == "mnli" else "validation",
    )
    assert rows[0] == first | {"label": labels[0], "idx": 0}
    assert [row["label"] for row in rows] == labels


def test_the_configs_of_one_half_of_mnli_have_plain_split_names(of: Of, lay: Lay) -> None:
    text = FILES["mnli"][1]
    root = lay(
        {"glue/MNLI/dev_mismatched.tsv": text, "glue/MNLI/dev_matched.tsv": text.replace("It rains", "It snows")}
    )
    assert rows_of(of("glue", "mnli_mismatched"), root)[0]["premise"] == "It rains."
    assert rows_of(of("glue", "mnli_matched"), root)[0]["premise"] == "It snows."
    assert rows_of(of("glue", "mnli"), root, "validation_mismatched")[0]["premise"] == "It rains."


@pytest.mark.parametrize(
    ("config", "place", "text", "label"),
    [
        ("cola", "CoLA/test.tsv", "index\tsentence\n0\tThe cat slept.\n", -1),
        ("sst2", "SST-2/test.tsv", "index\tsentence\n0\tflat\n", -1),
        ("mrpc", "MRPC/test.tsv", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\ta\tb\n", -1),
        ("stsb", "STS-B/test.tsv", "index\tgenre\tsentence1\tsentence2\n0\tg\ta\tb\n", -1.0),
        ("ax", "diagnostic/diagnostic.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n", -1),
        (
            "ax",
            "diagnostic/diagnostic-full.tsv",
            "Logic\tDomain\tPremise\tHypothesis\tLabel\n\tx\ta\tb\tcontradiction\n",
            2,
        ),
        ("ax", "AX/AX.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n", -1),
    ],
)
def test_test_files_without_labels_give_minus_one(
    of: Of, lay: Lay, config: str, place: str, text: str, label: float
) -> None:
    rows = rows_of(of("nyu-mll/glue", config), lay({f"glue/{place}": text}), "test")
    assert [row["label"] for row in rows] == [label]


def test_mrpc_as_microsoft_publishes_it_is_parted_by_glues_list_of_dev_pairs(of: Of, lay: Lay) -> None:
    lines = [f"{i % 2}\t{i}\t{i + 100}\tleft {i}\tright {i}" for i in range(5)]
    text = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n" + "\r\n".join(lines) + "\r\n"
    files = {
        "glue/MRPC/msr_paraphrase_train.txt": text,
        "glue/MRPC/msr_paraphrase_test.txt": text,
        "glue/MRPC/test.tsv": "index\t#1 String\n0\tx\n",
    }
    task = of("nyu-mll/glue", "mrpc")
    root = lay(files)
    assert len(rows_of(task, root, "train")) == 5
    with pytest.raises(DataError, match=r"no split 'validation'.*there: msr_paraphrase_test\.txt"):
        rows_of(task, root, "validation")
    lay({"glue/MRPC/dev_ids.tsv": "1\t101\n3\t103\n"})
    assert [row["idx"] for row in rows_of(task, root, "validation")] == [
        1,
        3,
    ]  # the hub's idx counts the lines of the whole file, too
    assert [row["idx"] for row in rows_of(task, root, "train")] == [0, 2, 4]
    assert [row["label"] for row in rows_of(task, root, "test")] == [
        0,
        1,
        0,
        1,
        0,
    ]  # the hub, too, has the labels of the text form


def test_a_question_with_a_line_break_in_quotes_is_made_whole(of: Of, lay: Lay) -> None:
    """The published QQP train.tsv has a few such lines (nyu-mll/GLUE-baselines issue 5 shows one)."""
    text = (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tplain?\tplain?\t0\n"
        '2\t4\t5\t"Is it\n"\tIs it real?\t0\n3\t6\t7\ta\tb\t1\n'
    )
    rows = rows_of(of("nyu-mll/glue", "qqp"), lay({"glue/QQP/train.tsv": text}), "train")
    assert [row["question1"] for row in rows] == ["plain?", "Is it\n", "a"]


@pytest.mark.parametrize(
    ("config", "text", "message"),
    [
        (
            "rte",
            "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n1\ta\tentailment\n",
            r"dev\.tsv:3: has 3 fields; the header names 4",
        ),
        (
            "rte",
            "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tmaybe\n",
            r"dev\.tsv:2: the label is 'maybe'; one of entailment, not_entailment",
        ),
        ("rte", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t2\n", r"dev\.tsv:2: the label is '2'"),
        ("rte", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t-\n", r"dev\.tsv:2: has no label \('-'\)"),
        ("sst2", "sentence\tlabel\na\t1\nb\t\n", r"dev\.tsv:3: has no label"),
        ("sst2", "sentence\tlabel\na\t1\nb\n", r"dev\.tsv:3: has 1 field; "),
        (
            "sst2",
            "words\tlabel\na\t1\n",
            r"dev\.tsv: has no column sentence .*there: words, label; --columns sentence=",
        ),
        (
            "cola",
            "gj04\t1\tThe cat slept.\n",
            r"dev\.tsv: has no column sentence .*columns there: gj04, 1, The cat slept\.; --columns sentence=",
        ),
        ("cola", "gj04\tyes\t\tThe cat slept.\n", r"dev\.tsv:1: the label is 'yes'"),
        ("stsb", "sentence1\tsentence2\tscore\na\tb\t5.1\n", r"dev\.tsv:2: the score is '5\.1'; a number from 0 to 5"),
        ("stsb", "sentence1\tsentence2\tscore\na\tb\tnan\n", r"dev\.tsv:2: the score is 'nan'"),
        ("sst2", "", "has no rows"),
        ("sst2", "sentence\tlabel\n", "has no rows"),
        ("sst2", b"sentence\tlabel\na\t1\n\xe9\t0\n", r"dev\.tsv:3: holds bytes that are not UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(of: Of, lay: Lay, config: str, text: str | bytes, message: str) -> None:
    folder = FILES[config][0].split("/")[0]
    with pytest.raises(DataError, match=message):
        rows_of(of("nyu-mll/glue", config), lay({f"glue/{folder}/dev.tsv": text}))


def test_a_folder_where_a_file_should_be(of: Of, lay: Lay) -> None:
    root = lay({"glue/RTE/dev.tsv/inside.txt": "x"})
    with pytest.raises(DataError, match=r"dev\.tsv: is no regular file"):
        rows_of(of("nyu-mll/glue", "rte"), root)


def test_two_files_for_one_split_are_refused(of: Of, lay: Lay) -> None:
    text = FILES["rte"][1]
    with pytest.raises(DataError, match=r"dev\.tsv and val\.tsv; keep one"):
        rows_of(of("nyu-mll/glue", "rte"), lay({"glue/RTE/dev.tsv": text, "glue/RTE/val.tsv": text}))
