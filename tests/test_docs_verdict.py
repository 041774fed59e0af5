"""docs/verdict.md is short. tests/test_docs_commands.py executes its commands."""

from __future__ import annotations

from pathlib import Path

PAGE = (Path(__file__).resolve().parent.parent / "docs/verdict.md").read_text("utf-8")
WORDS = 1000


def test_the_page_is_short() -> None:
    assert len(PAGE.split()) <= WORDS
