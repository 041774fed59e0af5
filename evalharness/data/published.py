"""Find a task's data set in the layout that its authors publish, and read it into rows of the hub's schema.

Below a data folder DIR, ignoring case, dashes and underscores (a benchmark's own folder may itself be DIR):

    MMLU           mmlu/SPLIT/SUBJECT_SPLIT.csv, data/SPLIT/…
                   SPLIT: dev, val, test
    GLUE           glue/TASK/SPLIT.tsv, glue_data/TASK/…; glue/MRPC/msr_paraphrase_SPLIT.txt with dev_ids.tsv;
                   glue/diagnostic/diagnostic.tsv
                   TASK: CoLA SST-2 MRPC QQP STS-B MNLI QNLI RTE WNLI
                   SPLIT: train, dev (or val), test, dev_matched …
    SuperGLUE      superglue/TASK/SPLIT.jsonl, super_glue/TASK/…; superglue/AX-b/AX-b.jsonl
                   TASK: BoolQ CB COPA MultiRC ReCoRD RTE WiC WSC AX-b AX-g
                   SPLIT: train, val, test
    BIG-bench      bigbench/TASK/task.json, bigbench/TASK/SUBTASK/task.json, …/benchmark_tasks/TASK/…
                   SPLIT: default, train, validation
    BIG-Bench Hard bbh/TASK.json, BIG-Bench-Hard/bbh/TASK.json
                   SPLIT: test
    DialogSum      dialogsum/dialogsum.SPLIT.jsonl
                   SPLIT: train, dev, test
    SAMSum         samsum/SPLIT.json
                   SPLIT: train, val, test
    XSum, CNN/DM   xsum/SPLIT.jsonl, cnn_dailymail/SPLIT.jsonl (or .json, .csv, .parquet)
                   SPLIT: train, val (or validation), test
    E2E            e2e-dataset/trainset.csv, devset.csv, testset_w_refs.csv
    ARC            ARC-V1-Feb2018-2/ARC-Easy/ARC-Easy-SPLIT.jsonl, ARC-Challenge/…
                   SPLIT: Train, Dev, Test
    HellaSwag      hellaswag/hellaswag_SPLIT.jsonl
                   SPLIT: train, val, test
    PIQA           piqa/SPLIT.jsonl with SPLIT-labels.lst, physicaliqa-train-dev/…
                   SPLIT: train, valid (or dev), tests
    WinoGrande     winogrande_1.1/train_xl.jsonl, dev.jsonl, test.jsonl
    LAMBADA        lambada/lambada_test.jsonl; lambada-dataset/lambada_test_plain_text.txt
    GSM8K          gsm8k/SPLIT.jsonl, grade_school_math/data/SPLIT.jsonl
                   SPLIT: train, test
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalharness.data import bigbench, bigbench_hard, e2e, general, glue, mmlu, summaries, superglue
from evalharness.data.columns import Names
from evalharness.data.contents import check_regular, unreadable
from evalharness.data.files import DataRow, kind
from evalharness.data.hub_layout import check_one_place
from evalharness.data.layout import PublishedLayout, levels
from evalharness.errors import DataError
from evalharness.records.tasks import Task

LAYOUTS: dict[str, PublishedLayout] = {  # the last part of a dataset_path, in lower case -> its layout
    "mmlu": mmlu.LAYOUT,
    "mmlu_no_train": mmlu.LAYOUT,
    "glue": glue.LAYOUT,
    "super_glue": superglue.LAYOUT,
    "superglue": superglue.LAYOUT,
    "bigbench": bigbench.LAYOUT,
    "big-bench": bigbench.LAYOUT,
    "bbh": bigbench_hard.LAYOUT,
    "dialogsum": summaries.DIALOGSUM,
    "samsum": summaries.SAMSUM,
    "xsum": summaries.XSUM,
    "cnn_dailymail": summaries.CNN,
    "e2e_nlg": e2e.LAYOUT,
    "ai2_arc": general.ARC,
    "hellaswag": general.HELLASWAG,
    "piqa": general.PIQA,
    "winogrande": general.WINOGRANDE,
    "lambada_openai": general.LAMBADA,
    "lambada": general.PASSAGES,
    "gsm8k": general.GSM8K,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSplit:
    """The folder of a data set, and the files of a split in it; () if the folder does not have the split."""

    place: Path
    files: tuple[Path, ...]
    layout: PublishedLayout

    def no_split(self, task: Task, split: str) -> DataError:
        names = sorted(path.name for path in self.place.iterdir())
        listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        fix = f"there: {listed}; --data {task.origin}=FILE names the rows"
        return DataError(self.place, f"has no split {split!r} for {task.name} ({self.layout.name})", fix)


def find(task: Task, split: str, root: Path) -> PublishedSplit | None:
    """Find the nearest folder below `root` that has the split, else the nearest one of the data set, else None.

    It reads no rows.
    """
    layout = _layout(task)
    if layout is None:
        return None
    for level in levels(root):
        splits = _splits(layout, task, split, [place for each in level for place in layout.places(_config(task), each)])
        check_one_place(task, level, [each.place for each in splits if each.files])
        if splits:
            return _nearest(splits)
    return None


def find_in(task: Task, split: str, folder: Path) -> PublishedSplit | None:
    """Return what `find` returns, but `folder` itself may be that of the task's data set."""
    layout = _layout(task)
    if layout is not None and layout.files(_config(task), split, folder):
        return _nearest(_splits(layout, task, split, [folder]))
    return find(task, split, folder)


