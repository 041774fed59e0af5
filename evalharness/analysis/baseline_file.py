"""Read and write a repository's baseline file: the accepted scores of every unit, packed, with digests of the prompts.

It is JSON with a line for each task; only `evalharness baseline accept` writes it. Its first model is the original
base; a second one is the candidate that was accepted last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from evalharness import fingerprint
from evalharness.analysis.baseline import Baseline, BaselineTask
from evalharness.analysis.row_packing import apply_changes, pack_changes, pack_rows, unpack_rows
from evalharness.errors import NotComparableError, UsageError
from evalharness.records.answers import AnswerCounts
from evalharness.records.measurements import Measurement
from evalharness.records.policy import Policy
from evalharness.records.results import ModelRow
from evalharness.results import structure_json
from evalharness.results.digest import with_digest
from evalharness.results.structuring import Form, parse_document

FILE = "evalharness-baseline.json"  # the default name
VERSION = 1
RESTORE = "restore it from the repository, or delete it and write it with `evalharness baseline accept RUN`"
AGAIN = "delete it and write it with `evalharness baseline accept RUN`, or name another file"
FORM = Form(what="baseline file", version=VERSION, fix=AGAIN, restore=RESTORE)
ASKED = ("suite", "limit", "num_fewshot", "split", "seed", "template", "system_instruction")
OF_MODEL = ("name", "kind", "fingerprint", "parameters", "trainable", "trainable_share", "bytes")
COUNTS = tuple(each.name for each in fields(AnswerCounts))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredTask:
    """One task of the file, with the metric that decides it.

    `signature`: the metric's version and options. `units`: how many were scored. `data`, `definition`, `questions`:
    shortened digests of the rows, the task file, and the units' ids.
    """

    task: str
    metric: str
    signature: str
    units: int
    data: str
    definition: str
    questions: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedScores:
    """The scores of one model on one task.

    `score`: by the deciding metric. `prompts`: digest of the prompts. `unparsed`: number of unreadable answers.
    `answers`: counts of unusual ones; None: there are none. `rows` (n, k): the numbers of each unit, as unpacked.
    """

    score: float
    prompts: str
    unparsed: int
    answers: AnswerCounts | None
    rows: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineFile:
    """The content of a baseline file.

    `digest`: of its content. `engine`: the one that answered. `settings`: of prompts and rows. `models`: the original
    base first. `templates`: each model's chat template as a digest; None: it has none. `scores`: by model, then in the
    order of `tasks`.
    """

    path: Path
    digest: str
    engine: dict[str, Any]
    settings: dict[str, Any]
    models: tuple[ModelRow, ...]
    templates: tuple[str | None, ...]
    tasks: tuple[ScoredTask, ...]
    scores: tuple[tuple[AcceptedScores, ...], ...]

    @property
    def original(self) -> Baseline:
        return self.baseline(0)

    @property
    def accepted(self) -> Baseline:
        return self.baseline(-1)

    def baseline(self, which: int) -> Baseline:
        """Return one of the file's models as a base whose scores can be used."""
        by_task: dict[str, list[int]] = {}
        for i, task in enumerate(self.tasks):
            by_task.setdefault(task.task, []).append(i)
        scores = self.scores[which]
        return Baseline(
            path=self.path,
            row=self.models[which],
            engine=self.engine,
            template=self.templates[which],
            packed=self.digest,
            tasks={
                name: BaselineTask(
                    definition=self.tasks[places[0]].definition,
                    data=self.tasks[places[0]].data,
                    prompts=scores[places[0]].prompts,
                    questions=self.tasks[places[0]].questions,
                    metrics={self.tasks[i].metric: self.tasks[i].signature for i in places},
                    measurements={self.tasks[i].metric: self._measurement(which, i) for i in places},
                    unparsed=scores[places[0]].unparsed,
                    answers=scores[places[0]].answers,
                )
                for name, places in by_task.items()
            },
        )

    def _measurement(self, which: int, i: int) -> Measurement:
        """Return a model's rows on a task, without ids: only a run of the same questions knows which units they are."""
        task, name = self.tasks[i], self.models[which].name
        rows = self.scores[which][i].rows
        return Measurement(task=task.task, metric=task.metric, model=name, units=(), sizes=(), rows=rows)


TASK_COLUMNS = tuple(each.name for each in fields(ScoredTask))


# ---- as text ---------------------------------------------------------------------------------------------------------


def text_of(file: BaselineFile) -> str:
    """Return the file's text: JSON with a line for each task, readable except for the packed rows."""
    first, signatures = file.scores[0], sorted({task.signature for task in file.tasks})
    document = {
        "asked": file.settings,
        "engine": file.engine,
        "models": [
            {**{key: getattr(row, key) for key in OF_MODEL}, "template": template}
            for row, template in zip(file.models, file.templates, strict=True)
        ],
        "signatures": signatures,
        "columns": ["task", "metric", "scores", *TASK_COLUMNS[2:]],
        "tasks": [
            [task.task, task.metric, [scores[i].score for scores in file.scores], *_columns(task, signatures)]
            for i, task in enumerate(file.tasks)
        ],
        "counts": [[_counts(scores[i]) for scores in file.scores] for i in range(len(file.tasks))],
        "rows": [
            [pack_rows(each.rows), *(pack_changes(scores[i].rows, each.rows) for scores in file.scores[1:])]
            for i, each in enumerate(first)
        ],
    }
    whole = with_digest(document, VERSION)
    return "{\n" + ",\n".join(f"{json.dumps(key)}: {_lines(value)}" for key, value in whole.items()) + "\n}\n"


