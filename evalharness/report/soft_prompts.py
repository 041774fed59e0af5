"""Tabulate the vocabulary tokens nearest to the virtual tokens of candidates with soft prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evalharness.records.results import Results
from evalharness.report import wording

MOST = 20  # virtual tokens of a candidate
LONGEST = 24  # characters of a token's text


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualTokenRow:
    """One virtual token of a candidate's soft prompt.

    `place`: its place in the prompt. `nearest`: the nearest tokens of the vocabulary, each with its cosine and distance
    as text. `alike`: the places of the other virtual tokens in its cluster.
    """

    candidate: str
    place: int
    nearest: tuple[tuple[str, str], ...]
    alike: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftPrompts:
    """The page's table of virtual tokens. `reasons`: sentences on candidates and rows that are not in it. `rule`: how
    clusters are formed.
    """

    rows: tuple[VirtualTokenRow, ...]
    reasons: tuple[str, ...]
    rule: str


def soft_prompts(results: Results) -> SoftPrompts | None:
    """Return the table of the virtual tokens of all candidates; None if no candidate has a soft prompt."""
    facts_by_name = {model.name: model.soft_prompt for model in results.models if model.judged and model.soft_prompt}
    if not facts_by_name:
        return None
    rows = [row for name, facts in facts_by_name.items() for row in _rows(name, facts)]
    reasons = [
        f"{wording.one_line(name, 60)}: {facts['reason']}" for name, facts in facts_by_name.items() if "reason" in facts
    ]
    for name, facts in facts_by_name.items():
        if (more := len(facts.get("nearest", ())) - MOST) > 0:
            reasons.append(f"{wording.one_line(name, 60)}: {more} more virtual tokens are in results.json")
    rule = next((str(facts["rule"]) for facts in facts_by_name.values() if "rule" in facts), "")
    return SoftPrompts(rows=tuple(rows), reasons=tuple(reasons), rule=rule)


def _rows(name: str, facts: Mapping[str, Any]) -> list[VirtualTokenRow]:
    return [
        VirtualTokenRow(
            candidate=name,
            place=place,
            nearest=tuple((_text(token), f"{token['cosine']:.2f}, {token['distance']:.2f}") for token in tokens[:3]),
            alike=", ".join(
                str(other) for places in facts["clusters"] if place in places for other in places if other != place
            )
            or wording.NONE,
        )
        for place, tokens in enumerate(facts.get("nearest", ())[:MOST])
    ]


def _text(token: Mapping[str, Any]) -> str:
    text = token.get("text")
    return f"#{token['id']}" if text is None else repr(str(text)[:LONGEST])
