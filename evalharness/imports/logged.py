"""Hold the logged answers of one model as they are read from its files, before they are paired with another's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """One example's logged value of one metric. Equal `key`s are the same question asked the same way with the same
    gold, and are paired.

    `document` identifies the question alone, however and how often it was asked; `value` is the score, or what a corpus
    metric computes its score from. Equal `content`s are the same question with the same gold, whichever document asks
    it; "" where that is not logged.
    """

    key: str
    document: str
    unit: str
    value: Any
    content: str = ""


@dataclass(frozen=True, slots=True)
class LoggedTask:
    """One task of one model. `answers`: metric id -> its answers; `higher`: metric id -> is more better, where the log
    says; `chance`: the accuracy of guessing.
    """

    name: str
    answers: Mapping[str, tuple[Answer, ...]]
    higher: Mapping[str, bool]
    chance: float
    version: str = ""


@dataclass(frozen=True, slots=True)
class ModelLog:
    """One model's log. `groups`: group -> its tasks; `settings`: how the model was run, as far as the log says;
    `notices`: what was passed over.
    """

    name: str
    path: str
    tasks: Mapping[str, LoggedTask]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    unnamed: bool = False  # only the file's name says what its one task is called
