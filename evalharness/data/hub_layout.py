"""Find the files of a split in a data folder that has the hub's layout.

These paths are searched in a data folder, then in its subfolders, then in theirs. SPLIT (or val, dev, valid for
validation) has any suffix of `contents.SUFFIXES`, or is in the hub's pieces (SPLIT-00000-of-00002.parquet):

    DATASET_PATH/DATASET_NAME/SPLIT     the layout of the hub ("default" if the task names no dataset_name)
    DATASET_PATH/SPLIT                  if the task names no dataset_name
    TASK/SPLIT
    LAST_PART_OF_DATASET_PATH/DATASET_NAME/SPLIT, …/SPLIT
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalharness.data.contents import FORMS, SUFFIXES, stem_of
from evalharness.data.layout import SPLITS, find_file, levels
from evalharness.errors import DataError, did_you_mean
from evalharness.records.tasks import Task

PIECE = re.compile(r"(?P<split>.+)-(?P<number>\d+)-of-(?P<total>\d+)(?P<form>\.[a-zA-Z.]+)")  # of a split, from 0


def below(task: Task, folder: Path) -> Iterator[Path]:
    """Return the folder itself, then its subfolder for the task's dataset_name."""
    yield folder
    if task.dataset_name:
        yield folder / task.dataset_name


def find(task: Task, split: str, root: Path) -> tuple[list[Path], Path | None]:
    """Find the files of a split below a data folder.

    If there are none, returns the nearest folder that has other splits of the data set.
    """
    for level in levels(root):
        places = [folder for root in level for folder in _places(task, root) if folder.is_dir()]
        having = {folder: files for folder in places if (files := split_files(folder, split, task))}
        check_one_place(task, level, having)
        if having:
            return next(iter(having.values())), None
        if without := [folder for folder in places if _splits_in(folder)]:
            return [], without[0]
    return [], None


def check_one_place(task: Task, level: Sequence[Path], places: Iterable[Path]) -> None:
    """Raise DataError if several folders of one depth have the data of a task, which is ambiguous."""
    roots = list(dict.fromkeys(root for place in places for root in level if place.is_relative_to(root)))
    if len(roots) > 1:
        names = " and ".join(map(str, roots[:3]))
        raise DataError(task.name, f"its rows are in {names}", f"name one of them with --data {task.origin}=DIR")


def _places(task: Task, root: Path) -> Iterator[Path]:
    last = task.dataset_path.rstrip("/").rpartition("/")[2]
    if not Path(task.dataset_path).is_absolute() and ".." not in Path(task.dataset_path).parts:
        yield root / task.dataset_path / (task.dataset_name or "default")
        if not task.dataset_name:
            yield root / task.dataset_path
            yield root / task.dataset_path / "data"
    yield root / task.origin
    if last not in ("", ".."):
        yield root / last / (task.dataset_name or "default")
        if not task.dataset_name:
            yield root / last


def split_files(folder: Path, split: str, task: Task) -> list[Path]:
    """Return the file of a split, or its pieces.

    Its name is that of the split, or a synonym that is no other split of the task. Raises DataError if two files fit,
    or a piece is missing.
    """
    own = (task.evaluation_split, task.fewshot_split, task.training_split, task.validation_split)
    others = next((names for names in SPLITS.values() if split in names), ())
    names = [split, *(name for name in others if name not in (split, *own))]
    pieces = _pieces(folder, names)
    whole = find_file(folder, names, SUFFIXES)
    if len(whole) + len(pieces) > 1:
        all_names = [file.name for file in whole] + [files[0].name for files in pieces]
        raise DataError(folder, f"holds {' and '.join(all_names)}", "keep one file for each split")
    return whole or (_whole(pieces[0]) if pieces else [])