def recognises(task: Task, path: Path) -> bool:
    """Return whether this file has the form in which the authors publish the task's data set, and not the
    hub's rows.
    """
    layout = _layout(task)
    return layout is not None and layout.recognises(_config(task), path)


def read(task: Task, split: str | None, paths: Sequence[Path], renames: Mapping[str, str]) -> list[DataRow]:
    """Read the rows of a split in the hub's schema; if `split` is None, all rows of the files.

    Raises DataError naming file and line (or example) for content of another form, and for files without rows.
    """
    layout = _layout(task)
    assert layout is not None, f"{task.dataset_path} has no published layout"
    try:
        for path in paths:
            check_regular(path)
        rows = layout.read(_config(task), split, paths, renames)
    except OSError as error:
        raise unreadable(Path(error.filename or paths[0]), error) from None
    if not rows:
        raise DataError(paths[0], "has no rows", f"at least one row would be right: {layout.name}")
    return rows


def check_lists(task: Task, rows: Sequence[DataRow], origin: str) -> None:
    """Raise DataError if a column of lists has something else: a template would use a text's letters as items."""
    layout = _layout(task)
    for column in layout.lists if layout else ():
        for number, row in enumerate(rows):
            if column in row and not isinstance(row[column], list):
                raise DataError(
                    f"{origin}, row {number}",
                    f"column {column!r} holds {kind(row[column])}",
                    "a list would be right (CSV has none)",
                )


def names_of(task: Task) -> Names:
    """Return the columns of the task's data set that may have other names, each with these names."""
    layout = _layout(task)
    return layout.names(_config(task)) if layout else {}


def _splits(layout: PublishedLayout, task: Task, split: str, places: Sequence[Path]) -> list[PublishedSplit]:
    return [
        PublishedSplit(place=place, files=tuple(layout.files(_config(task), split, place)), layout=layout)
        for place in places
    ]


def _nearest(splits: Sequence[PublishedSplit]) -> PublishedSplit:
    return next((each for each in splits if each.files), splits[0])


def _layout(task: Task) -> PublishedLayout | None:
    return LAYOUTS.get(task.dataset_path.rstrip("/").rpartition("/")[2].lower())


def _config(task: Task) -> str:
    return task.dataset_name or ""
