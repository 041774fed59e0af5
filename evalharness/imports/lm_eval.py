"""Read lm-eval's logs (`--log_samples`): the values that it logged; answers are not scored again.

Lines of samples_TASK_DATE.jsonl have `doc_hash`, `prompt_hash`, `target_hash`, the filter, and one value for each
metric (lm-eval 0.4.4 and later; loggers/evaluation_tracker.py). results_DATE.json says in which direction metrics are
better, which tasks make a group, and how the model was run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalharness.data.contents import decode, unreadable
from evalharness.data.files import json_form, kind
from evalharness.errors import DataError, UsageError
from evalharness.imports.guessing import chance_level
from evalharness.imports.identities import LENGTH, Identities, digest
from evalharness.imports.lm_eval_answers import read_answer, texts_of
from evalharness.imports.logged import (
    DATE,
    Answer,
    AnswerTexts,
    LoggedTask,
    ModelLog,
    is_score,
    mapping,
    plain_name,
    stated_of,
)
from evalharness.json_text import parse_json
from evalharness.tasks.answer_counts import ReadAnswer
from evalharness.tasks.library import Library
from evalharness.tasks.templates import TemplateProblem, render

SAMPLES = re.compile(rf"samples_(?P<task>.+)_{DATE}\.jsonl")
RESULTS = re.compile(rf".+_{DATE}\.json")  # results_DATE.json, or what --output_path NAME.json makes of NAME
SETTINGS = (
    "model_dtype",
    "limit",
    "chat_template_sha",
    "system_instruction_sha",
    "fewshot_as_multiturn",
    "lm_eval_version",
    "transformers_version",
)
NEEDED = ("doc_hash", "prompt_hash", "target_hash", "filter", "metrics")
RERUN = "run lm-eval again with --log_samples"
AGAIN = f"{RERUN}, or copy the file again"


def is_log(path: Path) -> bool:
    """Return whether the folder, or one in it, has lm-eval's sample files."""
    return path.is_dir() and bool(_folders(path))


def read(path: Path, name: str, library: Library) -> ModelLog:
    """Read the newest log of every task in the folder.

    Raises UsageError if there are several models, DataError for lines that are not lm-eval's.
    """
    folders = _folders(path)
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise UsageError(path, f"holds the logs of several models ({names})", "name one of them")
    (folder,) = folders
    notices: list[str] = []
    newest, ours = _newest(folder, notices), set(library.names())
    about = _about(folder, {date for date, _ in newest.values()})
    tasks = {}
    for task, (date, file) in newest.items():
        unit = library.task(task).unit if task in ours else None
        if logged := _task(task, file, about.get(date, {}), unit):
            tasks[task] = logged
        else:
            notices.append(f"{file}: no samples in it, so {task} is left out")
    if not tasks:
        raise DataError(folder, "no samples in any file", RERUN)
    last = about[max(about)] if about else {}
    settings = {key: json_form(value) for key, value in {**last, **mapping(last, "config")}.items() if key in SETTINGS}
    return ModelLog(
        name=name, path=str(folder), tasks=tasks, groups=_groups(about), settings=settings, notices=tuple(notices)
    )


def _folders(path: Path) -> list[Path]:
    """List the folder itself, or those in it (lm-eval makes one for each model), if they have samples."""
    if any(SAMPLES.fullmatch(file.name) for file in path.glob("samples_*.jsonl")):
        return [path]
    return sorted({file.parent for file in path.glob("*/samples_*.jsonl") if SAMPLES.fullmatch(file.name)})


def _newest(folder: Path, notices: list[str]) -> dict[str, tuple[str, Path]]:
    """Find the date and path of every task's newest file. A task that was logged twice gets a notice."""
    logged: dict[str, list[tuple[str, Path]]] = {}
    for file in sorted(folder.glob("samples_*.jsonl")):
        if match := SAMPLES.fullmatch(file.name):
            logged.setdefault(match["task"], []).append((match["date"], file))
    notices += [
        f"{folder}: {task} was logged {len(files)} times; the newest counts ({max(files)[0]})"
        for task, files in logged.items()
        if len(files) > 1
    ]
    return {task: max(files) for task, files in logged.items()}


def _about(folder: Path, dates: set[str]) -> dict[str, dict[str, Any]]:
    """Read the results file of each date, the oldest first.

    A file that is missing or unreadable is skipped, because the samples decide.
    """
    documents = {}
    for file in folder.glob("*.json"):
        if (match := RESULTS.fullmatch(file.name)) and match["date"] in dates:
            try:
                document = parse_json(file.read_text(encoding="utf-8"), finite=False)
            except (OSError, ValueError):
                continue
            if isinstance(document, dict):
                documents[match["date"]] = document
    return dict(sorted(documents.items()))


