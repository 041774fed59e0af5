"""Damage or change the recorded logs of a tool in named ways, none of which may pass as a comparison.

A tool takes part by a folder tests/imports/logs/TOOL: `base/` and `tuned/`, logs of two models, and `form.py`, which
sets FORM: how its rows are read and written, and where in a row things stand.
"""

from __future__ import annotations

import copy
import importlib.util
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOGS = Path(__file__).parent / "logs"
Row = dict[str, Any]
Place = tuple[str | int, ...]  # the keys that lead to a value in a row


@dataclass(frozen=True, kw_only=True)
class LogForm:
    """How a tool's log is changed.

    `prepare`: leave so much of a copy of a recorded folder that its comparison ends with 0; `files`: all that are read;
    `load`, `save`: the rows of one task; `ids`, `prompts`, `golds`, `scores`: all places where these stand in a row,
    `choices`: of the list (empty: there is none); `second_model`: add to the folder what another model logged;
    `other_gold`: a gold value that means another answer.
    """

    prepare: Callable[[Path], None]
    files: Callable[[Path], list[Path]]
    load: Callable[[Path], list[Row]]
    save: Callable[[Path, list[Row]], None]
    ids: Sequence[Place]
    prompts: Sequence[Place]
    golds: Sequence[Place]
    scores: Sequence[Place]
    choices: Sequence[Place]
    second_model: Callable[[Path], None]
    other_gold: Callable[[Any], Any]


def folders_of_two_models(folder: Path) -> None:
    """Put the tasks into a folder of a model, beside another's."""
    tasks = list(folder.iterdir())
    for model in ("one", "other"):
        for task in tasks:
            shutil.copytree(task, folder / model / task.name)
    for task in tasks:
        shutil.rmtree(task)


def forms() -> dict[str, LogForm]:
    """Every tool's form, by the name of its folder."""
    found = {}
    for file in sorted(LOGS.glob("*/form.py")):
        spec = importlib.util.spec_from_file_location(f"log_form_{file.parent.name}", file)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found[file.parent.name] = module.FORM
    return found


def get(row: Row, place: Place) -> Any:
    value: Any = row
    for key in place:
        value = value[key]
    return value


def put(row: Row, place: Place, value: Any) -> None:
    get(row, place[:-1])[place[-1]] = value


RowChange = Callable[[LogForm, list[Row]], list[Row]]
MUTATIONS: dict[str, Callable[[LogForm, Path], None]] = {}


def _of_rows(name: str, change: RowChange) -> None:
    def mutate(form: LogForm, folder: Path) -> None:
        form.save(folder, change(form, copy.deepcopy(form.load(folder))))

    MUTATIONS[name] = mutate


def _set(places: str, value: Callable[[LogForm, Any], Any], rows: slice = slice(None)) -> RowChange:
    """Set a value anew in some rows, in all places where it stands; `value` takes the form and the old one."""

    def change(form: LogForm, every: list[Row]) -> list[Row]:
        for row in every[rows]:
            for place in getattr(form, places):
                put(row, place, value(form, get(row, place)))
        return every

    return change


def _exchange(first: int, second: int) -> RowChange:
    def change(form: LogForm, every: list[Row]) -> list[Row]:
        for place in form.ids:
            before = get(every[first], place)
            put(every[first], place, get(every[second], place))
            put(every[second], place, before)
        return every

    return change


def _rotate(form: LogForm, every: list[Row]) -> list[Row]:
    for place in form.ids:
        values = [get(row, place) for row in every]
        for row, value in zip(every, [*values[1:], values[0]], strict=True):
            put(row, place, value)
    return every


def _renamed_scores(form: LogForm, every: list[Row]) -> list[Row]:
    """Rename the metric: the key above the value, or the name that stands beside it."""
    for row in every:
        for place in form.scores:
            form_of_score = get(row, place[:-1])
            if isinstance(form_of_score.get("name"), dict):
                form_of_score["name"]["name"] += "_otherwise"
            else:
                scores = get(row, place[:-2])
                scores[f"{place[-2]}_otherwise"] = scores.pop(place[-2])
    return every


def _without_key(form: LogForm, every: list[Row]) -> list[Row]:
    for place in form.ids:
        del get(every[1], place[:-1])[place[-1]]
    return every


