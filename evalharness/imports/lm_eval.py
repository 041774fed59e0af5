"""A folder that lm-eval wrote with `--log_samples` to a Logged: the values it logged, never an answer read again.

Lines of samples_TASK_DATE.jsonl carry `doc_hash`, `prompt_hash`, `target_hash`, the filter, and one value a metric (lm-eval 0.4.4 and later;
loggers/evaluation_tracker.py). results_DATE.json says what is better, which tasks make a group, and how the model was run.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalharness.errors import DataError, UsageError
from evalharness.imports.logged import Answer, Logged, LoggedTask
from evalharness.tasks.library import Library
from evalharness.tasks.templates import TemplateProblem, render

SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)\.jsonl")
SETTINGS = ("model_dtype", "limit", "chat_template_sha", "system_instruction_sha", "fewshot_as_multiturn", "lm_eval_version", "transformers_version")
NEEDED = ("doc_hash", "prompt_hash", "target_hash", "filter", "metrics")


def is_log(path: Path) -> bool:
    """Does the folder, or one folder in it, hold lm-eval's sample files?"""
    return path.is_dir() and bool(_folders(path))


def read(path: Path, name: str, library: Library) -> Logged:
    """The newest log of every task in the folder. Raises UsageError where several models lie there, DataError for lines that are not lm-eval's."""
    folders = _folders(path)
    if len(folders) > 1:
        found = ", ".join(folder.name for folder in folders)
        raise UsageError(path, f"holds the logs of several models ({found})", "name one of them")
    (folder,) = folders
    about, notices = _about(folder), []
    tasks = {}
    for task, file in _newest(folder, notices).items():
        if logged := _task(task, file, about, library):
            tasks[task] = logged
        else:
            notices.append(f"{file}: no samples in it, so {task} is left out")
    if not tasks:
        raise DataError(folder, "no samples in any file", "run lm-eval again with --log_samples")
    groups = {group: tuple(_leaves(group, about.get("group_subtasks", {}))) for group in about.get("group_subtasks", {})}
    groups = {group: members for group, members in groups.items() if len(members) > 1}
    settings = {key: value for key, value in {**about, **about.get("config", {})}.items() if key in SETTINGS}
    return Logged(name, str(folder), tasks, groups, settings, tuple(notices))


def _folders(path: Path) -> list[Path]:
    """The folder itself, or those in it (lm-eval makes one a model), that hold samples."""
    if any(SAMPLES.fullmatch(file.name) for file in path.glob("samples_*.jsonl")):
        return [path]
    return sorted({file.parent for file in path.glob("*/samples_*.jsonl") if SAMPLES.fullmatch(file.name)})


def _newest(folder: Path, notices: list[str]) -> dict[str, Path]:
    """Task to its newest file; a task that was logged twice gets a notice."""
    found: dict[str, list[tuple[str, Path]]] = {}
    for file in sorted(folder.glob("samples_*.jsonl")):
        if match := SAMPLES.fullmatch(file.name):
            found.setdefault(match["task"], []).append((match["date"], file))
    doubled = {task: files for task, files in found.items() if len(files) > 1}
    notices += [f"{folder}: {task} was logged {len(files)} times; the newest counts ({max(files)[0]})" for task, files in doubled.items()]
    return {task: max(files)[1] for task, files in found.items()}


def _about(folder: Path) -> dict[str, Any]:
    """What the newest results file says; {} where there is none, or it cannot be read (the samples decide)."""
    files = sorted(folder.glob("results_*.json"))
    try:
        document = json.loads(files[-1].read_text(encoding="utf-8")) if files else {}
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _leaves(group: str, children: Mapping[str, Sequence[str]], depth: int = 0) -> Iterator[str]:
    for child in children.get(group, ()):
        if children.get(child) and depth < 10:
            yield from _leaves(child, children, depth + 1)
        else:
            yield child


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    again = "run lm-eval again with --log_samples, or copy the file again"
    try:
        with file.open(encoding="utf-8") as opened:
            for number, text in enumerate(opened, 1):
                if text.strip():
                    line = json.loads(text)
                    missing = [key for key in NEEDED if key not in line] if isinstance(line, dict) else NEEDED
                    if missing:
                        raise DataError(f"{file}:{number}", f"no line of lm-eval's samples (without {', '.join(missing)})", again)
                    yield number, line
    except UnicodeDecodeError as error:
        raise DataError(file, f"undecodable bytes at {error.start}", again) from None
    except ValueError as error:
        raise DataError(f"{file}:{number}", f"no JSON ({error})", again) from None
    except OSError as error:
        raise DataError(file, f"cannot be read ({error.strerror})", again) from None


def _task(name: str, file: Path, about: Mapping[str, Any], library: Library) -> LoggedTask | None:
    """The task's answers by metric; None where the file is empty. The first metric is the one that decides."""
    unit = library.task(name).unit if name in library.names() else None
    answers: dict[str, list[Answer]] = {}
    seen: Counter[tuple[str, str]] = Counter()
    choices: list[int] = []
    for number, line in _lines(file):
        question = "-".join(str(line[key])[:16] for key in ("doc_hash", "prompt_hash", "target_hash"))
        seen[line["filter"], question] += 1
        key = f"{question}#{seen[line['filter'], question]}"
        document = str(line["doc_hash"])[:16]
        choices.append(_choices(line))
        for metric in line["metrics"]:
            if metric not in line:
                raise DataError(f"{file}:{number}", f"names the metric {metric} and has no value of it", "run lm-eval again with --log_samples")
            identity = metric if line["filter"] == "none" else f"{metric},{line['filter']}"
            if not (isinstance(line[metric], float) and not math.isfinite(line[metric])):  # that is no score, as if it had not been answered
                answers.setdefault(identity, []).append(Answer(key, document, _unit(unit, line.get("doc"), key), line[metric]))
    if not answers:
        return None
    stated = (about.get("higher_is_better") or {}).get(name, {})
    higher = {metric: stated[plain] for metric in answers if isinstance(stated.get(plain := metric.partition(",")[0]), bool)}
    chance = sum(1 / number for number in choices) / len(choices) if all(choices) else 0.0
    version = str((about.get("versions") or {}).get(name, ""))
    return LoggedTask(name, {metric: tuple(found) for metric, found in answers.items()}, higher, chance, version)


def _choices(line: Mapping[str, Any]) -> int:
    """How many continuations were ranked; 0 where something was generated."""
    arguments = line.get("arguments") or {}
    arguments = list(arguments.values()) if isinstance(arguments, dict) else list(arguments)
    second = [argument.get("arg_1") if isinstance(argument, dict) else None for argument in arguments]
    return len(arguments) if len(arguments) > 1 and all(isinstance(text, str) for text in second) else 0


def _unit(template: str | None, document: Any, key: str) -> str:
    """What the example belongs to, by our task file of the same name; itself where there is none, or the document lacks a column."""
    if template is None or not isinstance(document, dict):
        return key
    try:
        return render(template, document)
    except TemplateProblem:
        return key
