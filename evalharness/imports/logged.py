"""The records of a model's logged answers, before they are paired with another model's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, TypeGuard

from evalharness.errors import UsageError
from evalharness.json_text import number_in
from evalharness.tasks.answer_counts import ReadAnswer

TRUTH = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
DATE = r"(?P<date>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)"  # in names of files
NO_NUMBER = ("none", "inf", "-inf")  # of a chance: unknown; of an end: there is none


class Answer(NamedTuple):
    """The logged value of one metric for one example.

    Answers with equal `key` are to the same question, sent the same way with the same gold, and are paired. `document`
    identifies the question alone, however and how many times it was sent. `value` is the score, or what a corpus
    metric computes its score from. Answers with equal `content` are to the same question with the same gold, from any
    document; it is "" if the log does not tell.
    """

    key: str
    document: str
    unit: str
    value: Any
    content: str = ""


class AnswerTexts(NamedTuple):
    """The texts of one example: prompt, the model's output, and the right answer ("" if the log has none)."""

    prompt: str
    output: str
    gold: str


class MetricStatement(TypedDict, total=False):
    """What the user or a log states about a metric. A missing key means that nothing is stated.

    Its keys are the direction, the chance level (None: unknown), and the ends of the range (None: unbounded).
    """

    higher_is_better: bool
    chance: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedTask:
    """One task of one model in a log.

    `answers` maps the id of a metric to its answers, `stated` to what the log states about it. `read` maps a filter to
    the answers that it extracted, if they are logged. `texts` maps the key of an answer to its texts. `failed` are the
    examples that, by the log, got no score.
    """

    name: str
    answers: Mapping[str, tuple[Answer, ...]]
    stated: Mapping[str, MetricStatement]
    version: str = ""
    read: Mapping[str, tuple[ReadAnswer, ...]] = field(default_factory=dict)
    texts: Mapping[str, AnswerTexts] = field(default_factory=dict)
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLog:
    """The log of one model.

    `groups` maps a group to its tasks. `settings` says how the model was run, as far as the log tells. `notices` say
    what was not read.
    """

    name: str
    path: str
    tasks: Mapping[str, LoggedTask]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    unnamed: bool = False  # only the file's name says what its one task is called


def is_score(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite number; any other value counts as not answered."""
    return isinstance(value, int | float) and -1e300 < value < 1e300


def mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the object under a key; an empty object if there is none."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def one_model(path: Path, models: Sequence[str], model: str, one: str, several: str) -> str:
    """Choose the `model` among those with logs at a path; if none is named, the only one.

    `one` and `several` are a tool's words for its logs. Raises UsageError for a missing model, and if several could be
    meant.
    """
    if model and model not in models:
        raise UsageError(path, f"holds no {one} of the model {model}", f"{' or '.join(models)} would be right")
    if not model and len(models) > 1:
        example = f"name one of them: {path}#{models[0]}"
        raise UsageError(path, f"holds the {several} of several models ({', '.join(models)})", example)
    return model or models[0]


def stated_of(answers: Sequence[Answer], higher: object, chance: float | None) -> MetricStatement:
    """Return a log's statement about one metric.

    `higher` says whether higher is better, if it is a truth value. `chance` is that of picking the right choice, used
    for 0/1 scores.
    """
    stated = MetricStatement(higher_is_better=higher) if isinstance(higher, bool) else MetricStatement()
    if chance is not None and higher is not False and all(answer.value in (0, 1) for answer in answers):
        stated["chance"] = chance
    return stated


def plain_name(metric: str) -> str:
    """Return the metric's name without its filter."""
    return metric.partition(",")[0]


def statement_of(where: object, texts: Mapping[str, str]) -> MetricStatement:
    """Read a statement as a user writes it: "yes" or "no", numbers, "none". Raises UsageError."""
    statement = MetricStatement()
    for key in texts.keys() - MetricStatement.__annotations__:
        raise UsageError(where, f"{key!r} is unknown", f"{', '.join(MetricStatement.__annotations__)} would be right")
    if (text := texts.get("higher_is_better")) is not None:
        if text.lower() not in TRUTH:
            raise UsageError(where, f"higher_is_better is {text!r}", "yes or no would be right")
        statement["higher_is_better"] = TRUTH[text.lower()]
    if "chance" in texts:
        statement["chance"] = _number(where, "chance", texts["chance"])
    if "low" in texts:
        statement["low"] = _number(where, "low", texts["low"])
    if "high" in texts:
        statement["high"] = _number(where, "high", texts["high"])
    return statement


def _number(where: object, key: str, text: str) -> float | None:
    if text.lower() in NO_NUMBER:
        return None
    if not math.isfinite(value := number_in(text)):
        raise UsageError(where, f"{key} is {text!r}", "a number or none would be right")
    return value