def _otherwise(value: Any) -> Any:
    """Another text, or whatever holds texts with all of them changed."""
    if isinstance(value, str):
        return f"Otherwise: {value}"
    if isinstance(value, list):
        return [_otherwise(each) for each in value]
    if isinstance(value, dict):
        return {key: _otherwise(each) if key in ("content", "text", "value") else each for key, each in value.items()}
    return value


def _shots(value: Any) -> Any:
    """The prompt with a solved example before it."""
    if isinstance(value, str):
        return f"Question: What is 1 + 1? Answer: 2\n\n{value}"
    if isinstance(value, list):
        return [_shots(value[0]), *value[1:]]
    return {key: _shots(each) if key in ("content", "text", "value") else each for key, each in value.items()}


ONE = slice(1, 2)
_of_rows("ids of two rows exchanged", _exchange(0, 1))
_of_rows("ids of first and last row exchanged", _exchange(0, -1))
_of_rows("ids moved by one row", _rotate)
_of_rows("one row missing", lambda _, rows: rows[1:])
_of_rows("half of the rows missing", lambda _, rows: rows[: len(rows) // 2])
_of_rows("no rows", lambda _, rows: [])
_of_rows("one row twice", lambda _, rows: [*rows, copy.deepcopy(rows[0])])
_of_rows("all rows twice", lambda _, rows: [*rows, *copy.deepcopy(rows)])
_of_rows("one prompt otherwise", _set("prompts", lambda _, old: _otherwise(old), ONE))
_of_rows("all prompts otherwise", _set("prompts", lambda _, old: _otherwise(old)))
_of_rows("other shots", _set("prompts", lambda _, old: _shots(old)))
_of_rows("one gold otherwise", _set("golds", lambda form, old: form.other_gold(old), ONE))
_of_rows("all golds otherwise", _set("golds", lambda form, old: form.other_gold(old)))
_of_rows("choices in another order", _set("choices", lambda _, old: old[::-1]))
_of_rows("one choice less", _set("choices", lambda _, old: old[:-1]))
_of_rows("an id that is a list", _set("ids", lambda _, old: [old], ONE))
_of_rows("an id that is nothing", _set("ids", lambda _, old: None, ONE))
_of_rows("no id", _without_key)
_of_rows("a prompt that is a number", _set("prompts", lambda _, old: 3, ONE))
_of_rows("a gold that is a number", _set("golds", lambda _, old: 3, ONE))
_of_rows("a score that is NaN", _set("scores", lambda _, old: float("nan"), ONE))
_of_rows("all scores NaN", _set("scores", lambda _, old: float("nan")))
_of_rows("a score that is infinite", _set("scores", lambda _, old: float("inf"), ONE))
_of_rows("a score that is nothing", _set("scores", lambda _, old: None, ONE))
_of_rows("a score that is no number", _set("scores", lambda _, old: "somewhat", ONE))
_of_rows("a score that is an object", _set("scores", lambda _, old: {"of": [old]}, ONE))
_of_rows("another scorer", _renamed_scores)


def _of_files(name: str, change: Callable[[Path], object]) -> None:
    def mutate(form: LogForm, folder: Path) -> None:
        files = form.files(folder)
        assert files
        for file in files:
            change(file)

    MUTATIONS[name] = mutate


def _of_each_file(name: str, change: Callable[[Path], object]) -> None:
    """Change the first or the last file alone."""
    for place, which in ((0, "first"), (-1, "last")):
        MUTATIONS[f"{name} ({which})"] = lambda form, folder, place=place: change(form.files(folder)[place])


def _flip_bytes(file: Path) -> None:
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = b"\xff" * 64
    file.write_bytes(data)


_of_each_file("a file cut in half", lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]))
_of_each_file("a file without its last byte", lambda file: file.write_bytes(file.read_bytes().rstrip()[:-1]))
_of_each_file("an empty file", lambda file: file.write_bytes(b""))
_of_each_file("bytes that are no text", _flip_bytes)
_of_files("all files empty", lambda file: file.write_bytes(b""))
_of_files("all files missing", Path.unlink)
_of_files("all files hold a number", lambda file: file.write_text("3"))
_of_files("all files hold an empty object", lambda file: file.write_text("{}"))
_of_files("all files hold an empty list", lambda file: file.write_text("[]"))
MUTATIONS["logs of two models"] = lambda form, folder: form.second_model(folder)
