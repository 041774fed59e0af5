"""The nouns of an import: logged answers of one model, as read from its files and before they are paired with
another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """What was logged of one example by one metric. `key` pairs it: equal keys are the same question asked the same way
    with the same gold.

    `document`: of the question alone, however and how often it was asked; `value`: the score, or what a corpus metric
    makes its score of.
    """

    key: str
    document: str
    unit: str
    value: Any


@dataclass(frozen=True, slots=True)
class LoggedTask:
    """One task of one model. `answers`: metric id -> its answers; `higher`: metric id -> is more better, if it says;
    `chance`: of accuracy.
    """

    name: str
    answers: Mapping[str, tuple[Answer, ...]]
    higher: Mapping[str, bool]
    chance: float
    version: str = ""


@dataclass(frozen=True, slots=True)
class Logged:
    """One model's log. `groups`: group -> its tasks; `settings`: how it was run, as far as the log says; `notices`:
    what was passed over.
    """

    name: str
    path: str
    tasks: Mapping[str, LoggedTask]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    unnamed: bool = False  # nothing in it says what its one task is called, but for the file's name
