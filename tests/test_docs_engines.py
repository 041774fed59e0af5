"""docs/engines.md is short, and names every engine; what its commands name is there (tests/test_docs_commands.py)."""

from __future__ import annotations

import re
from pathlib import Path

from evalharness.engines import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/engines.md").read_text("utf-8")
WORDS = 1000


def test_the_page_is_short() -> None:
    assert len(PAGE.split()) <= WORDS


def test_every_engine_is_named_with_what_was_run_of_it() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert set(REGISTRY) <= set(rows)
