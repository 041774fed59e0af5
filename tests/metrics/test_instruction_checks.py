"""Each kind of check by texts that keep it, and texts that do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalharness.metrics.instruction_checks import KINDS, check_instructions

PAGE = Path(__file__).resolve().parents[2] / "docs" / "behaviour.md"


def holds(answer: str, kind: str, **arguments: object) -> bool:
    (found,) = check_instructions([json.dumps({"kind": kind, **arguments})], answer)
    return found.held


@pytest.mark.parametrize(
    ("kind", "arguments", "right", "wrong"),
    [
        ("words", {"least": 2, "most": 3}, "don't stop-gap now", "one"),
        ("words", {"least": 2}, "two words", "one"),
        ("sentences", {"least": 2, "most": 2}, "Dr. Ho came. He sat.", "Only one, e.g. this."),
        ("paragraphs", {"least": 2, "most": 2}, "a\n \nb", "a\nb"),
        ("parts", {"separator": "---", "least": 2, "most": 2}, "a\n---\nb", "a\n---\n"),
        ("bullets", {"least": 2, "most": 2}, "* a\n- b", "* a\n*b"),
        ("numbered", {"least": 2}, "1. a\n2) b", "1. a"),
        ("lower", {}, "all low, ß 1", "one Capital"),
        ("lower", {}, "low", "12"),
        ("upper", {}, "ALL, 1", "aLL"),
        ("json", {"keys": ["a", "b"]}, '```json\n{"b": 1, "a": 2}\n```', '{"a": 1}'),
        ("json", {"keys": ["a"]}, ' {"a": null} ', 'Here: {"a": 1}'),
        ("json", {"keys": ["a"]}, '{"a": 1}', '["a"]'),
        ("contains", {"text": "sea", "least": 2}, "Sea by the sea", "sea and seal"),
        ("contains", {"text": "sea"}, "the sea.", "seal"),
        ("avoids", {"texts": ["is", "are"]}, "This island", "It is"),
        ("starts", {"text": "Well now"}, " well now, then", "Oh well now"),
        ("ends", {"text": "The end."}, "It is the end. \n", "the end. Or not"),
        ("quoted", {}, "“yes, that”", '"a" he said'),
        ("tagged", {"tag": "a"}, "<a>x\ny</a>", "<a></a>"),
        ("no_commas", {}, "no; none", "a, b"),
        ("choice", {"options": ["Red", "blue"]}, "**Blue**.", "the blue one"),
        ("postscript", {}, "Text.\n\nP. S. more", "P.S. alone"),
        ("postscript", {}, "Text.\n**P.S.** more", "Text.\nPsychology"),
        ("words", {"least": 2, "most": 2}, "10,000 people", "10, 000 people"),
        ("sentences", {"least": 2, "most": 2}, "1. It is one.\n2. It is two.", "1. One alone."),
        ("paragraphs", {"least": 2, "most": 2}, "a\n\n---\n\nb", "a\n\n---"),
        ("bullets", {"least": 1, "most": 1}, "- a\n- - -\n-\n\nb", "- - -"),
        ("json", {"keys": ["a"]}, '```JSON\r\n{"a": 1}\r\n```', '```json\n{"a": 1}\n```\nThere it is.'),
        ("json", {"keys": ["a"]}, '~~~ json\n{"a": 1}\n~~~', '```json\n{"a": 1}\n~~~'),
        ("json", {"keys": ["a"]}, '```json\n\n{"a": 1}\n\n```', "```json\n```"),
        ("contains", {"text": "don't"}, "I don’t", "I dont"),
        ("avoids", {"texts": ["good"]}, "goodness", "It is _good_ stuff"),
        ("starts", {"text": "Don't"}, "Don’t go", "Dont go"),
        ("starts", {"text": "Not"}, "Not: I think", "Nothing"),
        ("ends", {"text": "the end"}, "It is the end", "We breathe end"),
        ("ends", {"text": "that’s it."}, "Well, that's it.", "That is it."),
        ("quoted", {}, "„so jest”", "'so'"),
        ("quoted", {}, "«oui, oui»", "«oui» il dit"),
        ("choice", {"options": ["My answer is yes.", "It isn't."]}, "My answer is yes.", "My answer is yes. Or no."),
        ("choice", {"options": ["My answer is yes.", "It isn't."]}, "**It isn’t**", "..."),
    ],
)
def test_a_text_that_keeps_it_and_one_that_does_not(
    kind: str, arguments: dict[str, object], right: str, wrong: str
) -> None:
    assert holds(right, kind, **arguments) and not holds(wrong, kind, **arguments)
    assert not holds("", kind, **arguments) and not holds(" \n", kind, **arguments)


def test_one_thing_over_and_over_keeps_nothing() -> None:
    assert not holds("ha " * 30, "lower") and holds("ha ha ha", "lower")


def test_what_was_seen_is_said() -> None:
    found = check_instructions(
        ['{"kind": "bullets", "least": 3, "most": 3}', '{"kind": "avoids", "texts": ["a", "b"]}'], "* a\n* c"
    )
    assert [(each.check, each.held, each.seen) for each in found] == [
        ("bullet points: exactly 3", False, "2"),
        ("none of the words a, b", False, "a"),
    ]


def test_the_page_names_every_kind() -> None:
    text = PAGE.read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []
    assert [name for kind in KINDS.values() for name in kind.needs if f"`{name}`" not in text] == []
