"""Read BIG-bench as published (TASK/task.json, TASK/SUBTASK/task.json) into the hub's rows: an input is a whole prompt.

The prompt is made as in BIG-bench for JSON tasks: task_prefix, example_input_prefix, input, the choices if the task
appends them, example_output_prefix; surrounding white space is removed, as on the hub. Two things differ from
BIG-bench's own code: choices are in the file's order, which BIG-bench shuffles, and the splits train and validation are
our own draw (with BIG-bench's sizes).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalharness.data.contents import form_of, read_text
from evalharness.data.files import DataRow, json_value, kind
from evalharness.data.layout import JsonObject, PublishedLayout, below, child
from evalharness.errors import DataError

TASK_FILE = "task.json"
ENDING = "_zero_shot"  # that hails/bigbench adds to the name of a task
DEFAULTS = {
    "task_prefix": "",
    "example_input_prefix": "\nQ: ",
    "example_output_prefix": "\nA: ",
    "choice_prefix": "\n  choice: ",
}
LEAST, SHARE = 16, 0.2  # validation: a fifth of the examples, or 16
OPTION = re.compile(r"(\([A-Z]\)) .+|- (.+)")
WHOLE = ("default", "all")  # splits of all examples
RENDERED = ("inputs", "targets", "multiple_choice_targets", "multiple_choice_scores")


def _places(config: str, root: Path) -> Iterator[Path]:
    for folder in below(
        root, "bigbench", "bigbench/benchmark_tasks", "benchmark_tasks", "BIG-bench/bigbench/benchmark_tasks"
    ):
        place = folder
        for part in config.removesuffix(ENDING).split("/"):
            place = child(place, part)
        if _task_files(place):
            yield place


def _files(config: str, split: str, place: Path) -> Sequence[Path]:
    return _task_files(place) if split in (*WHOLE, "train", "validation") else ()


def _task_files(place: Path) -> list[Path]:
    """Return the task's own file, or the files of its subtasks in the order of their names."""
    own = place / TASK_FILE
    return [own] if own.exists() else sorted(place.glob(f"*/{TASK_FILE}"))


def _recognises(config: str, path: Path) -> bool:
    """Return whether the file has the authors' form: the hub's rows are a list, or have their prompts in `inputs`."""
    if form_of(path) != ".json" or not path.is_file():
        return False
    start = "" if path.name == TASK_FILE else read_text(path)[: 1 << 20]
    return path.name == TASK_FILE or ('"examples"' in start and '"input"' in start)


def _read(config: str, split: str | None, paths: Sequence[Path], renames: Mapping[str, str]) -> list[DataRow]:
    examples = [example for path in paths for example in _examples(path)]
    rows: list[DataRow] = [{**example, "idx": idx} for idx, example in enumerate(examples)]
    if split is None or split in WHOLE:
        return rows
    if len(rows) < 2:
        raise DataError(
            paths[0], f"has {len(rows)} example, too few for the split {split!r}", f"split {WHOLE[0]} has all examples"
        )
    validation = _validation(len(rows))
    return [row for row in rows if (row["idx"] in validation) == (split == "validation")]


def _validation(number: int) -> frozenset[int]:
    """Return the indices of the validation split: a fifth of the examples, at least 16 and at most half.

    They are drawn by the digest of the index.
    """
    size = min(max(LEAST, math.floor(SHARE * number)), number // 2)
    return frozenset(sorted(range(number), key=lambda index: hashlib.sha256(str(index).encode()).digest())[:size])


def _examples(path: Path) -> list[DataRow]:
    content = json_value(path)
    if isinstance(content, list):
        content = {"examples": content}
    if not isinstance(content, dict) or not isinstance(content.get("examples"), list):
        has_key = isinstance(content, dict) and "examples" in content
        raise DataError(
            path,
            f"has examples that are {kind(content['examples'])}" if has_key else f"holds {kind(content)}",
            'an object with "examples", a list, would be right',
        )
    task = JsonObject(path, "1", content)
    texts = {key: task.text(key) if key in content else default for key, default in DEFAULTS.items()}
    append = content.get("append_choices_to_input", True)
    if not isinstance(append, bool):
        raise task.error(f"'append_choices_to_input' is {kind(append)}", "true or false would be right")
    examples = [
        JsonObject(path, f" {line.where.removeprefix('1, ')}", line.values) for line in task.each("examples", least=0)
    ]
    return [_rendered(line) if "inputs" in line.values else _row(line, texts, append) for line in examples]


def _rendered(line: JsonObject) -> DataRow:
    """Return an example that already has the hub's columns."""
    for key in RENDERED[1:]:
        if not isinstance(line.get(key, "a list"), list):
            raise line.error(f"{key!r} is {kind(line.values[key])}", "a list would be right")
    if len(line.values["multiple_choice_targets"]) != len(line.values["multiple_choice_scores"]):
        raise line.error("has not as many scores as choices", "a score for each choice would be right")
    return {"inputs": line.text("inputs"), **{key: line.values[key] for key in RENDERED[1:]}}


def _row(line: JsonObject, texts: Mapping[str, str], append: bool) -> DataRow:
    scores = _scores(line)
    choices = (
        "".join(texts["choice_prefix"] + choice for choice in scores)
        if append and "target_scores" in line.values
        else ""
    )
    prompt = texts["task_prefix"] + texts["example_input_prefix"] + line.text("input") + choices
    prompt += texts["example_output_prefix"]
    best = [choice for choice, score in scores.items() if score == max(scores.values())]
    targets = _targets(line) if "target" in line.values else best
    if not targets:
        raise line.error("has neither target nor target_scores", "one of them would be right")
    choice_scores = {"multiple_choice_targets": list(scores), "multiple_choice_scores": list(scores.values())}
    return {"inputs": prompt.strip(), "targets": targets, **choice_scores}


def _scores(line: JsonObject) -> Mapping[str, Any]:
    """Return the score of each choice, in the file's order."""
    if "target_scores" not in line.values:
        return _listed(line)
    scores = line.inside("target_scores").values
    for choice, score in scores.items():
        if not isinstance(score, (int, float)) or isinstance(score, bool):
            raise line.error(f"the score of {choice[:40]!r} is {kind(score)}", "a number would be right")
    if not scores:
        raise line.error("'target_scores' is empty", "a score for each choice would be right")
    return scores


def _listed(line: JsonObject) -> Mapping[str, Any]:
    """Return the choices at the end of an input with their scores (1 for the target), as in BIG-Bench Hard.

    They follow "Options:", in lines of "(A) …" or "- …". Returns {} if there are no such lines, or if the target is
    not among them.
    """
    _, _, listed = line.text("input").rpartition("\nOptions:\n")
    matches = [OPTION.fullmatch(option.strip()) for option in listed.strip().split("\n")]
    choices = [match[1] or match[2] for match in matches if match]
    target = line.values.get("target")
    if len(choices) < len(matches) or target not in choices or len(set(choices)) < len(choices):
        return {}
    return {choice: int(choice == target) for choice in choices}


def _targets(line: JsonObject) -> list[str]:
    target = line.values["target"]
    targets = target if isinstance(target, list) else [target]
    for target in targets:
        if isinstance(target, bool) or not isinstance(target, (str, int, float)):
            raise line.error(f"'target' is or holds {kind(target)}", "a text, or a list of texts, would be right")
    return [str(target) for target in targets]


LAYOUT = PublishedLayout(
    "BIG-bench (TASK/task.json, TASK/SUBTASK/task.json)",
    _places,
    _files,
    _recognises,
    _read,
    ("targets", "multiple_choice_targets", "multiple_choice_scores"),
)