def _columns(task: ScoredTask, signatures: Sequence[str]) -> list[Any]:
    return [signatures.index(task.signature), task.units, task.data, task.definition, task.questions]


def _counts(scores: AcceptedScores) -> list[Any]:
    """Return one task's counts for the file: the digest of the prompts, unparsed answers, and the counts of unusual
    answers without the zeros at their end.
    """
    counts = [] if scores.answers is None else [getattr(scores.answers, name) for name in COUNTS]
    while counts and counts[-1] == 0:
        counts.pop()
    return [scores.prompts, scores.unparsed, counts]


def _lines(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], list | dict):
        return "[\n" + ",\n".join(json.dumps(each, separators=(",", ":")) for each in value) + "\n]"
    return json.dumps(value)


Columns = tuple[str, str, tuple[float, ...], int, int, str, str, str]
Counts = tuple[str, int, tuple[Any, ...]]  # of the prompts, unparsed answers, and AnswerCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """One model in the JSON: the fields of its row in results, and the digest `template` of its chat template."""

    name: str
    kind: str
    fingerprint: str
    parameters: int | None
    trainable: int | None
    trainable_share: float | None
    bytes: int | None
    template: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    """The file's JSON. `tasks` has the `columns`; `counts` and `rows` have for each task one entry a model."""

    asked: dict[str, Any]
    engine: dict[str, Any]
    models: tuple[_Model, ...]
    signatures: tuple[str, ...]
    columns: tuple[str, ...]
    tasks: tuple[Columns, ...]
    counts: tuple[tuple[Counts, ...], ...]
    rows: tuple[tuple[str, ...], ...]


def is_baseline_file(path: Path) -> bool:
    """Return whether the path is a baseline file, as opposed to a run's folder or its measurements."""
    return path.is_file() and path.suffix != ".parquet"


def place_of(policy: Policy) -> Path:
    """Return the path of the policy's baseline file, or `FILE` in the working directory if the policy names none."""
    return Path(policy.baseline or FILE)


def read_file(path: Path) -> BaselineFile:
    """Read a baseline file. Raises UsageError if it does not exist, NotComparableError if it is damaged or was edited
    by hand.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        fix = "write one with `evalharness baseline accept RUN`, or name it as `baseline` in the policy or an option"
        raise UsageError(path, f"no baseline file can be read here ({error.strerror})", fix) from error
    try:
        document = parse_document(content, path, FORM)
        whole = structure_json(document, _Document, path, fix=AGAIN)
        return _file(path, fingerprint.of_bytes(content), whole)
    except UsageError as error:
        raise NotComparableError(error.where, error.what, error.fix) from error
    except (ValueError, LookupError, TypeError) as error:
        raise NotComparableError(path, f"its rows do not fit together ({error})", RESTORE) from error


def _file(path: Path, digest: str, document: _Document) -> BaselineFile:
    if not document.models or {len(document.tasks)} != {len(document.counts), len(document.rows)}:
        raise ValueError("as many counts and rows as tasks, of at least one model, would be right")
    if not isinstance(document.engine.get("fingerprint"), str):
        raise ValueError("the engine has no fingerprint")
    rows = [_unpacked(packed_rows, len(document.models)) for packed_rows in document.rows]
    scores = []
    for which in range(len(document.models)):
        of_model = []
        for task, counts, each in zip(document.tasks, document.counts, rows, strict=True):
            prompts, unparsed, answers = counts[which]
            if len(each[which]) != task[4]:
                raise ValueError(f"{task[0]} has {len(each[which])} rows, and {task[4]} units")
            counted = _answers(answers, path)
            of_model.append(AcceptedScores(score=task[2][which], prompts=prompts, unparsed=unparsed, answers=counted,
                                           rows=each[which]))  # fmt: skip
        scores.append(tuple(of_model))
    models = tuple(ModelRow(base=None, **{key: getattr(each, key) for key in OF_MODEL}) for each in document.models)
    return BaselineFile(
        path=path,
        digest=digest,
        engine=document.engine,
        settings=document.asked,
        models=models,
        templates=tuple(each.template for each in document.models),
        tasks=tuple(_task_of(each, document.signatures) for each in document.tasks),
        scores=tuple(scores),
    )


def _answers(counts: Sequence[Any], path: Path) -> AnswerCounts | None:
    """Return the counts of a task's answers, of which zeros at the end are not stored; None if nothing was counted."""
    by_name = dict(zip(COUNTS, (*counts, *[0] * (len(COUNTS) - len(counts))), strict=True))
    return structure_json(by_name, AnswerCounts, path, "counts", AGAIN) if counts else None


def _task_of(columns: Columns, signatures: Sequence[str]) -> ScoredTask:
    task, metric, _, place, units, data, definition, questions = columns
    return ScoredTask(
        task=task,
        metric=metric,
        signature=signatures[place],
        units=units,
        data=data,
        definition=definition,
        questions=questions,
    )


def _unpacked(texts: Sequence[str], models: int) -> list[np.ndarray]:
    """Return every model's rows on a task. The file holds the first model's, and for each other one how its rows
    differ.
    """
    if len(texts) != models:
        raise ValueError(f"rows of {len(texts)} models, and {models} models")
    first = unpack_rows(texts[0])
    return [first, *(apply_changes(text, first) for text in texts[1:])]