def _pieces(folder: Path, names: Collection[str]) -> list[list[Path]]:
    """Return the pieces of splits with one of the names, one list per split."""
    sets: dict[tuple[str, ...], list[Path]] = {}
    for file in sorted(folder.glob("*-*-of-*")):
        if (match := PIECE.fullmatch(file.name)) and match["split"] in names and match["form"].lower() in SUFFIXES:
            sets.setdefault(match.group("split", "total", "form"), []).append(file)
    return list(sets.values())


def _whole(pieces: list[Path]) -> list[Path]:
    """Return the pieces of a split. Raises DataError if one is missing."""
    matches = [match for file in pieces if (match := PIECE.fullmatch(file.name))]
    total = int(matches[0]["total"])
    absent = sorted(set(range(total)) - {int(match["number"]) for match in matches})
    if absent or len(pieces) > total:
        numbers = ", ".join(str(number + 1) for number in absent[:6])
        what = f"piece {numbers} of {total} is missing" if absent else f"holds more than {total} pieces"
        raise DataError(pieces[0], what, "all pieces of a split in one folder would be right")
    return pieces


def _splits_in(folder: Path) -> list[str]:
    files = [file for file in folder.iterdir() if file.name.lower().endswith(SUFFIXES)]
    pieces = {file: PIECE.fullmatch(file.name) for file in files}
    return sorted({match["split"] if match else stem_of(file) for file, match in pieces.items()})


def no_split(task: Task, split: str, folder: Path) -> DataError:
    """Return the error for a data set's folder that does not have the split."""
    splits = _splits_in(folder)
    fix = f"a file {split}.jsonl (or {', '.join(FORMS[1:])}) would be right"
    if splits:
        listed = f"{', '.join(splits[:12])}{', …' if len(splits) > 12 else ''}"
        fix = f"splits there: {listed}; --split evaluates one of them, or --data {task.origin}=FILE names the rows"
    return DataError(folder, f"has no split {split!r} for {task.name}", fix)


def data_files(task: Task, split: str) -> list[Path]:
    """Return the files that a task with `dataset_path: json` lists in `dataset_kwargs.data_files`, as in lm-eval.

    If they are not listed by split, the split is "train". Raises DataError.
    """
    stated = task.dataset_kwargs.get("data_files")
    by_split = stated if isinstance(stated, Mapping) else {"train": stated}
    if stated is None:
        raise DataError(
            task.source,
            f"dataset_path is {task.dataset_path} without dataset_kwargs.data_files",
            "data_files: {test: FILE} would be right",
        )
    if split not in by_split:
        raise DataError(task.source, f"data_files has no split {split!r}", did_you_mean(split, map(str, by_split)))
    files: Any = by_split[split]
    names = files if isinstance(files, list) else [files]
    return [file for name in names for file in _matching(task, name)]


def _matching(task: Task, name: Any) -> list[Path]:
    if not isinstance(name, str) or "://" in name:
        raise DataError(task.source, f"data_files names {name!r}", "the path of a local file would be right")
    inside = task.dataset_kwargs.get("data_dir")
    for root in (task.source.parent, Path.cwd()):
        root = root / inside if isinstance(inside, str) else root
        if any(sign in name for sign in "*?["):
            anchor = Path(name).anchor
            files = sorted(filter(Path.is_file, (Path(anchor) if anchor else root).glob(name.removeprefix(anchor))))
        else:
            files = [root / name] if (root / name).exists() else []
        if files:
            return files
    raise DataError(
        task.source,
        f"data_files names {name}, which does not exist",
        f"it was looked for beside the task file and in {Path.cwd()}",
    )


def in_dataset_folder(task: Task, split: str) -> list[Path] | None:
    """Return the files of a split if the task's `dataset_path` names a local folder; None if there is no such folder.

    The folder is looked for beside the task file, then in the working directory. Raises DataError if it has other
    splits, but not this one.
    """
    for root in (task.source.parent, Path.cwd()):
        folder = root / task.dataset_path
        if not folder.is_dir():
            continue
        for place in below(task, folder):
            if place.is_dir() and (files := split_files(place, split, task)):
                return files
        if _splits_in(folder):
            raise no_split(task, split, folder)
    return None