def _groups(about: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Collect the groups of two or more tasks that the results files list."""
    children: dict[str, Sequence[str]] = {}
    for document in about.values():
        for group, names in mapping(document, "group_subtasks").items():
            children[group] = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    leaves = {group: tuple(dict.fromkeys(_leaves(group, children))) for group in children}
    return {group: members for group, members in leaves.items() if len(members) > 1}


def _leaves(group: str, children: Mapping[str, Sequence[str]], depth: int = 0) -> Iterator[str]:
    for child in children.get(group, ()):
        if children.get(child) and depth < 10:
            yield from _leaves(child, children, depth + 1)
        else:
            yield child


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object). Every object has all of NEEDED, with hashes and filter as texts.

    Raises DataError with file and line.
    """
    try:
        with file.open("rb") as opened:
            for number, data in enumerate(opened, 1):
                if data.strip():
                    yield number, _line(f"{file}:{number}", decode(data, file, number - 1))
    except OSError as error:
        raise unreadable(file, error) from None


def _line(place: str, text: str) -> dict[str, Any]:
    try:
        line = parse_json(text, finite=False)
    except ValueError as error:
        raise DataError(place, f"no JSON ({error})", AGAIN) from None
    missing = [key for key in NEEDED if key not in line] if isinstance(line, dict) else NEEDED
    if missing:
        raise DataError(place, f"no line of lm-eval's samples (without {', '.join(missing)})", AGAIN)
    for key in NEEDED[:-1]:
        if not isinstance(line[key], str):
            raise DataError(place, f"no line of lm-eval's samples ({key} is {kind(line[key])})", AGAIN)
    if not isinstance(line["metrics"], list) or not all(isinstance(metric, str) for metric in line["metrics"]):
        raise DataError(place, "no line of lm-eval's samples (metrics is no list of names)", AGAIN)
    return line  # type: ignore[no-any-return]


def _task(name: str, file: Path, about: Mapping[str, Any], unit: str | None) -> LoggedTask | None:
    """Read one task's answers by metric, the deciding metric first; None if the file is empty. `unit` is the template
    of the key that rows of one unit share.
    """
    answers: dict[str, list[Answer]] = {}
    identities = Identities()
    choices: list[int] = []
    read: dict[str, list[ReadAnswer]] = {}
    texts: dict[str, AnswerTexts] = {}
    for number, line in _lines(file):
        document, pipe = line["doc_hash"][:LENGTH], line["filter"]
        key = identities.key(document, line["prompt_hash"][:LENGTH], line["target_hash"][:LENGTH], among=pipe)
        of = _unit(unit, line.get("doc"), key)
        choices.append(_choices(line))
        content = _content(line, choices[-1])
        if (answer := read_answer(line, choices[-1])) is not None:
            read.setdefault(pipe, []).append(answer)
        if key not in texts:
            texts[key] = texts_of(line, choices[-1], answer)
        for metric in dict.fromkeys(line["metrics"]):
            if metric not in line:
                raise DataError(f"{file}:{number}", f"names the metric {metric} and has no value of it", RERUN)
            if _finite(line[metric]):
                answers.setdefault(metric if pipe == "none" else f"{metric},{pipe}", []).append(
                    Answer(key, document, of, line[metric], content)
                )
    if not answers:
        return None
    chance = chance_level(choices)
    higher = mapping(mapping(about, "higher_is_better"), name)
    stated = {metric: stated_of(scores, higher.get(plain_name(metric)), chance) for metric, scores in answers.items()}
    version = str(mapping(about, "versions").get(name, ""))
    return LoggedTask(
        name=name,
        answers={metric: tuple(scores) for metric, scores in answers.items()},
        stated=stated,
        version=version,
        read={pipe: tuple(answer) for pipe, answer in read.items()},
        texts=texts,
    )


def _finite(value: Any) -> bool:
    """Return whether the value can be a score; one that is no finite number counts as not answered."""
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, int | float) or is_score(value)


def _choices(line: Mapping[str, Any]) -> int:
    """Count the continuations that were ranked; 0 if the answer was generated.

    For mutual information lm-eval asks for each continuation once more, without its question.
    """
    arguments = line.get("arguments")
    if not isinstance(arguments, dict) or len(arguments) < 2:
        return 0
    ranked = all(
        isinstance(argument, dict) and isinstance(argument.get("arg_1"), str) for argument in arguments.values()
    )
    return ranked * (len(arguments) // 2 if "acc_mutual_info" in line["metrics"] else len(arguments))


def _content(line: Mapping[str, Any], choices: int) -> str:
    """Return a digest of a line's question by prompt, gold and ranked continuations, independent of its document."""
    ranked = [(of.get("arg_0"), of["arg_1"]) for of in line["arguments"].values()] if choices else []
    contexts = {context for context, _ in ranked}
    question = ranked if len(contexts) > 1 else [continuation for _, continuation in ranked]
    return f"{line['prompt_hash'][:LENGTH]}-{line['target_hash'][:LENGTH]}-{digest(question)}"


def _unit(template: str | None, document: Any, key: str) -> str:
    """Return the unit of an example, by our task file of the same name.

    It is the example itself if there is no such file, or if the document lacks a column.
    """
    if template is None or not isinstance(document, dict):
        return key
    try:
        return render(template, document)
    except TemplateProblem:
        return key
