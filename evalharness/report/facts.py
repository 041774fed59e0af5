"""Tabulate nested facts (the signature, run.json) and failed examples."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalharness.records.results import Results
from evalharness.report import wording
from evalharness.report.flags import FLAGS

LOCAL_PATH = re.compile(
    r"(?<![\w.:/~])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\;,'\"]+[/\\])+(?=[^\s/\\;,'\"])"
)  # but for its last part
DIGEST = re.compile(r"(sha256:)?[0-9a-f]{32,}")
ABOUT_THE_RUN = "The run"
MOST_ERRORS = 200
EFFICIENCY = "efficiency"  # of run.json: task to model to amounts


@dataclass(frozen=True, slots=True)
class Fact:
    """One value as text. `whole`: the full digest if `text` is a shortened one."""

    text: str
    whole: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactTable:
    """One table of facts with its title. `columns`: the column titles; empty if each row is only a name and a value.
    `rows`: (name, values).
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Fact, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRow:
    """Examples of one task and model that failed for the same reason. `count`: how many; `examples`: the first
    of them.
    """

    task: str
    model: str
    reason: str
    count: int
    examples: str


def without_paths(text: str) -> str:
    """Return `text` with local paths reduced to their last part, since the page may be mailed to others."""
    return LOCAL_PATH.sub("…/", text)


def fact_tables(facts: Mapping[str, Any]) -> list[FactTable]:
    """Make tables of facts: one for all single values, and one for each mapping, with columns if it maps names to
    mappings.
    """
    single = {key: value for key, value in facts.items() if not isinstance(value, Mapping)}
    tables = [FactTable(title=ABOUT_THE_RUN, columns=(), rows=_pairs(single))] if single else []
    for key, value in facts.items():
        if key == EFFICIENCY and isinstance(value, Mapping):
            tables.append(_table("Efficiency: each task and model", _flat(value)))
        elif isinstance(value, Mapping) and value:
            tables.append(_table(_title(key), value))
    return tables


def signature_tables(results: Results) -> list[FactTable]:
    """Return the tables of the run's signature. The overlap with training rows is left out: it has a section of its
    own.
    """
    return fact_tables({key: value for key, value in results.signature.items() if key != "overlap"})


def unknown_flags(results: Results) -> list[str]:
    """Return the flags of the comparisons that this version does not know."""
    return [flag for flag in dict.fromkeys(flag for c in results.comparisons for flag in c.flags) if flag not in FLAGS]


def _table(title: str, facts: Mapping[str, Any]) -> FactTable:
    if not all(isinstance(value, Mapping) for value in facts.values()):
        return FactTable(title=title, columns=(), rows=_pairs(facts))
    columns = tuple(dict.fromkeys(str(column) for row in facts.values() for column in row))
    rows = tuple(
        (without_paths(str(name)), tuple(_fact(column, row.get(column)) for column in columns))
        for name, row in facts.items()
    )
    return FactTable(title=title, columns=tuple(column.replace("_", " ") for column in columns), rows=rows)


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested facts with two levels of names joined into one."""
    return {
        f"{task} · {model}": row for task, of in facts.items() if isinstance(of, Mapping) for model, row in of.items()
    }


def _pairs(facts: Mapping[str, Any]) -> tuple[tuple[str, tuple[Fact, ...]], ...]:
    names = {key: without_paths(str(key).replace("_", " ")) for key in facts}
    return tuple((names[key], (_fact(str(key), value),)) for key, value in facts.items())


def _title(key: str) -> str:
    words = str(key).replace("_", " ")
    return words[:1].upper() + words[1:]


def _fact(key: str, value: Any) -> Fact:
    """Return a value in the unit that its key names ("seconds", "…_s", "…_bytes", "…_share"), without local paths."""
    fact = _whole_fact(key, value)
    return Fact(without_paths(fact.text), fact.whole)


def _whole_fact(key: str, value: Any) -> Fact:
    if isinstance(value, Mapping):
        return Fact(
            "; ".join(f"{name}: {_fact(str(name), inner).text}" for name, inner in value.items()) or wording.NONE
        )
    if key == "notices" and isinstance(value, Sequence) and not isinstance(value, str):
        return Fact("; ".join(map(str, value)) or wording.NONE)
    if isinstance(value, str) and DIGEST.fullmatch(value):
        return Fact(value.removeprefix("sha256:")[:12], value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if key.endswith("bytes"):
            return Fact(wording.in_bytes(value))
        if key.endswith(("seconds", "_s")):
            return Fact(wording.in_seconds(value))
        if key.endswith("share"):
            return Fact(wording.percent(value))
    return Fact(wording.any_value(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorTable:
    """The most frequent failures, the most frequent first. `left_out`: the number of further rows."""

    rows: list[ErrorRow]
    left_out: int


def error_table(results: Results) -> ErrorTable:
    """Count failures by task, model and reason."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for error in results.errors:
        groups.setdefault((error.task, error.model, error.reason), []).append(error.example)
    rows = [
        ErrorRow(task=task, model=model, reason=without_paths(reason), count=len(ids), examples=_some(ids))
        for (task, model, reason), ids in sorted(groups.items(), key=lambda group: -len(group[1]))
    ]
    return ErrorTable(rows=rows[:MOST_ERRORS], left_out=max(len(rows) - MOST_ERRORS, 0))


def _some(ids: Sequence[str]) -> str:
    return ", ".join([name for name in ids if name][:5]) + (" …" if len(ids) > 5 else "")
